"""A console for the tests: its own topics on the session's broker, the real process with the embedded engine, a dispatcher, a receiver."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.local.kafka_broker import EmbeddedBroker
from hookline.schemas.topics import Topics, TopicsConfig, create, specs

OPERATOR: Final = "operator-token-of-the-tests-0123456789"
PREFIX: Final = "/api/v1"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the console."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code, empty for a success."""
        return str(self.json["code"]) if self.headers.get("content-type") == "application/problem+json" else ""


@dataclass
class Client:
    """Calls one console with one key; `source` is the address it calls from."""

    port: int
    key: str = ""
    source: str = "127.0.0.1"

    def call(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None, raw: bytes | None = None) -> Reply:
        """Return the answer to a request; `path` is below the prefix, `raw` a body as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(self.source, 0))
        found = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        if data is not None:
            found["Content-Type"] = "application/json"
        try:
            connection.request(method, PREFIX + path, data, {**found, **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        """GET."""
        return self.call("GET", path, headers=headers)

    def post(self, path: str, body: object = None, **headers: str) -> Reply:
        """POST."""
        return self.call("POST", path, body, headers)


@dataclass
class Receiver:
    """A real receiver; `answers` maps a path to status and body, 200 by default."""

    port: int = 0
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}/{path}"


@dataclass
class Stack:
    """A running console and what stands around it."""

    environ: dict[str, str]
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    receiver: Receiver
    broker_pid: int

    def client(self, key: str = "") -> Client:
        """Return a client with a key."""
        return Client(self.port, key)

    @property
    def operator(self) -> Client:
        """A client that may act for every store."""
        return self.client(OPERATOR)

    def key(self, store: str, *scopes: str) -> str:
        """Return a new key of a store."""
        made = self.operator.post(f"/api-keys?store={store}", {"scopes": list(scopes)})
        assert made.status == 201, made
        return str(made.json["key"])

    def admin(self, store: str) -> Client:
        """Return a client with an admin key of a store."""
        return self.client(self.key(store, "admin"))


def until(condition: Callable[[], object], timeout_s: float = 90.0, what: str = "the condition") -> None:
    """Wait until a condition holds; fail the test with its name when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not in {timeout_s:g} s: {what}")
        time.sleep(0.05)


def environ_of(kafka_environ: dict[str, str], folder: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a console with topics of its own, which are made; `settings` replace what stands here."""
    environ = {
        **os.environ,
        **kafka_environ,
        "HOOKLINE_STATE_DIR": str(folder),
        "HOOKLINE_TOPIC_PREFIX": f"c{os.urandom(4).hex()}",
        "HOOKLINE_EVENT_PARTITIONS": "2",
        "HOOKLINE_RETRY_PARTITIONS": "1",
        "HOOKLINE_ATTEMPT_PARTITIONS": "1",
        "HOOKLINE_RETRY_TIERS": "300ms,1s,3s",
        "HOOKLINE_RETRY_SCHEDULE": "300ms,1s",
        "HOOKLINE_PARK_TIERS": "300ms,1s",
        "HOOKLINE_BREAKER_STRAIGHT": "1000",
        "HOOKLINE_OPERATOR_TOKEN": OPERATOR,
        "HOOKLINE_CONSOLE_PORT": "0",
        "HOOKLINE_CONSOLE_UPLOAD_S": "4",
        "HOOKLINE_CONSOLE_TRIAL_WAIT_S": "30",
        "HOOKLINE_QUERY_TOKEN": "query-token-of-the-tests",
        "HOOKLINE_SINK_BATCH_WAIT_S": "0.2",
        **settings,
    }
    config = load(KafkaConfig, environ)
    create(config, specs(Topics(config.topic_prefix), load(TopicsConfig, environ)), 1)
    return environ


def start(environ: dict[str, str], log: Path, *command: str) -> subprocess.Popen[bytes]:
    """Start one of Hookline's processes; its log goes to a file."""
    with log.open("wb") as out:
        return subprocess.Popen([sys.executable, "-m", "hookline.cli.main", *command], env=environ, stdout=out, stderr=out)


def port_in(log: Path, event: str, name: str = "port") -> int:
    """Wait for a line of a process's log, and return the port that it names."""
    line = re.compile(rb'^\{[^\n]*"event": "' + event.encode() + rb'"[^\n]*\}$', re.MULTILINE)
    until(lambda: line.search(log.read_bytes()), what=f"{event} in {log.name}")
    found = line.search(log.read_bytes())
    assert found is not None
    return int(json.loads(found[0])[name])


def end(process: subprocess.Popen[bytes]) -> int:
    """Stop a process by its pid, and return its status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
    return process.returncode


@pytest.fixture(name="until", scope="session")
def until_fixture() -> Callable[..., None]:
    """Give tests the waiting function."""
    return until


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Yield a receiver in a thread."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.calls.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, text = found.answers.get(self.path, (200, b"thanks"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(10)


@contextmanager
def running(environ: dict[str, str], folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Yield the port and the process of a console with a dispatcher beside it; both must end well."""
    process = start(environ, folder / "console.log", "console")
    dispatcher = start(environ, folder / "dispatcher.log", "dispatch")
    try:
        yield port_in(folder / "console.log", "console.listening"), process
    finally:
        statuses = end(dispatcher), end(process)
    assert statuses == (0, 0), (folder / "console.log").read_text()[-4_000:]


@pytest.fixture(scope="session")
def stack(
    broker: EmbeddedBroker, kafka_environ: dict[str, str], receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Yield a running console with a dispatcher beside it, shared by the tests of the session; each test uses stores of its own."""
    folder = tmp_path_factory.mktemp("console")
    environ = environ_of(kafka_environ, folder)
    with running(environ, folder) as (port, process):
        yield Stack(environ, port, process, folder / "console.log", receiver, broker.pid)


@pytest.fixture
def console_process() -> Callable[..., Any]:
    """Give tests a way to run a console of their own, with settings of their own."""

    @contextmanager
    def console(kafka_environ: dict[str, str], folder: Path, **settings: str) -> Iterator[int]:
        with running({**environ_of(kafka_environ, folder), **settings}, folder) as (port, _):
            yield port

    return console


@pytest.fixture
def console_alone() -> Callable[..., Any]:
    """Give tests a way to run a console that they may end themselves."""

    @contextmanager
    def console(kafka_environ: dict[str, str], folder: Path, **settings: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        process = start(environ_of(kafka_environ, folder, **settings), folder / "console.log", "console")
        try:
            yield port_in(folder / "console.log", "console.listening"), process
        finally:
            status = end(process)
        assert status == 0, (folder / "console.log").read_text()[-4_000:]

    return console


@pytest.fixture
def client_of() -> Callable[[int], Client]:
    """Give tests a client of a console's port, without a key and from an address of its own."""
    return lambda port: Client(port, source=f"127.55.{port % 250}.1")


@pytest.fixture
def operator_token() -> str:
    """Return the operator's token."""
    return OPERATOR


@pytest.fixture
def store() -> str:
    """Return the id of a store that no other test uses."""
    return f"s{os.urandom(5).hex()}"


@pytest.fixture
def admin(stack: Stack, store: str) -> Client:
    """Return a client that may do everything in the test's store."""
    return stack.admin(store)


@dataclass
class Shop:
    """A store of the test's own with what happens in it."""

    stack: Stack
    store: str
    admin: Client

    def webhook(self, path: str, status: int = 200, **more: Any) -> str:
        """Return the id of a new webhook whose receiver answers with a status."""
        self.stack.receiver.answers[f"/{path}"] = (status, b"said " + path.encode())
        made = self.admin.post("/webhooks", {"url": self.stack.receiver.url(path), "event_types": ["order.created"], **more})
        assert made.status == 201, made
        return str(made.json["id"])

    def publish(self, name: str = "order.created", **more: Any) -> str:
        """Publish the example of an event type; return the event's id."""
        data = self.admin.get(f"/event-types/{name}").json["example"]
        sent = self.admin.post("/events", {"type": name, "data": data, **more})
        assert sent.status == 202, sent
        return str(sent.json["id"])

    def lines(self, query: str = "") -> list[dict[str, Any]]:
        """Return a page of the log."""
        reply = self.admin.get(f"/deliveries?limit=1000{query and '&'}{query}")
        assert reply.status == 200, reply
        found: list[dict[str, Any]] = reply.json["data"]
        return found

    def logged(self, count: int, query: str = "each=attempt") -> list[dict[str, Any]]:
        """Wait until the log has so many lines, and return them."""
        until(lambda: len(self.lines(query)) >= count, what=f"{count} lines of {query}")
        found = self.lines(query)
        assert len(found) == count, found
        return found


@pytest.fixture
def shop(stack: Stack, store: str, admin: Client) -> Shop:
    """Return the test's store."""
    return Shop(stack, store, admin)


@dataclass
class Mortal:
    """A console with topics of its own that can be killed and started again over the same folder; a dispatcher works beside it."""

    environ: dict[str, str]
    folder: Path
    receiver: Receiver
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def operator(self) -> Client:
        """A client that may act for every store."""
        return Client(self.port, OPERATOR)

    def start(self) -> None:
        """Start the console, and return when it listens."""
        log = self.folder / f"console-{os.urandom(3).hex()}.log"
        self.process = start(self.environ, log, "console")
        self.port = port_in(log, "console.listening")

    def kill(self) -> None:
        """End the console as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def mortal(kafka_environ: dict[str, str], receiver: Receiver, tmp_path: Path) -> Iterator[Mortal]:
    """Yield such a console, started."""
    environ = environ_of(
        kafka_environ, tmp_path, HOOKLINE_RETRY_PARTITIONS="3", HOOKLINE_SESSION_TIMEOUT_MS="6000", HOOKLINE_BREAKER_SUCCESS_RATE="0"
    )
    dispatcher = start(environ, tmp_path / "dispatcher.log", "dispatch")
    found = Mortal(environ, tmp_path, receiver)
    try:
        found.start()
        yield found
    finally:
        for process in (dispatcher, found.process):
            if process is not None:
                end(process)
