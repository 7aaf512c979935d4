"""An HTTP proxy that opens tunnels, and does what a test tells it to instead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from hookline.dispatcher.transport.proxy import Proxy
from tests.dispatcher.hostile import Peer, Server

Says: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Tunneller:
    """Notes each request for a tunnel; opens it, unless `says` has something else to say, and says `before` first, a piece at a time."""

    says: Says | None = None
    port: int = 0
    before: tuple[bytes, ...] = ()
    asked: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> Proxy:
        """Where it is."""
        return Proxy("127.0.0.1", self.port)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Tunneller]:
        """Serve within the block."""
        async with Server(self._answer, port=self.port).running() as server:
            self.port = server.port
            yield self

    async def _answer(self, peer: Peer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            self.asked.append(await peer.reader.readuntil(b"\r\n\r\n"))
            await (self.says or self._open)(peer.reader, peer.writer)

    async def _open(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.asked[-1].split(b" ")[1].decode().rpartition(":")
        try:
            there = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n")
            return
        for piece in self.before:
            writer.write(piece)
            await asyncio.sleep(0.02)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(reader, there[1]))
            both.create_task(_copy(there[0], writer))


async def _copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            to.write(data)
            await to.drain()
    except ConnectionError:
        pass
    finally:
        to.close()


def saying(data: bytes) -> Says:
    """Return what gives these bytes and closes."""

    async def says(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return says


def endless(piece: bytes) -> Says:
    """Return what says this again and again, as fast as it is taken, until the client goes."""

    async def says(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(piece * (1 + 65_536 // len(piece)))
                await writer.drain()

    return says


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Answer nothing until the client goes."""
    while await reader.read(65_536):
        pass
