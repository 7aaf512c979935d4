"""A pipeline for one test: its own topics on the session's broker, real dispatcher processes, a scripted receiver."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook as Verifier

from hookline.dispatcher.replays import DeadLetters, FoundLetter, LetterFilter, Replays
from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.producers.publisher import Publisher, PublisherConfig
from hookline.schemas.events import Event, example_event
from hookline.schemas.records import Attempt
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec
from hookline.webhooks.model import Webhook
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import SecretsConfig, Vault
from hookline.webhooks.store import NewWebhook, Webhooks
from hookline.webhooks.urls import UrlPolicy

Script = Callable[["Call"], web.StreamResponse]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the receiver got; `number` counts the calls of this webhook-id, from 1."""

    path: str
    headers: dict[str, str]
    body: bytes
    number: int
    at: float

    @property
    def id(self) -> str:
        """The webhook-id."""
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """A real HTTP server in a thread; `scripts` decide by path what is answered, 200 by default."""

    calls: list[Call] = field(default_factory=list)
    scripts: dict[str, Callable[[Call], web.Response]] = field(default_factory=dict)
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _ended: asyncio.Event = field(init=False)
    _thread: threading.Thread | None = None
    _numbers: Counter[str] = field(default_factory=Counter)

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def of(self, path: str) -> list[Call]:
        """Return the calls to a path so far."""
        return [call for call in list(self.calls) if call.path == path]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._numbers[headers["webhook-id"]] += 1
        call = Call(request.path.strip("/"), headers, body, self._numbers[headers["webhook-id"]], time.time())
        self.calls.append(call)
        script = self.scripts.get(call.path)
        return script(call) if script is not None else web.Response(text="thanks")

    def start(self) -> None:
        """Listen on a free port, or again on the one it had."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    async def _serve(self, ready: threading.Event) -> None:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._ended.wait()
        await runner.cleanup()

    def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(10)
            self._thread = None


@dataclass
class Pipeline:
    """Everything a test of the pipeline touches."""

    environ: dict[str, str]
    config: KafkaConfig
    topics: Topics
    codec: Codec
    webhooks: Webhooks
    registry: WebhookRegistry
    publisher: Publisher
    receiver: Receiver
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def start_dispatcher(self) -> subprocess.Popen[bytes]:
        """Start a dispatcher process; its log goes to the test's folder."""
        log = (self.folder / f"dispatcher.{len(self.processes)}.log").open("wb")
        command = [sys.executable, "-m", "hookline.cli.main", "dispatch"]
        with log:
            process = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def create(self, path: str, *types: str, **more: object) -> Webhook:
        """Create a webhook of store `shop` that calls the receiver's path."""
        wanted = NewWebhook(store_id="shop", url=self.receiver.url(path), event_types=types or ("order.created",), **more)  # type: ignore[arg-type]
        webhook, secret = self.webhooks.create(wanted)
        self.secrets[webhook.id] = secret
        return webhook

    def publish(self, event_type: str = "order.created", count: int = 1) -> list[Event]:
        """Publish examples; return them once Kafka has them all."""
        events = [example_event(event_type, "shop", clock=SystemClock()) for _ in range(count)]
        self.publisher.publish_many(events)
        return events

    def attempts(self) -> list[Attempt]:
        """Return every attempt record so far."""
        return [self.codec.decode_attempt(m.value() or b"") for m in kafka.scan(self.config, [self.topics.attempts])]

    def letters(self) -> list[FoundLetter]:
        """Return every dead letter so far."""
        return list(DeadLetters(self.config, self.topics).find(LetterFilter()))

    def replays(self) -> Replays:
        """Return the writer of replays."""
        return Replays(self.config, self.topics, self.codec)

    def verify(self, call: Call, webhook: Webhook) -> None:
        """Check a call's signature with the official library; it raises when the signature is wrong."""
        Verifier(self.secrets[webhook.id]).verify(call.body, call.headers)

    def produce_raw(self, value: bytes, category: str = "orders") -> None:
        """Put bytes on an event topic that no publisher would."""
        kafka.produce_sync(kafka.producer(self.config), self.topics.events(category), key=b"shop:x", value=value)


def until(condition: Callable[[], object], timeout_s: float = 30.0, what: str = "the condition") -> None:
    """Wait until a condition holds; fail the test with its name when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not in {timeout_s:g} s: {what}")
        time.sleep(0.05)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., None]:
    """Give tests the waiting function."""
    return until


@pytest.fixture
def pipeline(kafka_environ: dict[str, str], tmp_path: Path) -> Iterator[Pipeline]:
    """Yield a pipeline without dispatchers; stop by pid whatever the test started."""
    environ = {
        **os.environ,
        **kafka_environ,
        "HOOKLINE_STATE_DIR": str(tmp_path),
        "HOOKLINE_RETRY_TIERS": "300ms,1s,3s",
        "HOOKLINE_RETRY_SCHEDULE": "300ms,1s",
        "HOOKLINE_PARK_TIERS": "300ms,1s",
        "HOOKLINE_BREAKER_OPEN_S": "1",
        "HOOKLINE_SESSION_TIMEOUT_MS": "6000",
        "HOOKLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}",
        "HOOKLINE_EVENT_PARTITIONS": "3",
        "HOOKLINE_RETRY_PARTITIONS": "2",
        "HOOKLINE_REPLICATION_FACTOR": "1",
    }
    config = load(KafkaConfig, environ)
    topics = Topics(config.topic_prefix)
    create(config, specs(topics, load(TopicsConfig, environ)), 1)
    schema_registry = EmbeddedRegistry(config)
    schema_registry.start()
    codec = Codec(schema_registry)
    registry = WebhookRegistry(config, topics, codec)
    registry.start()
    vault, policy = Vault.from_config(load(SecretsConfig, environ)), load(UrlPolicy, environ)
    receiver = Receiver()
    receiver.start()
    publisher = Publisher(config, schema_registry, load(PublisherConfig, environ))
    publisher.start()
    webhooks = Webhooks(config, topics, registry, vault, codec, policy, SystemClock())
    made = Pipeline(environ, config, topics, codec, webhooks, registry, publisher, receiver, tmp_path)
    yield made
    for process in made.processes:
        _end(process)
    publisher.close()
    registry.stop()
    schema_registry.stop()
    receiver.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
