"""docs/backup.md, performed: topics and the log are copied while events flow, and come back on a new cluster and in a new folder."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from standardwebhooks.webhooks import Webhook as Verifier

from hookline.analytics.client import open_client
from hookline.analytics.queries import ClickHouseQueries, LogFilter, log_page
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig, scan
from hookline.local.kafka_broker import EmbeddedBroker
from hookline.producers.publisher import Publisher, PublisherConfig
from hookline.schemas.erasures import Erasure, following
from hookline.schemas.events import example_event
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from tests.integration.load import Load

pytestmark = [pytest.mark.kafka, pytest.mark.process, pytest.mark.clickhouse]

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]
PAGE = Path(__file__).parents[2] / "docs" / "backup.md"


def hookline(environ: dict[str, str], *words: str) -> tuple[int, Any]:
    """Run a command; return its status and what it said: JSON, or the error's words."""
    run = subprocess.run(
        [sys.executable, "-m", "hookline.cli.main", *words, "--json"], env=environ, capture_output=True, timeout=120, check=False
    )
    return run.returncode, json.loads(run.stdout) if run.stdout else run.stderr.decode()


def stopped(process: subprocess.Popen[bytes]) -> None:
    """Stop a process by its pid; it must end well."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0


def test_what_is_copied_under_traffic_comes_back_elsewhere(
    pipeline: Pipeline, own_broker: EmbeddedBroker, tmp_path: Path, until: Until
) -> None:
    """Webhooks with their secrets and headers, API keys, the audit: on an empty cluster all are there, and calls are signed as before.

    A webhook that was deleted before is not: its tombstone comes back as one, or the record before that would stand again.
    """
    hook = pipeline.create("kept", headers=(("authorization", "Bearer topsecret"),))
    _, key = hookline(pipeline.environ, "api-keys", "create", "--store", "shop")
    deleted = pipeline.create("deleted")
    assert hookline(pipeline.environ, "webhooks", "delete", deleted.id, "--yes")[0] == 0
    backup = tmp_path / "backup"
    with Load(pipeline, per_s=50):
        status, copied = hookline(pipeline.environ, "topics", "dump", "--to", str(backup), "--all")
    assert status == 0, copied
    records = {row["topic"]: row["records"] for row in copied}
    assert records[pipeline.topics.webhooks] >= 1
    assert not [path for path in backup.rglob("*") if b"topsecret" in path.read_bytes()]

    environ = {**pipeline.environ, "KAFKA_BOOTSTRAP_SERVERS": own_broker.bootstrap_servers, "HOOKLINE_STATE_DIR": str(tmp_path / "new")}
    assert hookline(environ, "topics", "create")[0] == 0
    status, restored = hookline(environ, "topics", "restore", "--from", str(backup))
    assert (status, {row["topic"]: row["records"] for row in restored}) == (0, records)
    status, refused = hookline(environ, "topics", "restore", "--from", str(backup))
    assert status != 0
    assert "is not empty" in refused

    assert last_values(environ, pipeline.topics.webhooks)[deleted.id] is None
    assert hookline(environ, "webhooks", "show", deleted.id)[0] != 0
    assert [row["id"] for row in hookline(environ, "webhooks", "list")[1]] == [hook.id]
    shown = [hookline(one, "webhooks", "show", hook.id)[1] for one in (pipeline.environ, environ)]
    assert shown[0] == shown[1]
    assert [row["id"] for row in hookline(environ, "api-keys", "list", "--store", "shop")[1]] == [key["id"]]
    before = len(pipeline.receiver.of("kept"))
    pipeline.start_dispatcher(**{name: environ[name] for name in ("KAFKA_BOOTSTRAP_SERVERS", "HOOKLINE_STATE_DIR")})
    published(environ)
    until(lambda: len(pipeline.receiver.of("kept")) > before, what="a call from the new cluster")
    call = pipeline.receiver.of("kept")[-1]
    Verifier(pipeline.secrets[hook.id]).verify(call.body, call.headers)
    assert call.headers["authorization"] == "Bearer topsecret"


def last_values(environ: dict[str, str], topic: str) -> dict[str, bytes | None]:
    """Return by key what a topic's last record holds, None for a tombstone."""
    records = scan(load(KafkaConfig, environ), [topic])
    return {bytes(record.key() or b"").decode(): record.value() for record in records}


def published(environ: dict[str, str]) -> None:
    """Publish an event as a store would, with the restored schemas."""
    config = load(KafkaConfig, environ)
    registry = EmbeddedRegistry(config)
    registry.start()
    publisher = Publisher(config, registry, load(PublisherConfig, environ))
    publisher.start()
    publisher.publish_many([example_event("order.created", "shop", clock=SystemClock())])
    publisher.close()
    registry.stop()


def test_the_log_is_copied_and_opened_elsewhere(pipeline: Pipeline, tmp_path: Path, until: Until) -> None:
    """The embedded folder, copied after the sink was stopped, opens elsewhere with every row; the sink goes on where it was."""
    pipeline.create("logged")
    pipeline.start_dispatcher()
    environ = {**pipeline.environ, "HOOKLINE_STATE_DIR": str(tmp_path / "first"), "HOOKLINE_SINK_BATCH_WAIT_S": "0.2"}
    pipeline.publish(count=20)
    until(lambda: len(pipeline.attempts()) == 20, what="the attempts")
    stopped(sink_until(environ, tmp_path / "sink.log", 20, until))
    shutil.copytree(tmp_path / "first" / "clickhouse", tmp_path / "second" / "clickhouse", symlinks=True)
    assert rows_in({**environ, "HOOKLINE_STATE_DIR": str(tmp_path / "second")}) == 20
    pipeline.publish(count=5)
    until(lambda: len(pipeline.attempts()) == 25, what="five more attempts")
    restored = {**environ, "HOOKLINE_STATE_DIR": str(tmp_path / "second")}
    stopped(sink_until(restored, tmp_path / "sink.2.log", 5, until))
    assert rows_in(restored) == 25


def test_a_lost_log_is_written_again(pipeline: Pipeline, tmp_path: Path, until: Until) -> None:
    """Once a stopped sink's group is back at the start, the whole attempts topic is written into an empty folder, each attempt once.

    What was answered to an event that was erased long ago lies on that topic, and does not come back.
    """
    pipeline.create("lost")
    pipeline.start_dispatcher()
    environ = {**pipeline.environ, "HOOKLINE_STATE_DIR": str(tmp_path / "first"), "HOOKLINE_SINK_BATCH_WAIT_S": "0.2"}
    erased, *_ = pipeline.publish(count=20)
    stopped(sink_until(environ, tmp_path / "sink.log", 20, until))
    assert answers_in(environ, erased.id) not in ({""}, {"[erased]"}, set())
    erase(environ, erased.id, days_ago=20)
    [line] = re.findall(r"^kafka-consumer-groups\.sh (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    group, topic = (re.findall(rf"--{name} hookline\.(\S+)", line)[0] for name in ("group", "topic"))
    set_back(pipeline.environ, f"{pipeline.topics.prefix}.{group}", f"{pipeline.topics.prefix}.{topic}")
    again = {**environ, "HOOKLINE_STATE_DIR": str(tmp_path / "second")}
    stopped(sink_until(again, tmp_path / "sink.2.log", 20, until))
    assert rows_in(again) == 20
    assert answers_in(again, erased.id) == {"[erased]"}


def erase(environ: dict[str, str], event_id: str, *, days_ago: int) -> None:
    """Write an erasure as it was written some days ago."""
    config = load(KafkaConfig, environ)
    registry = EmbeddedRegistry(config)
    registry.start()
    with following(config, Topics(config.topic_prefix), Codec(registry)) as erasures:
        at_us = time.time_ns() // 1_000 - days_ago * 86_400_000_000
        assert erasures.write([Erasure(store_id="shop", event_id=event_id, erased_at_us=at_us)]) == 1
    registry.stop()


def set_back(environ: dict[str, str], group: str, topic: str) -> None:
    """Do what Kafka's tool does, which is in none of the jars here: commit, for a group without members, each partition's start."""
    admin = AdminClient({"bootstrap.servers": environ["KAFKA_BOOTSTRAP_SERVERS"]})
    places = [TopicPartition(topic, number, 0) for number in admin.list_topics(topic, timeout=10).topics[topic].partitions]
    [done] = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)], request_timeout=10).values()
    assert [place.error for place in done.result().topic_partitions] == [None] * len(places)


def sink_until(environ: dict[str, str], log: Path, least: int, until: Until) -> subprocess.Popen[bytes]:
    """Start a sink, and return when it has written so many rows."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "hookline.cli.main", "sink", "--log-level", "DEBUG"], env=environ, stdout=out, stderr=out
        )
    port = re.compile(rb'"port": (\d+), [^\n]*"event": "metrics.listening"')
    until(lambda: port.search(log.read_bytes()), what="the sink's port")
    found = port.search(log.read_bytes())
    assert found is not None
    url = f"http://127.0.0.1:{int(found[1])}/metrics"
    until(lambda: written(url) >= least, what=f"{least} rows")
    return process


def written(url: str) -> float:
    """Return how many rows a sink says that it has written."""
    import urllib.request

    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("hookline_sink_rows_total"))


def rows_in(environ: dict[str, str]) -> int:
    """Return how many attempts of the store a folder's log holds; no process may have it open."""
    client = open_client(environ)
    try:
        return len(log_page(ClickHouseQueries(client), LogFilter(store_id="shop", limit=1_000)).rows)
    finally:
        client.close()


def answers_in(environ: dict[str, str], event_id: str) -> set[str]:
    """Return the heads of the answers to an event in a folder's log; no process may have it open."""
    client = open_client(environ)
    try:
        rows = client.rows("SELECT event_id, response_headers FROM attempts")
    finally:
        client.close()
    return {row["response_headers"] for row in rows if row["event_id"] == event_id}


def test_the_page_names_what_there_is() -> None:
    """Every command on the page is one, and the statements for a server are ClickHouse's."""
    import chdb

    page = PAGE.read_text("utf-8")
    for words in set(re.findall(r"^hookline ([a-z-]+ [a-z-]+)", page, re.MULTILINE)):
        helped = subprocess.run(
            [sys.executable, "-m", "hookline.cli.main", *words.split(), "--help"], capture_output=True, timeout=60, check=False
        )
        assert helped.returncode == 0, words
    statements = [text for block in re.findall(r"```sql\n(.*?)\n```", page, re.DOTALL) for text in block.split(";") if text.strip()]
    assert len(statements) >= 2
    for text in statements:
        chdb.query("SELECT formatQuery({q:String})", params={"q": " ".join(text.split())})
    assert Path(__file__).name in page
