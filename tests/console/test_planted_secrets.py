"""Secrets are planted everywhere a person may put one; afterwards logs, metrics, error answers, topics, tables and files hold none."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.console.conftest import Client, Reply, end, environ_of, port_in, start
from tests.console.planted import Planted, files_under, marker, pages_of, tables_of, topics_of
from tests.webhooks.certified import certificate, pem

pytestmark = [pytest.mark.kafka, pytest.mark.process, pytest.mark.clickhouse]

MINED = {"payload", "query"}
"""What is the store's own business data: it lies on topics or in the log on purpose, and still in no log line, metric or error."""


@contextmanager
def parrot() -> Iterator[int]:
    """Yield the port of a receiver that repeats what it was sent, head and body; its path says with which status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = str(self.headers).encode("latin-1") + body
            self.send_response(int(self.path[1:4]))
            for name in ("Authorization", "X-Own"):
                self.send_header("X-Echo", self.headers.get(name, ""))
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(10)


@dataclass
class Scene:
    """A pipeline with secrets in it, and the answers that it gave."""

    environ: dict[str, str]
    planted: Planted
    operator: Client
    ingest_port: int
    folder: Path
    said: list[tuple[str, bytes]] = field(default_factory=list)

    def ask(self, client: Client, method: str, path: str, body: object = None, raw: bytes | None = None) -> Reply:
        """Call, and keep the answer for the search."""
        reply = client.call(method, path, body, {"If-Match": "*"} if method == "PATCH" else None, raw)
        self.said.append((f"{method} {path[:60]} {reply.status}", repr(reply.headers).encode() + reply.body))
        return reply

    def told(self, client: Client, path: str, body: object, name: str) -> Any:
        """Call where one secret is shown on purpose, this once: it is planted, and no other may be beside it."""
        reply = client.post(path, body)
        assert reply.status in {200, 201}, reply
        self.planted.add(name, str(reply.json.get("secret") or reply.json.get("key")))
        assert self.planted.found_in(reply.body) - MINED == {name}
        return reply.json

    def command(self, *words: str, **more: str) -> None:
        """Run the command line, and keep what it said."""
        run = subprocess.run(
            [sys.executable, "-m", "hookline.cli.main", *words], env={**self.environ, **more}, capture_output=True, timeout=60, check=False
        )
        self.said.append((f"hookline {words[0]} {run.returncode}", run.stdout + run.stderr))


@contextmanager
def scene(kafka_environ: dict[str, str], folder: Path) -> Iterator[Scene]:
    """Yield a console, a dispatcher and an ingest, all of whose own secrets are planted; their logs are at DEBUG."""
    planted = Planted()
    environ = environ_of(
        kafka_environ,
        folder,
        HOOKLINE_OPERATOR_TOKEN=planted.add("operator token", marker("operator")),
        HOOKLINE_API_KEY_PEPPER=planted.add("pepper", marker("pepper")),
        HOOKLINE_QUERY_TOKEN=planted.add("query token", marker("query")),
        KAFKA_SASL_PASSWORD=planted.add("Kafka's password", marker("sasl")),
        HOOKLINE_INGEST_PORT="0",
    )
    master = os.urandom(32)
    environ["HOOKLINE_SECRET_KEYS"] = "k1:" + base64.b64encode(master).decode()
    planted.forms["master key"] = [master, base64.b64encode(master), master.hex().encode()]
    logs = {name: folder / f"{name}.log" for name in ("console", "dispatch", "ingest")}
    with ExitStack() as stack:
        for name, log in logs.items():
            stack.callback(end, start(environ, log, name, "--log-level", "DEBUG"))
        operator = Client(port_in(logs["console"], "console.listening"), environ["HOOKLINE_OPERATOR_TOKEN"])
        yield Scene(environ, planted, operator, port_in(logs["ingest"], "ingest.listening"), folder)


def play(scene: Scene, receiver: int, until: Callable[..., None]) -> None:
    """Do all that puts secrets into the pipeline: keys, webhooks, headers, calls that succeed and fail, faults of every kind."""
    planted = scene.planted
    key = scene.told(scene.operator, "/api-keys?store=shop", {"scopes": ["admin"]}, "API key")["key"]
    admin = Client(scene.operator.port, key)
    headers = {
        "Authorization": planted.add("authorization header", f"Bearer {marker('auth')}"),
        "x-own": planted.add("own header", marker("own")),
    }
    query = planted.add("query", marker("inquery"))
    mutual = {"certificate": certificate(at=datetime.now(UTC)), "private_key": planted.add_pem("private key", pem())}
    wanted = {"url": "https://127.0.0.1:9/mutual", "event_types": ["order.created"], "client_certificate": mutual}
    scene.told(admin, "/webhooks", wanted, "secret of the mutual one")
    hooks = []
    for status in (200, 500, 410):
        url = f"http://127.0.0.1:{receiver}/{status}?t={query}"
        wanted = {"url": url, "event_types": ["order.created"], "headers": headers}
        hooks.append(scene.told(admin, "/webhooks", wanted, f"secret {status}")["id"])
    scene.told(admin, f"/webhooks/{hooks[0]}/rotate-secret", {}, "rotated secret")
    given = planted.add("given secret", "whsec_" + base64.b64encode(os.urandom(32)).decode())
    scene.told(admin, f"/webhooks/{hooks[0]}/rotate-secret", {"secret": given}, "given secret")
    faults(scene, admin, hooks[0], given, headers)
    data = admin.get("/event-types/order.created").json["example"]
    data["order"]["note"] = planted.add("payload", marker("note"))
    ingest = Client(scene.ingest_port, key)
    for client in (admin, ingest):
        assert scene.ask(client, "POST", "/events", {"type": "order.created", "data": data}).status == 202
    scene.ask(ingest, "POST", "/events", {"type": "order.created", "data": {**data, "more": 1}})
    until(lambda: len(admin.get("/deliveries?limit=1000&each=attempt").json["data"]) >= 2 + 6 + 1, what="the attempts in the log")
    until(lambda: len(admin.get("/dead-letters").json["data"]) >= 3, what="the dead letters")
    scene.ask(admin, "POST", f"/webhooks/{hooks[0]}/test")
    assert scene.ask(admin, "POST", "/replays", {"source": "dead_letters"}).status in {201, 202}
    for path in ("/webhooks", f"/webhooks/{hooks[0]}", "/api-keys", "/audit", f"/webhooks/{hooks[1]}/statistics"):
        assert scene.ask(admin, "GET", path).status == 200


def faults(scene: Scene, admin: Client, hook: str, secret: str, headers: dict[str, str]) -> None:
    """Ask for what is refused, with secrets in the request: no answer may repeat them."""
    planted = scene.planted
    password = planted.add("password in a URL", marker("pw"))
    near = planted.add("a key that is nearly right", admin.key[:-6] + os.urandom(3).hex())
    auth = headers["Authorization"]
    for body in (
        {"url": f"https://user:{password}@hooks.example.com/", "event_types": ["order.created"]},
        {"url": "https://hooks.example.com/", "event_types": ["order.created"], "secret": secret + "!"},
        {"url": "https://hooks.example.com/", "event_types": ["order.created"], "secret": [secret]},
        {"url": "https://hooks.example.com/", "event_types": ["order.created"], "headers": {"x-own": f"{auth}\r\nx: y"}},
        {"url": "https://hooks.example.com/", "event_types": ["order.created"], "headers": {"host": auth}},
    ):
        assert scene.ask(admin, "POST", "/webhooks", body).status == 422
    for wrong in ({"private_key": pem()}, {"certificate": pem(), "private_key": pem()}, {"certificate": [pem()]}, pem()):
        assert scene.ask(admin, "PATCH", f"/webhooks/{hook}", {"client_certificate": wrong}).status == 422
    assert scene.ask(admin, "PATCH", f"/webhooks/{hook}", {"headers": {"x": [auth]}}).status == 422
    assert scene.ask(admin, "POST", "/webhooks", raw=b'{"secret": "' + secret.encode() + b'", "secret": 1}').status == 400
    assert scene.ask(admin, "POST", "/webhooks", raw=b'{"secret": "' + secret.encode() + b'"').status == 400
    assert scene.ask(admin, "POST", f"/webhooks/{hook}/rotate-secret", {"secret": "x" + secret}).status == 422
    for port in (scene.operator.port, scene.ingest_port):
        for wrong in (near, scene.operator.key[:-1], password):
            scene.ask(Client(port, wrong), "POST", "/events", {"type": "order.created", "data": {}})
    scene.command("webhooks", "create", "--url", f"https://user:{password}@hooks.example.com/", "--type", "order.created")
    scene.command("webhooks", "create", "--url", "https://hooks.example.com/", "--type", "order.created", "--secret", secret + "!")
    scene.command("webhooks", "show", hook, "--json")
    scene.command("config")
    scene.command("config", "--json")
    scene.command("migrate", "status", CLICKHOUSE_URL=f"http://user:{password}@127.0.0.1:9/db")


def test_no_secret_shows_anywhere(kafka_environ: dict[str, str], tmp_path: Path, until: Callable[..., None]) -> None:
    """Keys, secrets, passwords, tokens and header values: 0 hits in answers, commands, metrics, logs, topics, tables and files."""
    with parrot() as receiver, scene(kafka_environ, tmp_path) as played:
        play(played, receiver, until)
        pages = [page for log in sorted(tmp_path.glob("*.log")) for page in pages_of(log)]
    planted, secrets = played.planted, [name for name in played.planted.forms if name not in MINED]
    logs = [(path.name, path.read_bytes()) for path in sorted(tmp_path.glob("*.log"))]
    topics, tables = list(topics_of(played.environ)), list(tables_of(played.environ))
    assert len(secrets) >= 15
    assert [(where, found) for where, text in [*played.said, *pages, *logs] if (found := planted.found_in(text) - {"query"})] == []
    assert [(where, found) for where, text in logs + pages if (found := planted.found_in(text, "query"))] == []
    assert [
        (where, found) for where, text in [*topics, *tables, *files_under(tmp_path)] if (found := planted.found_in(text, *secrets))
    ] == []
    # The search sees: what is there on purpose is found, in each kind of place.
    assert any(re.search(r"\.events\.orders$", where) for where, text in topics if planted.found_in(text, "payload"))
    assert {where for where, text in tables if planted.found_in(text, "query")} == {"default.attempts.url"}
    assert any(b"delivery.attempted" in text for _, text in logs)
    assert any(b"hookline_dispatcher_attempts_total" in text for _, text in pages)
