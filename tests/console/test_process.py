"""The console as a process: it starts and stops well, holds the sink where ClickHouse is embedded, and says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from confluent_kafka import KafkaException, TopicPartition

from hookline.analytics.gateway import open_queries
from hookline.analytics.queries import LogFilter, log_page
from hookline.console.process import Console
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics

pytestmark = [pytest.mark.kafka, pytest.mark.process, pytest.mark.clickhouse]

Stack = Any  # the fixtures' classes stand in conftest.py
Client = Any
Until = Any


def test_the_log_can_be_asked_beside_it(stack: Stack, admin: Client, store: str, until: Until, query_url: str) -> None:
    """The console writes the attempts into its own engine, and the command line asks them through the gateway."""
    webhook = admin.post("/webhooks", {"url": stack.receiver.url("beside"), "event_types": ["order.created"]}).json
    admin.post(f"/webhooks/{webhook['id']}/test")
    queries = open_queries({**stack.environ, "HOOKLINE_QUERY_URL": query_url})
    until(lambda: log_page(queries, LogFilter(store_id=store)).rows, what="the attempt in the log")
    [row] = log_page(queries, LogFilter(store_id=store)).rows
    assert (row["webhook_id"], row["outcome"]) == (webhook["id"], "delivered")


def test_its_health_covers_the_sink(stack: Stack, admin: Client, until: Until) -> None:
    """One metrics port tells of the API and of the sink; it counts requests by route and never by path."""
    admin.get("/webhooks/wh_secret-looking-id")
    base = f"http://127.0.0.1:{_listening(stack)['metrics_port']}"

    def ready() -> dict[str, str]:
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=10) as answer:
                found: dict[str, str] = json.loads(answer.read())
                return found
        except HTTPError as error:
            with error:
                found = json.loads(error.read())
            assert found["http"] == "ok"  # the sink may still be waiting for its partitions
            return {}

    found = dict[str, str]()
    until(lambda: found.update(ready()) or found, what="the sink ready too")
    assert set(found.values()) == {"ok"}
    assert {"http", "sink", "webhooks", "api keys", "log"} <= set(found)
    with urllib.request.urlopen(f"{base}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert 'hookline_console_requests_total{route="webhooks.get",status="404"}' in text
    assert "hookline_sink" in text
    assert "wh_secret" not in text


def test_it_is_not_ready_before_it_listens(stack: Stack) -> None:
    """Whoever waits for `/readyz` can ask the API then: until it listens, that is what is missing."""
    console = Console(stack.environ)
    console._probe()
    well, found = console._health.check("/readyz")
    assert (well, found["http"]) == (False, "it does not listen yet")


def _listening(stack: Stack) -> dict[str, Any]:
    lines = (json.loads(line) for line in stack.log.read_text().splitlines() if line.startswith("{"))
    return next(line for line in lines if line["event"] == "console.listening")


@pytest.fixture
def query_url(stack: Stack) -> str:
    """Return where the console serves the named queries."""
    lines = (json.loads(line) for line in stack.log.read_text().splitlines() if line.startswith("{"))
    port = next(line["port"] for line in lines if line["event"] == "queries.listening")
    return f"http://127.0.0.1:{port}"


def _sent(kafka_environ: dict[str, str], prefix: str) -> bool:
    """Tell whether a console of its own topics has sent a test call to the dispatchers."""
    return list(kafka.scan(load(KafkaConfig, kafka_environ), [Topics(prefix).replays])) != []


def test_sigterm_answers_what_is_under_way(
    kafka_environ: dict[str, str], tmp_path: Path, console_alone: Any, client_of: Any, store: str, until: Until
) -> None:
    """A request that is being worked on when the signal comes gets its own answer; then nobody listens, and the exit is 0."""
    with console_alone(kafka_environ, tmp_path, HOOKLINE_TOPIC_PREFIX=store, HOOKLINE_CONSOLE_TRIAL_WAIT_S="3") as (port, process):
        client = client_of(port)
        client.key = "operator-token-of-the-tests-0123456789"
        webhook = client.post("/webhooks?store=a", {"url": "http://127.0.0.1:9/", "event_types": ["order.paid"]}).json["id"]
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.post, f"/webhooks/{webhook}/test?store=a")
            until(lambda: _sent(kafka_environ, store), what="the test call on its way")
            process.send_signal(signal.SIGTERM)
            answer = asked.result(30)
        assert (answer.status, answer.code) == (503, "no_dispatcher")
        assert process.wait(30) == 0
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_a_drain_has_an_end(
    kafka_environ: dict[str, str], tmp_path: Path, console_alone: Any, client_of: Any, store: str, until: Until
) -> None:
    """A request that takes longer than the drain is given up, and the process ends all the same, long before the request would."""
    settings = {"HOOKLINE_TOPIC_PREFIX": store, "HOOKLINE_CONSOLE_TRIAL_WAIT_S": "300", "HOOKLINE_CONSOLE_DRAIN_S": "1"}
    with console_alone(kafka_environ, tmp_path, **settings) as (port, process):
        client = client_of(port)
        client.key = "operator-token-of-the-tests-0123456789"
        webhook = client.post("/webhooks?store=a", {"url": "http://127.0.0.1:9/", "event_types": ["order.paid"]}).json["id"]
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.post, f"/webhooks/{webhook}/test?store=a")
            until(lambda: _sent(kafka_environ, store), what="the test call on its way")
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0
            with pytest.raises((OSError, HTTPException)):
                asked.result(30)


def test_a_second_console_on_the_folder_is_told_why_not(stack: Stack, tmp_path: Path) -> None:
    """The engine takes one process per folder: the second one ends with an error that names the folder and the remedy."""
    done = _run(stack.environ, tmp_path)
    assert done.returncode == 1
    assert "in use by another process" in done.stderr
    assert "what to do" in done.stderr


def test_a_taken_port_is_named(stack: Stack, tmp_path: Path) -> None:
    """The error names the variable, the port and the remedy, and is no stack trace."""
    done = _run({**stack.environ, "HOOKLINE_STATE_DIR": str(tmp_path), "HOOKLINE_CONSOLE_PORT": str(stack.port)}, tmp_path)
    assert done.returncode == 1
    assert f"HOOKLINE_CONSOLE_PORT={stack.port} cannot be opened" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOOKLINE_OPERATOR_TOKEN", "short"),
        ("HOOKLINE_CONSOLE_WAITING", "0"),
        ("HOOKLINE_API_KEY_PEPPER", ""),
        ("HOOKLINE_SECRET_KEYS", ""),
    ],
)
def test_a_wrong_setting_is_named(stack: Stack, tmp_path: Path, variable: str, value: str) -> None:
    """Nothing starts with a bad token, bound or key; the error names the variable and hides secrets."""
    done = _run({**stack.environ, "HOOKLINE_STATE_DIR": str(tmp_path), variable: value}, tmp_path)
    assert done.returncode == 1
    assert variable in done.stderr
    assert "='short'" not in done.stderr


def _run(environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a console that is expected to end by itself."""
    command = [sys.executable, "-m", "hookline.cli.main", "console"]
    return subprocess.run(command, env={**environ, "COLUMNS": "200"}, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_without_an_operator_token_nobody_is_one(kafka_environ: dict[str, str], tmp_path: Path, console_alone: Any, client_of: Any) -> None:
    """An empty setting is not an empty token that anybody could send."""
    with console_alone(kafka_environ, tmp_path, HOOKLINE_OPERATOR_TOKEN="") as (port, _):
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer"}, {"Authorization": "Basic Og=="}):
            assert client_of(port).call("GET", "/stores", headers=headers).status == 401


def settled(stack: Stack) -> bool:
    """Tell whether the dispatcher has committed all events."""
    config = load(KafkaConfig, stack.environ)
    found = kafka.plain_consumer(config, group_id=f"{config.topic_prefix}.dispatch")
    try:
        with suppress(KafkaException):
            topics = found.list_topics(timeout=5).topics
            names = Topics(config.topic_prefix).all_events()
            places = [TopicPartition(name, number) for name in names for number in topics[name].partitions]
            ends = [found.get_watermark_offsets(place, timeout=5)[1] for place in places]
            return all(max(0, one.offset) == end for one, end in zip(found.committed(places, timeout=5), ends, strict=True))
        return False
    finally:
        found.close()


def test_without_kafka_changes_wait_and_reads_go_on(stack: Stack, admin: Client, store: str, until: Until) -> None:
    """While the broker is silent a change is a 503 with Retry-After in bounded time, and what is in memory can be read."""
    webhook = admin.post("/webhooks", {"url": "http://127.0.0.1:9/away", "event_types": ["order.paid"]}).json
    pid = stack.broker_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        change = admin.post(f"/webhooks/{webhook['id']}/pause")
        assert admin.get(f"/webhooks/{webhook['id']}").json["state"] == "enabled"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (change.status, change.code) == (503, "broker_unavailable")
    assert int(change.headers["retry-after"]) > 0
    assert "127.0.0.1" not in change.json["detail"]
    assert store
    # What the dispatcher could not commit meanwhile may come twice, which is promised; the tests after this one count.
    assert admin.post("/events", {"type": "order.paid", "data": admin.get("/event-types/order.paid").json["example"]}).status == 202
    until(lambda: settled(stack), what="everything committed")
