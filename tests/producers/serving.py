"""Ingest in this process, over fakes: real HTTP on a free port, no Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from aiohttp import ClientSession

from hookline.kernel.config import load
from hookline.kernel.tracing import Tracing
from hookline.producers.ingest.acceptance import Acceptance
from hookline.producers.ingest.app import PATH, IngestApp
from hookline.producers.ingest.body import Bodies
from hookline.producers.ingest.config import IngestConfig
from hookline.producers.ingest.door import Door
from hookline.producers.ingest.gate import Gate
from hookline.producers.ingest.reader import EventReader
from hookline.producers.ingest.remembered import Remembered
from hookline.producers.ingest.server import Server
from tests.producers.fakes import FakeClock, FakeKeys, FakeOutlet, stock

KEY = "good"
_LARGE = 1_000_000  # aiohttp's client warns of larger bytes
CONFIG = load(IngestConfig, {})


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Serving:
    """A running ingest and its fakes."""

    config: IngestConfig = CONFIG
    outlet: FakeOutlet = field(default_factory=FakeOutlet)
    keys: FakeKeys = field(default_factory=FakeKeys)
    clock: FakeClock = field(default_factory=FakeClock)
    max_event_bytes: int = 262_144
    tracing: Tracing | None = None
    port: int = 0
    session: ClientSession = field(init=False)
    gate: Gate = field(init=False)

    def server(self) -> Server:
        """Wire the server as the process does."""
        remembered = Remembered(self.config.remembered, self.config.remembered_s, self.clock)
        self.gate = Gate(self.outlet, self.outlet, self.config, self.clock)
        acceptance = Acceptance(EventReader(self.config, self.clock), self.gate, remembered, self.max_event_bytes)
        door = Door(self.keys, self.config.auth_failures, self.clock)
        bodies, large = Bodies(self.config.max_body_bytes), self.max_event_bytes
        app = IngestApp(door, bodies, acceptance, remembered, max_batch=self.config.max_batch, large=large, tracing=self.tracing)
        return Server(app, bodies, self.config)

    async def post(self, value: object, *, key: str | None = KEY, method: str = "POST", path: str = PATH, **headers: str) -> Answer:
        """Send a value as JSON, or bytes as they are; `_` in a header's name stands for `-`."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        given = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key is not None else {}), **named}
        url = f"http://127.0.0.1:{self.port}{path}"
        data = BytesIO(body) if len(body) > _LARGE else body
        async with self.session.request(method, url, data=data, headers={n: t for n, t in given.items() if t}) as answer:
            return Answer(answer.status, {n.lower(): t for n, t in answer.headers.items()}, await answer.read())

    async def raw(self, *parts: bytes, wait_s: float = 0.0) -> list[Answer]:
        """Send bytes as they are, `wait_s` apart; return the answers until the connection is closed, or it has long been silent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(wait_s)
            writer.write(part)
        found: list[Answer] = []
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while answer := await _next(reader, 30.0 if not found else 0.3):
                found.append(answer)
        writer.close()
        return found


async def _next(reader: asyncio.StreamReader, silence_s: float) -> Answer | None:
    """Return the next answer, or None after so much silence: in many turns of the loop, so that a stall is not taken for it."""
    reading = asyncio.create_task(_answer(reader))
    for _ in range(20):
        if (await asyncio.wait({reading}, timeout=silence_s / 20))[0]:
            return await reading
    reading.cancel()
    return None


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(first.split()[1]), headers, body)


@asynccontextmanager
async def serving(*, outlet: FakeOutlet | None = None, tracing: Tracing | None = None, **changes: Any) -> AsyncIterator[Serving]:
    """Serve with some settings changed; the key `good` may publish for the store `shop`."""
    made = Serving(config=replace(CONFIG, port=0, **changes), outlet=outlet or FakeOutlet(), tracing=tracing)
    made.keys.add(KEY, "events:write")
    server = made.server()
    await server.listen()
    made.port = server.port
    try:
        async with ClientSession() as made.session:
            yield made
    finally:
        await server.drain(1)
        await server.close(1)


def request(**changes: Any) -> dict[str, Any]:
    """Return a valid event as a store sends it, with some members changed."""
    return {"type": "product.inventory_changed", "data": stock(), **changes}


def http(body: bytes, *headers: str, line: str = f"POST {PATH} HTTP/1.1", key: str = KEY) -> bytes:
    """Return a request byte by byte; Content-Length is not added."""
    given = ["Host: ingest", f"Authorization: Bearer {key}", "Content-Type: application/json", *headers]
    return "\r\n".join([line, *given, "", ""]).encode("latin-1") + body
