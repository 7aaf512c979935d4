"""`hookline ingest` as a process on a real broker: start, publish, revoke, broker away, drain, crash."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.local.kafka_broker import EmbeddedBroker, free_port
from hookline.producers.api_keys import ApiKeyConfig, ApiKeys, ApiKeyWriter
from hookline.producers.ingest.app import PATH
from hookline.schemas.events import Event
from tests.producers.serving import request

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Cluster = Any  # the fixture's class stands in conftest.py
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Running:
    """One ingest process and how to speak to it."""

    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int
    log: Path
    key: str

    def post(self, value: object, *, key: str | None = None, timeout_s: float = 30, **headers: str) -> tuple[int, dict[str, Any]]:
        """Publish; return status and body."""
        given = {"Authorization": f"Bearer {self.key if key is None else key}", "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self._ask(self.port, "POST", "/api/v1/events", json.dumps(value).encode(), given, timeout_s)

    def health(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of a health page."""
        return self._ask(self.metrics_port, "GET", path, None, {}, 10)

    def metrics(self) -> str:
        """Return the metrics page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        connection.request("GET", "/metrics")
        found = connection.getresponse().read().decode()
        connection.close()
        return found

    def ready(self) -> bool:
        """Tell whether it is; fail the test when the process has ended."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.health("/readyz")[0] == 200
        except OSError:
            return False

    def stop(self) -> int:
        """Ask it to stop; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def _ask(
        self, port: int, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@dataclass
class Factory:
    """Starts ingest processes of one cluster; the fixture stops them."""

    environ: dict[str, str]
    folder: Path
    key: str
    running: list[Running] = field(default_factory=list)

    def spawn(self, **changes: str) -> Running:
        """Start one, ready or not."""
        port, metrics_port = free_port(), free_port()
        environ = {**os.environ, **self.environ, "HOOKLINE_INGEST_PORT": str(port), "HOOKLINE_METRICS_PORT": str(metrics_port), **changes}
        log = self.folder / f"ingest.{len(self.running)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen([sys.executable, "-m", "hookline.cli.main", "ingest"], env=environ, stdout=out, stderr=out)
        self.running.append(Running(process, int(environ["HOOKLINE_INGEST_PORT"]), metrics_port, log, self.key))
        return self.running[-1]

    def start(self, **changes: str) -> Running:
        """Start one and wait until it is ready."""
        found = self.spawn(**changes)
        until(found.ready, what="a ready ingest")
        return found


def until(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "the condition") -> None:
    """Wait until a condition holds; fail the test with its name when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout_s:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def writer(cluster: Cluster) -> Iterator[ApiKeyWriter]:
    """Yield a writer of API keys."""
    secret = load(ApiKeyConfig, cluster.environ)
    keys = ApiKeys(cluster.config, cluster.codec, secret, SystemClock())
    keys.start()
    yield ApiKeyWriter(cluster.config, cluster.codec, secret, keys, SystemClock())
    keys.stop()


@pytest.fixture
def ingests(cluster: Cluster, writer: ApiKeyWriter, tmp_path: Path) -> Iterator[Factory]:
    """Yield a factory of ingest processes; end by pid whatever still runs."""
    environ = {**cluster.environ, "HOOKLINE_STATE_DIR": str(tmp_path)}
    factory = Factory(environ, tmp_path, writer.create("shop", ("events:write",))[1])
    yield factory
    for running in factory.running:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(20)


def published(cluster: Cluster) -> list[Event]:
    """Return every event on the cluster's topics."""
    return [cluster.codec.decode(m.value() or b"") for m in kafka.scan(cluster.config, cluster.topics.all_events())]


def test_202_means_it_is_on_kafka(cluster: Cluster, ingests: Factory) -> None:
    """Right after the answer the event can be read, with its id, its store, and its trace; metrics and health tell of it."""
    ingest = ingests.start()
    status, body = ingest.post(request(), traceparent=TRACE)
    assert status == 202
    [message] = [m for m in kafka.scan(cluster.config, [cluster.topics.events("products")]) if body["id"].encode() in (m.value() or b"")]
    event = cluster.codec.decode(message.value() or b"")
    assert (event.id, event.store_id, event.type) == (body["id"], "shop", "product.inventory_changed")
    assert kafka.headers_of(message)["traceparent"] == TRACE.encode()
    assert message.key() == b"shop:prod_1"
    status, body = ingest.post({"events": [request() for _ in range(200)]})
    assert status == 202
    assert {result["id"] for result in body["results"]} <= {event.id for event in published(cluster)}
    assert ingest.health("/healthz")[0] == 200
    assert ingest.health("/readyz") == (200, dict.fromkeys(["loop", "producer", "start", "api_keys", "gate", "kafka"], "ok"))
    assert 'hookline_ingest_events_total{category="products"} 201.0' in ingest.metrics()
    assert 'hookline_ingest_requests_total{status="202"} 2.0' in ingest.metrics()


def test_a_revoked_key_is_refused_within_seconds(ingests: Factory, writer: ApiKeyWriter) -> None:
    """A running ingest knows a new key from its first moment on, and a revocation soon, without a restart."""
    ingest = ingests.start()
    for _ in range(10):
        made, text = writer.create("shop", ("events:write",))
        assert ingest.post(request(), key=text)[0] == 202
    writer.revoke(made.id)
    until(lambda: ingest.post(request(), key=text)[0] == 401, 5, "the revoked key refused")
    _, reader = writer.create("shop", ("results:read",))
    assert ingest.post(request(), key=reader)[0] == 403


def test_a_revoked_key_is_refused_on_a_connection_that_was_let_in_with_it(ingests: Factory, writer: ApiKeyWriter) -> None:
    """A kept connection, on which a key is not verified anew with every request, is of no use to who lost the key."""
    ingest = ingests.start()
    made, text = writer.create("shop", ("events:write",))
    connection = http.client.HTTPConnection("127.0.0.1", ingest.port, timeout=20)

    def post() -> int:
        connection.request("POST", PATH, json.dumps(request()), {"Authorization": f"Bearer {text}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    assert [post(), post()] == [202, 202]
    kept = connection.sock
    writer.revoke(made.id)
    deadline = time.monotonic() + 20
    while (status := post()) == 202 and time.monotonic() < deadline:
        time.sleep(0.05)
    reached = connection.sock
    connection.close()
    assert status == 401
    assert reached in {kept, None}


def test_sigterm_answers_what_is_under_way_and_takes_nothing_new(cluster: Cluster, ingests: Factory) -> None:
    """A body that is half there at the signal still gets its 202; the exit status is 0."""
    ingest = ingests.start()
    body = json.dumps(request(id="last-one")).encode()
    head = f"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ingest.key}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", ingest.port), 10) as half, socket.create_connection(("127.0.0.1", ingest.port), 10) as idle:
        half.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:20])
        idle.sendall(b"POST /api/v1/events HTTP/1.1\r\n")
        time.sleep(0.5)
        ingest.process.send_signal(signal.SIGTERM)
        until(lambda: not _listens(ingest.port), 30, "no new connections")
        half.sendall(body[20:])
        assert half.recv(4_096).startswith(b"HTTP/1.1 202")
    assert ingest.process.wait(40) == 0
    assert "last-one" in {event.id for event in published(cluster)}
    assert "ingest.stopped" in ingest.log.read_text()


def test_kill_9_loses_nothing_that_was_acknowledged(cluster: Cluster, ingests: Factory) -> None:
    """Of thousands of events under way, each one that got a 202 is on Kafka."""
    ingest = ingests.start()
    acknowledged: set[str] = set()

    def publish() -> None:
        for _ in range(10_000):
            try:
                status, body = ingest.post({"events": [request() for _ in range(50)]})
            except (OSError, http.client.HTTPException):
                return
            assert status == 202
            acknowledged.update(result["id"] for result in body["results"])

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(acknowledged) > 1_000, what="a thousand acknowledged events")
    ingest.process.kill()
    for thread in threads:
        thread.join(30)
    assert acknowledged <= {event.id for event in published(cluster)}


def test_several_processes_share_a_port(ingests: Factory) -> None:
    """With HOOKLINE_INGEST_SHARE_PORT the kernel spreads connections; without it the second one says which variable is at fault."""
    first = ingests.start(HOOKLINE_INGEST_SHARE_PORT="true")
    second = ingests.start(HOOKLINE_INGEST_SHARE_PORT="true", HOOKLINE_INGEST_PORT=str(first.port))
    until(
        lambda: first.post(request())[0] == 202 and "202" in second.metrics() and 'status="202"} 0' not in second.metrics(),
        30,
        "both serve",
    )
    third = ingests.spawn(HOOKLINE_INGEST_PORT=str(first.port))
    assert third.process.wait(60) == 1
    assert f"HOOKLINE_INGEST_PORT: 127.0.0.1 port {first.port} cannot be opened" in _plain(third.log)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"HOOKLINE_INGEST_HOST": "192.0.2.1"}, "HOOKLINE_INGEST_HOST: 192.0.2.1"),
        ({"HOOKLINE_INGEST_PORT": "70000"}, "HOOKLINE_INGEST_PORT='70000' is not valid"),
        ({"HOOKLINE_INGEST_TIMEOUT_S": "NaN"}, "HOOKLINE_INGEST_TIMEOUT_S='NaN' is not valid"),
        ({"HOOKLINE_API_KEY_PEPPER": "short"}, "HOOKLINE_API_KEY_PEPPER=(hidden) is not valid"),
        ({"HOOKLINE_TOPIC_PREFIX": "nothere"}, "nothere.api-keys does not exist"),
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
    ],
)
def test_what_cannot_start_says_why(ingests: Factory, changes: dict[str, str], words: str) -> None:
    """Two clear lines that name the setting and the remedy, no stack trace, and a status that is not 0."""
    ingest = ingests.spawn(**changes)
    assert ingest.process.wait(60) == 1
    log = _plain(ingest.log)
    assert words in log
    assert "what to do:" in log
    assert "Traceback" not in log


def test_a_broker_that_goes_away_and_comes_back(ingests: Factory, tmp_path: Path) -> None:
    """While Kafka stands still: 503 in bounded time, not ready, alive; afterwards everything works again, with the same id."""
    environ = dict(ingests.environ)
    broker = EmbeddedBroker(tmp_path / "own")
    broker.start()
    try:
        key = _prepare(environ | {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers})
        settings = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "HOOKLINE_INGEST_TIMEOUT_S": "3", "HOOKLINE_INGEST_STALL_S": "1"}
        ingest = ingests.start(**settings)
        ingest.key = key
        assert ingest.post(request())[0] == 202
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            status, body = ingest.post(request(id="held"))
            assert (status, body["code"], body["id"]) == (503, "undelivered", "held")
            assert ingest.health("/healthz")[0] == 200
            assert ingest.health("/readyz")[0] == 503
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        until(lambda: ingest.post(request(id="held"))[0] == 202, what="publishing again")
        until(ingest.ready, what="ready again")
        assert ingest.stop() == 0
    finally:
        broker.stop()


def test_a_start_without_a_broker_waits_and_says_so(ingests: Factory) -> None:
    """The process is alive and not ready, and can be stopped at once."""
    ingest = ingests.spawn(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    until(lambda: _listens(ingest.metrics_port), what="the metrics port")
    assert ingest.health("/healthz") == (200, {})
    assert ingest.health("/readyz") == (503, {"start": "starting"})
    assert ingest.stop() == 0


def _prepare(environ: dict[str, str]) -> str:
    """Create topics, schemas and a key on another broker by the command line; return the key."""
    for command in (["topics", "create"], ["schemas", "register"]):
        subprocess.run(_hookline(*command), env={**os.environ, **environ}, check=True, capture_output=True, timeout=120)
    made = subprocess.run(
        _hookline("api-keys", "create", "--store", "shop", "--json"),
        env={**os.environ, **environ},
        check=True,
        capture_output=True,
        timeout=120,
    )
    return str(json.loads(made.stdout)["key"])


def _hookline(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hookline.cli.main", *arguments]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _plain(log: Path) -> str:
    return " ".join(log.read_text().split())
