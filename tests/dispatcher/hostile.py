"""Servers that answer as no server should, on raw sockets; and what a transport's caller sees."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from hookline.dispatcher.transport.contract import Failure, Reply, Request, Result, Transport

Answer: TypeAlias = Callable[["Peer"], Awaitable[None]]

# A call's own time, and what is long before its end: far apart, so that no stall of this machine is taken for a call that waited.
TIMEOUT_S: Final = 30.0
AT_ONCE_S: Final = 15.0

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Peer:
    """One connection as the server sees it; `number` counts the connections, from 1."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    seen: list[bytes]

    async def request(self) -> bytes:
        """Read one whole request and note it; an empty one when the client has gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
            whole = head + await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.seen.append(whole)
        return whole

    async def send(self, data: bytes) -> None:
        """Send, as far as the client still listens."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def drip(self, data: bytes, pause_s: float = 0.02) -> None:
        """Send a byte at a time until the client has gone."""
        for number in range(len(data)):
            if self.writer.is_closing():
                return
            await self.send(data[number : number + 1])
            await asyncio.sleep(pause_s)

    async def hang(self) -> None:
        """Do nothing until the client goes."""
        while await self.reader.read(65_536):
            pass

    def reset(self) -> None:
        """Close with a reset, not with a good-bye."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Server:
    """A server that does what its answer says, on a free port of its own."""

    answer: Answer
    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    seen: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, path: str = "/hook", *, scheme: str = "http", host: str = "") -> str:
        """Return the address of a path."""
        return f"{scheme}://{host or self.host}:{self.port}{path}"

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self.answer(Peer(reader, writer, self.connections, self.seen))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
        """Serve within the block."""
        server = await asyncio.start_server(self._handle, self.host, self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


def always(data: bytes, *, close: bool = True) -> Answer:
    """Return an answer that gives the same bytes to every request, on kept-alive connections unless `close`."""

    async def answer(peer: Peer) -> None:
        while await peer.request():
            await peer.send(data)
            if close:
                return

    return answer


@dataclass
class Caller:
    """Sends through a transport and counts how often it is called back."""

    transport: Transport
    calls: list[int] = field(default_factory=list)

    def request(
        self, url: str, timeout_s: float = TIMEOUT_S, body: bytes = b'{"id":"evt_1"}', headers: tuple[tuple[str, str], ...] = ()
    ) -> Request:
        """Return a request."""
        return Request(url=url, headers=(("content-type", "application/json"), *headers), body=body, timeout_s=timeout_s, webhook_id="wh_1")

    async def send(self, request: Request) -> Result:
        """Send and wait for the result; fail when none comes long after the timeout."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        slot = len(self.calls)
        self.calls.append(0)

        def on_done(result: Result) -> None:
            self.calls[slot] += 1
            if not done.done():
                done.set_result(result)

        self.transport.send(request, on_done)
        return await asyncio.wait_for(done, request.timeout_s + 20)

    async def call(self, url: str, timeout_s: float = TIMEOUT_S, body: bytes = b'{"id":"evt_1"}') -> Result:
        """Send a plain request to a URL."""
        return await self.send(self.request(url, timeout_s, body))

    async def reply(self, url: str, timeout_s: float = TIMEOUT_S) -> Reply:
        """Send and expect an answer."""
        result = await self.call(url, timeout_s)
        assert isinstance(result, Reply), result
        return result

    async def failure(self, url: str, timeout_s: float = TIMEOUT_S) -> Failure:
        """Send and expect none."""
        result = await self.call(url, timeout_s)
        assert isinstance(result, Failure), result
        assert result.status == 0
        assert 0 < len(result.detail) <= 256
        return result
