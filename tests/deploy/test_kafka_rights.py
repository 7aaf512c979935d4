"""deploy/kafka/acls.csv on a real broker that enforces it: every process does its work with its own rights, and has no others."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public by its documentation
    AclOperation,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from hookline.cli.config import rows
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from tests.analytics.conftest import Server
from tests.console.conftest import Client, Receiver, end, port_in, start, until
from tests.deploy.guarded import DEPLOY, GuardedBroker, rights

PREFIX = "shops"
PROCESSES = {f"hookline-{name}" for name in ("ingest", "dispatch", "sink", "console", "publisher", "operator")}
RIGHTS = rights(PREFIX)
READ, WRITE, BOTH = {"Read"}, {"Write"}, {"Read", "Write"}
ON_TOPICS: dict[str, dict[str, set[str]]] = {
    "events.": {"ingest": WRITE, "publisher": WRITE, "dispatch": READ, "console": BOTH},
    "retry.": {"dispatch": BOTH},
    "replays": {"dispatch": READ, "console": BOTH},
    "dead-letters.": {"dispatch": WRITE, "console": READ},
    "attempts": {"dispatch": WRITE, "sink": READ, "console": READ},
    "attempts.rejected": {"sink": WRITE},
    "webhooks": {"dispatch": BOTH, "console": BOTH},
    "api-keys": {"ingest": BOTH, "console": BOTH},
    "users": {"console": BOTH},
    "jobs": {"console": BOTH},
    "audit": {"dispatch": WRITE, "console": BOTH},
    "erasures": {"dispatch": READ, "sink": READ, "console": READ},
    "_schemas": dict.fromkeys(("ingest", "publisher", "dispatch", "sink", "console"), READ),
}
"""What each process needs, written without the file: topic below the prefix (with a dot at its end: all that begin so) → user → rights."""

ON_GROUPS: dict[str, dict[str, set[str]]] = {
    "ingest": {"unused": READ},
    "publisher": {"unused": READ},
    "dispatch": {
        "unused": READ,
        "dispatch": {"Read", "DescribeConfigs", "AlterConfigs"},
        "dispatch.*": {"Read", "DescribeConfigs", "AlterConfigs"},
    },
    "sink": {"unused": READ, "sink": READ},
    "console": {"unused": READ, "jobs": READ},
    "operator": {"*": READ},
}
"""The same of groups: user → group below the prefix, with a star where it is all that begin so."""

OPERATORS = {"Create", "Read", "Write", "DescribeConfigs", "AlterConfigs"}
OPERATOR = "operator-token-of-the-tests-0123456789"


def topics() -> list[str]:
    """Return every topic of a cluster."""
    return [spec.name for spec in specs(Topics(PREFIX), load(TopicsConfig, {}))]


def granted(principal: str, topic: str) -> set[str]:
    """Return what the file grants a user on a topic."""
    return {operation for right in RIGHTS if right.principal == principal and right.covers(topic) for operation in right.operations}


@pytest.mark.unit
def test_the_file_is_about_what_there_is() -> None:
    """Every process is named, every topic has a reader and a writer, no line is about a topic or group that is not ours."""
    assert {right.principal for right in RIGHTS} == PROCESSES
    for right in RIGHTS:
        if right.resource == "topic":
            assert [topic for topic in topics() if right.covers(topic)], right
        else:
            assert right.name.startswith(f"{PREFIX}."), right
    for topic in topics():
        assert [p for p in PROCESSES - {"hookline-operator"} if "Read" in granted(p, topic)] or topic.endswith(".rejected"), topic
        assert [p for p in PROCESSES if "Write" in granted(p, topic)], topic


def needed(topic: str) -> dict[str, set[str]]:
    """Return user → what it needs to do to a topic."""
    short = topic.removeprefix(f"{PREFIX}.")
    [found] = [users for name, users in ON_TOPICS.items() if short == name or (name.endswith(".") and short.startswith(name))]
    operators = OPERATORS | (set() if topic == "_schemas" else {"Alter"})
    return {"hookline-operator": operators} | {f"hookline-{name}": operations for name, operations in found.items()}


@pytest.mark.unit
def test_the_file_grants_what_is_needed_and_no_more() -> None:
    """Each user's rights on each topic and group are those of the tables above, which are written without looking at the file."""
    for topic in topics():
        assert {user: found for user in PROCESSES if (found := granted(user, topic))} == needed(topic), topic
    prefixed = {right.name for right in RIGHTS if right.pattern == "prefixed" and right.principal != "hookline-operator"}
    assert prefixed == {f"{PREFIX}.{name}" for name in ("events.", "retry.", "dead-letters.", "dispatch.")}
    groups: dict[str, dict[str, set[str]]] = {user.removeprefix("hookline-"): {} for user in PROCESSES}
    for right in (right for right in RIGHTS if right.resource == "group"):
        name = right.name.removeprefix(f"{PREFIX}.") + ("*" if right.pattern == "prefixed" else "")
        groups[right.principal.removeprefix("hookline-")].setdefault(name, set()).update(right.operations)
    assert groups == ON_GROUPS


@pytest.mark.unit
def test_nobody_but_the_operator_makes_or_changes_topics() -> None:
    """What creates and alters is no process that anybody reaches from outside; nobody has rights on the cluster."""
    strong = {right.principal for right in RIGHTS if set(right.operations) - {"Read", "Write"} and right.resource == "topic"}
    assert strong == {"hookline-operator"}
    assert {right.resource for right in RIGHTS} == {"topic", "group"}


@pytest.mark.unit
def test_dispatchers_may_set_the_sessions_of_their_own_groups_alone() -> None:
    """Beside reading for them: under KIP-848 how long Kafka waits for a silent member is a setting of the group."""
    of_groups = {(right.principal, right.name): set(right.operations) for right in RIGHTS if right.resource == "group"}
    strong = {key for key, operations in of_groups.items() if operations != {"Read"}}
    assert strong == {
        ("hookline-dispatch", f"{PREFIX}.dispatch"),
        ("hookline-dispatch", f"{PREFIX}.dispatch."),
    }
    assert all(of_groups[key] == {"Read", "DescribeConfigs", "AlterConfigs"} for key in strong)


@pytest.mark.unit
def test_the_script_says_the_same(tmp_path: Path) -> None:
    """apply-acls.sh calls kafka-acls.sh once per line, with the prefix, and can run again."""
    fake, log = tmp_path / "kafka-acls.sh", tmp_path / "calls"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PREFIX": PREFIX}
    subprocess.run(["sh", str(DEPLOY / "kafka" / "apply-acls.sh"), "--bootstrap-server", "b:9092"], env=environ, check=True, timeout=60)
    wanted = [
        f"--bootstrap-server b:9092 --add --allow-principal User:{r.principal} --resource-pattern-type {r.pattern} --{r.resource} {r.name} "
        + " ".join(f"--operation {operation}" for operation in r.operations)
        for r in RIGHTS
    ]
    assert log.read_text().splitlines() == wanted


@pytest.mark.unit
def test_the_example_of_an_environment_is_known() -> None:
    """Every variable of client.env.example is one of ours, and KAFKA_ ones are all there."""
    names = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "kafka" / "client.env.example").read_text(), re.MULTILINE))
    known = {row["variable"] for row in rows({})}
    assert names <= known
    assert names == {name for name in known if name.startswith("KAFKA_")}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedBroker]:
    """Give a broker that enforces the file, with all topics and schemas, made by the operator's own user."""
    broker = GuardedBroker(tmp_path_factory.mktemp("guarded"), {*PROCESSES, "nobody"})
    broker.start()
    try:
        broker.admit(RIGHTS)
        environ = environ_of(broker, "hookline-operator", tmp_path_factory.mktemp("operator"))
        config = load(KafkaConfig, environ)
        create(config, specs(Topics(PREFIX), load(TopicsConfig, environ)), 1)
        run(environ, "schemas", "register")
        yield broker
    finally:
        broker.stop()


def environ_of(broker: GuardedBroker, principal: str, folder: Path) -> dict[str, str]:
    """Return the environment of a process that comes as a user."""
    return {
        **os.environ,
        **broker.environ(principal),
        "HOOKLINE_TOPIC_PREFIX": PREFIX,
        "HOOKLINE_STATE_DIR": str(folder),
        "HOOKLINE_REPLICATION_FACTOR": "1",
        "HOOKLINE_SECRET_KEYS": "test:" + base64.b64encode(b"k" * 32).decode(),
        "HOOKLINE_API_KEY_PEPPER": "p" * 48,
        "HOOKLINE_OPERATOR_TOKEN": OPERATOR,
        "HOOKLINE_ALLOW_HTTP": "true",
        "HOOKLINE_ALLOWED_PORTS": "any",
        "HOOKLINE_ALLOW_ADDRESSES": "127.0.0.0/8",
        "HOOKLINE_CONSOLE_PORT": "0",
        "HOOKLINE_INGEST_PORT": "0",
        "HOOKLINE_RETRY_SCHEDULE": "5s",
        "HOOKLINE_SINK_BATCH_WAIT_S": "0.2",
        "HOOKLINE_QUERY_TOKEN": "query-token-of-the-tests",
    }


def run(environ: dict[str, str], *words: str) -> str:
    """Run a command; return what it says."""
    done = subprocess.run([sys.executable, "-m", "hookline.cli.main", *words], env=environ, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.kafka
@pytest.mark.parametrize("principal", sorted({*PROCESSES, "nobody"}))
def test_the_broker_enforces_exactly_the_file(guarded: GuardedBroker, principal: str, tmp_path: Path) -> None:
    """What each user may do to each topic, as the broker says: what the file grants and no more; nobody else sees anything."""
    config = load(KafkaConfig, environ_of(guarded, principal, tmp_path))
    allowed = {AclOperation.READ: "Read", AclOperation.WRITE: "Write", AclOperation.CREATE: "Create"}
    allowed |= {AclOperation.ALTER_CONFIGS: "AlterConfigs", AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs", AclOperation.ALTER: "Alter"}
    client = kafka.admin(config)
    futures = client.describe_topics(TopicCollection(topics()), include_authorized_operations=True)
    for topic, future in futures.items():
        wanted = granted(principal, topic)
        if not wanted:
            with pytest.raises(Exception, match=r"(?i)authoriz"):
                future.result(30)
        else:
            found = set(future.result(30).authorized_operations) - {AclOperation.DESCRIBE}
            assert {allowed[operation] for operation in found} == wanted, topic


@pytest.mark.kafka
def test_the_operator_mends_topics(guarded: GuardedBroker, tmp_path: Path) -> None:
    """`topics apply` as its own user: partitions are added, and settings are set, those of the schemas' topic too."""
    environ = environ_of(guarded, "hookline-operator", tmp_path) | {"HOOKLINE_ATTEMPT_PARTITIONS": "4"}
    entry = ConfigEntry("min.insync.replicas", "2", incremental_operation=AlterConfigOpType.SET)
    client = kafka.admin(load(KafkaConfig, environ))
    for future in client.incremental_alter_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, "_schemas", incremental_configs=[entry])]
    ).values():
        future.result(30)
    wanted = {("_schemas", "min.insync.replicas"), (Topics(PREFIX).attempts, "partitions")}
    until(lambda: {(row["topic"], row["what"]) for row in json.loads(run(environ, "topics", "plan", "--json"))} == wanted)
    run(environ, "topics", "apply", "--yes")
    assert json.loads(run(environ, "topics", "plan", "--json")) == []


@pytest.mark.kafka
def test_a_stranger_is_not_let_in(guarded: GuardedBroker, tmp_path: Path) -> None:
    """A wrong password, or an authority that we do not trust: no answer, and no word of the password."""
    environ = environ_of(guarded, "hookline-sink", tmp_path)
    for wrong in ({"KAFKA_SASL_PASSWORD": "not-the-password"}, {"KAFKA_SSL_CA_LOCATION": ""}):
        with pytest.raises(BrokerError) as refused:
            kafka.wait_for_broker(load(KafkaConfig, {**environ, **wrong}), lambda: False, timeout_s=3)
        assert "password" not in str(refused.value)


@pytest.mark.kafka
@pytest.mark.process
@pytest.mark.clickhouse
def test_the_pipeline_works_with_least_rights(guarded: GuardedBroker, receiver: Receiver, server: Server, tmp_path: Path) -> None:
    """Ingest, dispatcher, sink and console, each as its own user over SASL_SSL: a webhook is made, called, logged, tested, disabled."""
    logs = {name: tmp_path / f"{name}.log" for name in ("ingest", "dispatch", "sink", "console")}
    with ExitStack() as stack:
        for name, log in logs.items():
            (tmp_path / name).mkdir()
            environ = {**environ_of(guarded, f"hookline-{name}", tmp_path / name), "CLICKHOUSE_URL": server.url}
            stack.callback(end, start(environ, log, name))
        console, ingest = port_in(logs["console"], "console.listening"), port_in(logs["ingest"], "ingest.listening")
        operator = Client(console, OPERATOR)
        key = operator.post("/api-keys?store=shop", {"scopes": ["admin"]}).json["key"]
        admin = Client(console, key)
        hook = admin.post("/webhooks", {"url": receiver.url("rights"), "event_types": ["order.created"]}).json["id"]
        published(ingest, key, admin.get("/event-types/order.created").json["example"])
        until(lambda: [path for path, _, _ in receiver.calls if path == "/rights"], what="the call")
        assert admin.post(f"/webhooks/{hook}/test").json["outcome"] == "delivered"
        receiver.answers["/rights"] = (410, b"gone")
        published(ingest, key, admin.get("/event-types/order.created").json["example"])
        until(lambda: admin.get(f"/webhooks/{hook}").json["state"] == "disabled", what="the webhook disabled")
        until(lambda: admin.get("/dead-letters").json["data"], what="the dead letter")
        until(lambda: len(admin.get("/deliveries?each=attempt").json["data"]) == 3, what="three attempts in the log")
        said = "".join(log.read_text() for log in logs.values())
        assert "kafka.trouble" not in said
        assert "sessions.are_kafkas" not in said


def published(port: int, key: str, data: Any) -> None:
    """Publish an event over HTTP, and expect that it is taken."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"type": "order.created", "data": data})
    connection.request("POST", "/api/v1/events", body, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    assert connection.getresponse().status == 202
    connection.close()
