"""The demo store over HTTP: against a scripted server, and against the real ingest."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import HooklineError, InputError, Unauthorized, Undelivered
from hookline.kernel.kafka import KafkaConfig
from hookline.local.kafka_broker import free_port
from hookline.producers.demo_store.http_outlet import HttpOutlet
from hookline.producers.demo_store.ledger import read
from hookline.producers.demo_store.store import DemoStore
from hookline.schemas.events import Event
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec

Script = Callable[[int, list[dict[str, Any]]], tuple[int, dict[str, Any], dict[str, str]]]
PREFIX = "demohttp"


def accept(_request: int, items: list[dict[str, Any]]) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Take everything, as ingest does."""
    if len(items) == 1:
        return 202, {"id": items[0]["id"]}, {}
    return 202, {"results": [{"status": 202, "id": item["id"]} for item in items]}, {}


@dataclass
class Ingest:
    """A server in a thread that answers by its script; `script` gets the request's number, from 1, and its events."""

    script: Script = accept
    requests: list[list[dict[str, Any]]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    port: int = 0

    def start(self) -> None:
        """Listen on a free port."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        """Stop listening."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    async def _serve(self, ready: threading.Event) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/events", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._ended.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        items = body.get("events", [body])
        self.requests.append(items)
        self.keys.add(request.headers["authorization"])
        status, answer, headers = self.script(len(self.requests), items)
        return web.json_response(answer, status=status, headers=headers)


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    """Give a scripted server."""
    found = Ingest()
    found.start()
    yield found
    found.stop()


class Sent:
    """Events given to an outlet, and what was reported of each."""

    def __init__(self, outlet: HttpOutlet, count: int) -> None:
        self.events = list(islice(DemoStore(5, datetime.now(UTC)), count))
        self.reports: deque[tuple[str, HooklineError | None]] = deque()
        for event in self.events:
            outlet.send(event, self._report(event))

    def _report(self, event: Event) -> Callable[[HooklineError | None], None]:
        return lambda error: self.reports.append((event.id, error))

    def wait(self) -> dict[str, HooklineError | None]:
        """Wait until every event is reported, once."""
        deadline = time.monotonic() + 30
        while len(self.reports) < len(self.events) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert Counter(name for name, _ in self.reports) == Counter(event.id for event in self.events)
        return dict(self.reports)


@pytest.fixture
def outlet(ingest: Ingest) -> Iterator[HttpOutlet]:
    """Give an outlet to the scripted server."""
    found = HttpOutlet(f"http://127.0.0.1:{ingest.port}", "hlk_key")
    found.start()
    yield found
    found.close()


@pytest.mark.process
def test_events_arrive_whole_and_once(ingest: Ingest, outlet: HttpOutlet) -> None:
    """Every event is posted with its id, time and store, under the key, in single requests or batches of 50 at most."""
    sent = Sent(outlet, 300)
    assert set(sent.wait().values()) == {None}
    posted = [item for items in ingest.requests for item in items]
    assert sorted(item["id"] for item in posted) == sorted(event.id for event in sent.events)
    assert all(datetime.fromisoformat(item["occurred_at"]).tzinfo for item in posted)
    assert {item["store_id"] for item in posted} == {"demo"}
    assert max(len(items) for items in ingest.requests) <= 50
    assert ingest.keys == {"Bearer hlk_key"}
    assert outlet.waiting() == 0


@pytest.mark.process
def test_what_ingest_cannot_take_now_is_posted_again(ingest: Ingest, outlet: HttpOutlet) -> None:
    """After 503 and 429 the same events are posted again, and reported once they are taken."""
    ingest.script = lambda number, items: (
        accept(number, items) if number > 4 else ((503, 429)[number % 2], {"detail": "later"}, {"retry-after": "0"})
    )
    sent = Sent(outlet, 40)
    assert set(sent.wait().values()) == {None}
    assert len(ingest.requests) > 4


@pytest.mark.process
def test_each_item_of_a_batch_has_its_own_fate(ingest: Ingest, outlet: HttpOutlet) -> None:
    """Of a batch answered 207 the taken are reported, the refused fail with their reason, the postponed are posted again."""
    postponed: set[str] = set()
    refused: set[str] = set()

    def script(_number: int, items: list[dict[str, Any]]) -> tuple[int, dict[str, Any], dict[str, str]]:
        results = [result(item["id"]) for item in items]
        return (207, {"results": results}, {}) if len(items) > 1 else (results[0]["status"], results[0], {})

    def result(name: str) -> dict[str, Any]:
        if name[-1] in "0123456789" and name not in postponed:
            postponed.add(name)
            return {"status": 503, "detail": "later"}
        if name[-1] in "abcdef":
            refused.add(name)
            return {"status": 422, "detail": "not so", "field": "data"}
        return {"status": 202, "id": name}

    ingest.script = script
    reports = Sent(outlet, 200).wait()
    assert postponed
    assert refused
    assert {name for name, error in reports.items() if error is not None} == refused
    assert all(isinstance(reports[name], InputError) and "not so" in str(reports[name]) for name in refused)


@pytest.mark.process
def test_a_wrong_key_is_reported_as_such(ingest: Ingest, outlet: HttpOutlet) -> None:
    """401 is the key's fault: the error says so and names the command that makes one."""
    ingest.script = lambda _number, _items: (401, {"detail": "unknown key"}, {})
    [error] = set(map(str, Sent(outlet, 1).wait().values()))
    assert "unknown key" in error
    assert "hookline api-keys create" in error
    assert isinstance(next(iter(Sent(outlet, 1).wait().values())), Unauthorized)


@pytest.mark.process
def test_closing_reports_what_nobody_answered(ingest: Ingest, outlet: HttpOutlet) -> None:
    """An outlet that is closed while ingest says "later" reports every event as undelivered."""
    ingest.script = lambda _number, _items: (503, {"detail": "later"}, {})
    sent = Sent(outlet, 600)
    outlet.close()
    assert {type(error) for error in sent.wait().values()} == {Undelivered}


# ---- the real ingest ----


@pytest.fixture
def environ(kafka_environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of a cluster with topics of this module's own, and of an ingest on a free port."""
    port = free_port()
    environ = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": PREFIX, "HOOKLINE_EVENT_PARTITIONS": "2", "HOOKLINE_INGEST_PORT": str(port)}
    config, topics = load(KafkaConfig, environ), Topics(PREFIX)
    wanted = {*topics.all_events(), topics.api_keys}
    create(config, [spec for spec in specs(topics, load(TopicsConfig, environ)) if spec.name in wanted], 1)
    return {**environ, "HOOKLINE_INGEST_URL": f"http://127.0.0.1:{port}"}


def hookline(environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start a command of ours."""
    command = [sys.executable, "-m", "hookline.cli.main", *arguments]
    return subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture
def serving(environ: dict[str, str]) -> Iterator[None]:
    """Keep an ingest running."""
    process = hookline(environ, "ingest")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", int(environ["HOOKLINE_INGEST_PORT"])), 1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield
    process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@pytest.mark.kafka
@pytest.mark.usefixtures("serving")
def test_the_store_publishes_through_ingest(environ: dict[str, str], tmp_path: Path) -> None:
    """With --via http the events go through ingest, and those of the ledger are those on Kafka."""
    made, _ = hookline(environ, "api-keys", "create", "--store=demo", "--json").communicate(timeout=60)
    keyed = {**environ, "HOOKLINE_API_KEY": json.loads(made)["key"]}
    process = hookline(keyed, "demo-store", "--via=http", "--rate=400", "--events=600", f"--ledger={tmp_path / 'ledger'}", "--json")
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    assert json.loads(out)["published"] == 600
    registry = EmbeddedRegistry(load(KafkaConfig, environ))
    registry.start()
    codec = Codec(registry)
    found = [codec.decode(message.value() or b"") for message in kafka.scan(load(KafkaConfig, environ), Topics(PREFIX).all_events())]
    registry.stop()
    assert Counter((event.id, event.type, event.store_id) for event in found) == Counter(
        (entry.id, entry.type, entry.store_id) for entry in read(tmp_path / "ledger")
    )
