"""A load that costs little: HTTP/1.1 POSTs over kept-alive connections, one under way on each, on bare uvloop protocols."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import uvloop

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TICK_S: Final = 0.001
_PATIENCE_S: Final = 30.0
Body = Callable[[int], bytes]
DueBody = Callable[[int, int], bytes]
"""Makes a body of the post's number and of when it is due, in ns since 1970."""


@dataclass(slots=True, kw_only=True)
class Load:
    """Posts to `url`. A status that is not 2xx, a broken connection or half a minute of silence ends the program with a message."""

    url: str
    connections: int = 64
    headers: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None

    def closed(self, body: Body, count: int) -> float:
        """Post `body(0)` to `body(count - 1)`, each connection the next one as soon as it has its answer; return the seconds."""
        began = time.monotonic()
        run = _Run(self, body, count)
        uvloop.run(run.alone(run.closed()))
        return time.monotonic() - began

    def lasting(self, body: Body, seconds: float) -> tuple[int, float]:
        """Post for some seconds; return how many were answered, and the seconds."""
        began, run = time.monotonic(), _Run(self, body, 1 << 62)
        uvloop.run(run.alone(run.lasting(seconds)))
        return run.answers, time.monotonic() - began

    def steady(self, body: DueBody, rate: float, seconds: float) -> None:
        """Begin `rate` posts a second whether or not answers come; `body(n, due)` is told when post n is due, even if it is late."""
        run = _Run(self, _no_body, int(rate * seconds))
        uvloop.run(run.alone(run.steady(body, rate)))


def _no_body(number: int) -> bytes:
    raise AssertionError(f"post {number} of a steady load was asked for without its time")


class _Run:
    """One run of a load."""

    def __init__(self, load: Load, body: Body, count: int) -> None:
        address = urlsplit(load.url)
        lines = [f"POST {address.path or '/'} HTTP/1.1", f"Host: {address.netloc}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in load.headers.items()]
        self.head = "\r\n".join([*lines, "Content-Length: "]).encode()
        self._address = (address.hostname or "", address.port or 0)
        self._load = load
        self._body = body
        self._count = count
        self._begun = 0
        self.answers = 0
        self._waiting: deque[bytes] = deque()
        self._connections: list[_Connection] = []
        self._idle: list[_Connection] = []
        self._refused: Counter[str] = Counter()
        self._ended = asyncio.Event()
        self.idle: Callable[[_Connection], None] = self._next

    async def alone(self, work: Coroutine[None, None, None]) -> None:
        """Run one of the three below, and close every connection."""
        try:
            await work
        finally:
            for connection in self._connections:
                connection.abort()
            await asyncio.sleep(_TICK_S)

    async def closed(self) -> None:
        """Run until every post has its answer."""
        for connection in await self._connect():
            self._next(connection)
        await self._finish()

    async def lasting(self, seconds: float) -> None:
        """Run for a time."""
        for connection in await self._connect():
            self._next(connection)
        await asyncio.sleep(seconds)
        self._check()

    async def steady(self, body: DueBody, rate: float) -> None:
        """Run at a rate."""
        self.idle = self._take
        self._idle = await self._connect()
        began, began_ns = time.monotonic(), time.time_ns()
        while self._begun < self._count and not self._refused:
            due = min(self._count, int((time.monotonic() - began) * rate) + 1)
            for number in range(self._begun, due):
                self._waiting.append(body(number, began_ns + int(number * 1e9 / rate)))
            self._begun = due
            self._hand_out()
            wait_s = began + due / rate - time.monotonic()
            await asyncio.sleep(max(wait_s, _TICK_S if rate > 1 / _TICK_S else 0))
        await self._finish()

    def answered(self, connection: _Connection, status: bytes) -> None:
        """Count an answer and use the connection again."""
        self.answers += 1
        if not status.startswith(b"2"):
            self.refuse(f"status {status.decode('latin-1')}")
        elif self.answers >= self._count:
            self._ended.set()
        else:
            self.idle(connection)

    def refuse(self, why: str) -> None:
        """Remember a failure, which ends the run."""
        self._refused[why] += 1
        self._ended.set()

    def _next(self, connection: _Connection) -> None:
        if self._begun < self._count:
            self._begun += 1
            connection.post(self._body(self._begun - 1))

    def _take(self, connection: _Connection) -> None:
        self._idle.append(connection)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            self._idle.pop().post(self._waiting.popleft())

    async def _connect(self) -> list[_Connection]:
        loop, (host, port) = asyncio.get_running_loop(), self._address
        made = [loop.create_connection(lambda: _Connection(self), host, port, ssl=self._load.tls) for _ in range(self._load.connections)]
        self._connections = [protocol for _, protocol in await asyncio.gather(*made)]
        return list(self._connections)

    async def _finish(self) -> None:
        answers = -1
        while not self._ended.is_set() and answers != self.answers:
            answers = self.answers
            await asyncio.wait([asyncio.ensure_future(self._ended.wait())], timeout=_PATIENCE_S)
        self._check()

    def _check(self) -> None:
        if self._refused or not self.answers or (self._ended.is_set() is False and self._count < 1 << 62):
            raise SystemExit(f"{self._load.url}: {self.answers} answers, {dict(self._refused) or 'then silence'}")


class _Connection(asyncio.Protocol):
    """One connection with at most one post under way."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._held = b""
        self._under_way = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's own class

    def post(self, body: bytes) -> None:
        """Write one request."""
        self._under_way = True
        if self._transport is not None:
            self._transport.write(b"%s%d\r\n\r\n%s" % (self._run.head, len(body), body))

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Tell the run of an answer that is there as a whole."""
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        found = _LENGTH.search(self._held, 0, end + 2) if end >= 0 else None
        if end < 0 or len(self._held) < end + 4 + (int(found[1]) if found else 0):
            return
        status, self._held, self._under_way = self._held[9:12], b"", False
        self._run.answered(self, status)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the run: no connection is to be closed by the other side."""
        self._run.refuse(f"connection closed{' with a post under way' if self._under_way else ''}: {exc or 'by the other side'}")
