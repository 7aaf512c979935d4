"""The registry over REST, against a small real HTTP server that speaks Confluent's API and misbehaves on demand."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.errors import RegistryUnavailable, SchemaError, UnknownSchema, WireError
from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.events import Event, example_event
from hookline.schemas.registered import RegistryConfig
from hookline.schemas.registration import problems, register_all
from hookline.schemas.rest_registry import RestRegistry
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.process

PAID = "hookline.orders.OrderPaid"
Answer = tuple[int, bytes]


class Stub:
    """A schema registry in memory behind real HTTP; `trouble` answers in its place when it is set."""

    def __init__(self) -> None:
        self.schemas: list[str] = []
        self.subjects: dict[str, list[int]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.trouble: Callable[[str], Answer | None] | None = None
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                stub.asked.append((self.command, self.path, dict(self.headers)))
                trouble = stub.trouble(self.path) if stub.trouble is not None else None
                status, answer = trouble or stub.answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = handle_one  # noqa: N815  # the library's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        """Answer as Confluent's registry does."""
        found = self._found(method, path.strip("/").split("/"), body)
        return (200, json.dumps(found).encode()) if found is not None else (404, b'{"error_code":40401,"message":"not found"}')

    def _found(self, method: str, parts: list[str], body: dict[str, Any]) -> Any:
        match [method, *parts]:
            case ["GET", "subjects"]:
                return sorted(self.subjects)
            case ["GET", "schemas", "ids", text] if 0 < int(text) <= len(self.schemas):
                return {"schema": self.schemas[int(text) - 1]}
            case [_, "subjects", subject, *more] if method == "GET" and subject in self.subjects:
                return self._version(subject, more)
            case ["POST", "subjects", subject, "versions"]:
                self.schemas.append(body["schema"])
                self.subjects.setdefault(subject, []).append(len(self.schemas))
                return {"id": len(self.schemas)}
            case ["POST", "subjects", subject]:
                return next(({"id": n} for n in self.subjects.get(subject, ()) if self.schemas[n - 1] == body["schema"]), None)
        return None

    def _version(self, subject: str, more: list[str]) -> Any:
        numbers = self.subjects[subject]
        if more == ["versions"]:
            return list(range(1, len(numbers) + 1))
        number = numbers[int(more[1]) - 1]
        return {"subject": subject, "version": int(more[1]), "id": number, "schema": self.schemas[number - 1]}

    def stop(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Yield a registry that answers."""
    found = Stub()
    yield found
    found.stop()


def registry_at(url: str, timeout_s: float = 10.0, **more: str) -> RestRegistry:
    """Return the registry at an address."""
    return RestRegistry(load(RegistryConfig, {"SCHEMA_REGISTRY_URL": url, **more}), timeout_s)


def event() -> Event:
    """Return an event."""
    return example_event("order.paid", "shop", clock=SystemClock())


def test_schemas_are_registered_once_and_read_back(stub: Stub) -> None:
    """Registration over REST gives ids, is idempotent, and events encode and decode through it."""
    registry = registry_at(stub.url)
    registry.start()
    first = register_all(registry)
    assert [(r.subject, r.new) for r in first] == [(subject, True) for subject in SCHEMAS]
    assert not any(r.new for r in register_all(registry))
    assert problems(registry) == []
    codec = Codec(registry_at(stub.url))
    one = event()
    assert codec.decode(codec.encode(one)) == one
    assert registry.versions(PAID)[0].schema == SCHEMAS[PAID]
    assert registry.versions("no.such.subject") == []
    registry.stop()


def test_a_known_id_is_asked_for_once(stub: Stub) -> None:
    """Ids never change their meaning, so each is fetched one time."""
    register_all(registry_at(stub.url))
    registry = registry_at(stub.url)
    for _ in range(5):
        assert registry.subject_of(1) == next(iter(SCHEMAS))
    assert [path for _, path, _ in stub.asked].count("/schemas/ids/1") == 1


def test_credentials_are_sent_and_never_shown(stub: Stub) -> None:
    """SCHEMA_REGISTRY_CREDENTIALS become basic authentication; a refusal names the variable, not the password."""
    registry = registry_at(stub.url, SCHEMA_REGISTRY_CREDENTIALS="user:topsecret")
    registry.start()
    assert stub.asked[0][2]["Authorization"] == "Basic dXNlcjp0b3BzZWNyZXQ="
    stub.trouble = lambda _: (401, b"who are you")
    with pytest.raises(RegistryUnavailable) as refused:
        registry.start()
    assert "SCHEMA_REGISTRY_CREDENTIALS" in refused.value.remedy
    assert "topsecret" not in str(refused.value)


def test_an_unregistered_build_is_told_the_remedy(stub: Stub) -> None:
    """A schema that the registry does not have names the command."""
    with pytest.raises(SchemaError) as refused:
        registry_at(stub.url).id_of(PAID)
    assert "hookline schemas register" in refused.value.remedy


def test_an_unknown_id_is_unknown_until_it_is_registered(stub: Stub) -> None:
    """An id that the registry does not have is unknown now, and known once it is there."""
    registry = registry_at(stub.url)
    for _ in range(3):
        with pytest.raises(UnknownSchema):
            registry.schema_of(1)
    assert len(stub.asked) == 1
    registry_at(stub.url).register(PAID, dict(SCHEMAS[PAID]))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(UnknownSchema):
            assert registry.subject_of(1) == PAID
            return
        time.sleep(0.1)
    pytest.fail("the id was never asked for again")


def test_a_refused_registration_carries_the_registrys_words(stub: Stub) -> None:
    """When the registry finds a schema incompatible, its reason is passed on."""
    stub.trouble = lambda path: (409, b'{"message":"incompatible: field x"}') if path.endswith("/versions") else None
    with pytest.raises(SchemaError, match="field x"):
        registry_at(stub.url).register(PAID, dict(SCHEMAS[PAID]))


NONSENSE: list[Answer] = [
    (500, b"oops"),
    (503, b""),
    (429, b"slow down"),
    (200, b""),
    (200, b"<html>"),
    (200, b"[]"),
    (200, b"null"),
    (200, b"{}"),
    (200, b'{"schema": 7}'),
    (200, b'{"schema": "{"}'),
    (200, b"\xff\xfe"),
]
STRANGE = [
    b'{"schema": "[]"}',
    b'{"schema": "{}"}',
    b'{"schema": "\\"string\\""}',
    b'{"schema": "{\\"type\\": \\"enum\\", \\"name\\": \\"E\\", \\"symbols\\": []}"}',
    b'{"schema": "message", "schemaType": "PROTOBUF"}',
]


@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: f"{answer[0]} {answer[1][:20]!r}")
def test_a_registry_that_answers_nonsense_is_unavailable(stub: Stub, answer: Answer) -> None:
    """Errors and answers of another shape are the registry's fault: the record is not poison, it can be tried again."""
    register_all(registry_at(stub.url))
    value = Codec(registry_at(stub.url)).encode(event())
    codec = Codec(registry_at(stub.url))
    stub.trouble = lambda _: answer
    with pytest.raises(RegistryUnavailable) as unavailable:
        codec.decode(value)
    assert not isinstance(unavailable.value, WireError)
    stub.trouble = None
    codec.decode(value)


@pytest.mark.parametrize("answer", STRANGE)
def test_an_id_of_something_else_is_the_records_fault(stub: Stub, answer: bytes) -> None:
    """An id that truly stands for what is no Avro record makes the record poison: it must not be tried for ever."""
    stub.trouble = lambda _: (200, answer)
    with pytest.raises(UnknownSchema):
        Codec(registry_at(stub.url)).decode(b"\0\0\0\0\1abc")


def test_a_registry_that_is_down_is_named(stub: Stub) -> None:
    """Nobody listening: the error names the address and the variable; what is known already goes on."""
    register_all(registry_at(stub.url))
    registry = registry_at(stub.url)
    codec = Codec(registry)
    value = codec.encode(event())
    codec.decode(value)
    stub.stop()
    assert codec.decode(value).type == "order.paid"
    with pytest.raises(RegistryUnavailable, match=stub.url) as unavailable:
        registry.schema_of(1_000)
    assert "SCHEMA_REGISTRY_URL" in unavailable.value.remedy


def test_a_registry_that_never_answers_is_given_up() -> None:
    """A registry that takes the connection and says nothing is given up after the time limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = registry_at(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.3)
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable):
            registry.start()
        assert time.monotonic() - started < 30
