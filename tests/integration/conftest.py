"""A pipeline for one test: its own topics on the session's broker, real dispatcher processes, a scripted receiver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
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
from hookline.local.kafka_broker import EmbeddedBroker, free_port
from hookline.producers.publisher import Publisher, PublisherConfig
from hookline.schemas.events import Event, example_event
from hookline.schemas.records import Attempt, delivery_id
from hookline.schemas.registration import register_all
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import SCHEMAS, Topics, TopicsConfig, create, specs
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
    """A real HTTP server in a thread; `scripts` decide by path what is answered, 200 by default, `delays` when."""

    calls: list[Call] = field(default_factory=list)
    scripts: dict[str, Callable[[Call], web.Response]] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
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
        await asyncio.sleep(self.delays.get(call.path, 0.0))
        script = self.scripts.get(call.path)
        return script(call) if script is not None else web.Response(text="thanks")

    def start(self) -> None:
        """Listen on a free port, or again on the one it had."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(30)

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


@dataclass(frozen=True, slots=True)
class Account:
    """What a receiver got of what was published: ids that are missing, ids that nobody published, calls beyond the first of an id."""

    lost: set[str]
    strange: set[str]
    duplicates: int
    delivered: int


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
    ports: dict[int, int] = field(default_factory=dict)

    def start_dispatcher(self, **more: str) -> subprocess.Popen[bytes]:
        """Start a dispatcher process, with some variables changed; its log goes to the test's folder."""
        log = (self.folder / f"dispatcher.{len(self.processes)}.log").open("wb")
        command = [sys.executable, "-m", "hookline.cli.main", "dispatch"]
        port = free_port()
        with log:
            environ = {**self.environ, "HOOKLINE_METRICS_PORT": str(port), **more}
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        self.processes.append(process)
        self.ports[process.pid] = port
        return process

    def page(self, process: subprocess.Popen[bytes], path: str) -> tuple[int, str]:
        """Return status and text of a page of a dispatcher's own port; 0 while it does not listen."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[process.pid]}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def log(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a dispatcher has logged."""
        return (self.folder / f"dispatcher.{self.processes.index(process)}.log").read_text()

    def ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Tell whether a dispatcher says that it is ready."""
        return self.page(process, "/readyz")[0] == 200

    def metric(self, process: subprocess.Popen[bytes], name: str) -> float:
        """Return the sum of a metric's samples, 0 while there are none."""
        lines = [line.rpartition(" ") for line in self.page(process, "/metrics")[1].splitlines()]
        return sum(float(value) for sample, _, value in lines if sample == name or sample.startswith(f"{name}{{"))

    def account(self, path: str, webhook: Webhook, events: list[Event]) -> Account:
        """Compare what was published with what a path of the receiver got."""
        wanted = {delivery_id(event.store_id, event.id, webhook.id) for event in events}
        got = Counter(call.id for call in self.receiver.of(path))
        return Account(
            lost=wanted - set(got), strange=set(got) - wanted, duplicates=sum(got.values()) - len(got), delivered=len(wanted & set(got))
        )

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


def until(condition: Callable[[], object], timeout_s: float = 90.0, what: str = "the condition") -> None:
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
    """Yield a pipeline without dispatchers, on the session's broker."""
    with laid(kafka_environ, tmp_path) as made:
        yield made


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """Give a broker that the test may stop and kill."""
    found = EmbeddedBroker(tmp_path / "broker")
    found.start()
    yield found
    found.stop()


@pytest.fixture
def own_pipeline(own_broker: EmbeddedBroker, kafka_environ: dict[str, str], tmp_path: Path) -> Iterator[Pipeline]:
    """Yield a pipeline without dispatchers, on a broker of its own."""
    with on_broker(own_broker, kafka_environ, tmp_path) as made:
        yield made


@contextlib.contextmanager
def on_broker(broker: EmbeddedBroker, kafka_environ: dict[str, str], tmp_path: Path) -> Iterator[Pipeline]:
    """Lay a pipeline on a started broker that has nothing yet."""
    environ = {**kafka_environ, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
    config = load(KafkaConfig, environ)
    create(config, [spec for spec in specs(Topics("unused"), load(TopicsConfig, environ)) if spec.name == SCHEMAS], 1)
    registry = EmbeddedRegistry(config)
    registry.start()
    register_all(registry)
    registry.stop()
    with laid(environ, tmp_path) as made:
        yield made


@contextlib.contextmanager
def laid(cluster: dict[str, str], tmp_path: Path) -> Iterator[Pipeline]:
    """Lay a pipeline with topics of its own; at the end stop by pid whatever the test started."""
    environ = {
        **os.environ,
        **cluster,
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
