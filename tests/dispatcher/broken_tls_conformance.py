"""What every transport must make of a TLS connection that breaks: before the answer's head, after it, and between two calls."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

import pytest
import trustme

from hookline.dispatcher.transport.contract import Reply
from hookline.schemas.records import ErrorKind
from tests.dispatcher.guard_conformance import Guard, Names, trusting
from tests.dispatcher.hostile import AT_ONCE_S, CHUNKED, OK, Caller, Peer, Server
from tests.dispatcher.suite import heard

T = TypeVar("T")

HOST: Final = "hooks.test"
VERSIONS: Final = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
# A record of application data that no key has made.
_BAD: Final = b"\x17\x03\x03\x00\x28" + bytes(40)
_PAUSE_S: Final = 0.05


class Sealed:
    """The server's side of TLS over a connection of raw bytes: what comes after may be no TLS at all."""

    def __init__(self, peer: Peer, context: ssl.SSLContext) -> None:
        self.peer = peer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def shake(self) -> None:
        """Shake hands."""
        await self._heard(self._tls.do_handshake)
        await self.peer.send(self._outgoing.read())

    async def request(self) -> None:
        """Read one whole request: those of a `Caller` end with their body."""
        whole = b""
        while not whole.endswith(b'{"id":"evt_1"}'):
            piece = await self._heard(lambda: self._tls.read(65_536))
            if not piece:
                raise ConnectionResetError  # it has said good-bye
            whole += piece
        self.peer.seen.append(whole)

    def sealed(self, data: bytes) -> bytes:
        """Return the records of bytes that are to be sent."""
        self._tls.write(data)
        return self._outgoing.read()

    def alert(self) -> bytes:
        """Return a fatal alert, as OpenSSL makes it when it is given a bad record."""
        self._incoming.write(_BAD)
        with contextlib.suppress(ssl.SSLError):
            self._tls.read(1)
        return self._outgoing.read()

    def good_bye(self) -> bytes:
        """Return a `close_notify`."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()

    async def _heard(self, act: Callable[[], T]) -> T:
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                await self.peer.send(self._outgoing.read())
                data = await self.peer.reader.read(65_536)
                if not data:
                    raise ConnectionResetError from None
                self._incoming.write(data)


async def _break(secure: Sealed, how: str, data: bytes = b"") -> None:
    """Send data, and break the connection in the same piece of bytes; a connection that is not closed by that stays open."""
    match how:
        case "bad record":
            await secure.peer.send((secure.sealed(data) if data else b"") + _BAD)
        case "fatal alert":
            await secure.peer.send((secure.sealed(data) if data else b"") + secure.alert())
        case "good-bye":
            await secure.peer.send((secure.sealed(data) if data else b"") + secure.good_bye())
        case _:
            if data:
                await secure.peer.send(secure.sealed(data))
            return
    await secure.peer.hang()


class BrokenTls(Guard):
    """TLS that ends otherwise than it should changes nothing of what an answer's head has said."""

    @contextlib.asynccontextmanager
    async def breaking(
        self, authority: trustme.CA, names: Names, version: ssl.TLSVersion, answer: Callable[[Sealed], Awaitable[None]]
    ) -> AsyncIterator[tuple[Server, Caller]]:
        """Give a server of TLS that answers on every connection as it is told, and a caller who trusts it."""
        names[HOST] = lambda: ["127.0.0.1"]

        async def shaken(peer: Peer) -> None:
            secure = Sealed(peer, context)
            await secure.shake()
            await answer(secure)

        with self.certified(authority, HOST) as context:
            context.maximum_version = version
            async with Server(shaken).running() as server, self.calling(tls=lambda: trusting(authority)) as caller:
                yield server, caller

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("pause_s", [0.0, _PAUSE_S])
    @pytest.mark.parametrize("how", ["bad record", "fatal alert", "good-bye", "close"])
    @pytest.mark.parametrize(
        "head", [b"HTTP/1.1 201 Made\r\nContent-Length: 100\r\n\r\nhalf", CHUNKED.replace(b"200 OK", b"503 No") + b"9\r\nhalf"]
    )
    async def test_status_counts_though_tls_breaks(
        self, names: Names, authority: trustme.CA, version: ssl.TLSVersion, pause_s: float, how: str, head: bytes
    ) -> None:
        """As in plain HTTP: once the head is there its status stands, with what came of the body; the connection is not used again."""

        async def answer(secure: Sealed) -> None:
            await secure.request()
            if pause_s:
                await secure.peer.send(secure.sealed(head))
                await asyncio.sleep(pause_s)
            await _break(secure, how, b"" if pause_s else head)

        async with self.breaking(authority, names, version, answer) as (server, caller):
            for _ in range(2):
                reply = await caller.reply(server.url(scheme="https", host=HOST))
                assert (reply.status, reply.body) == (int(head[9:12]), b"half")
                assert reply.elapsed_s < AT_ONCE_S  # at once, and not at the timeout
            assert (server.connections, len(server.seen)) == (2, 2)

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("how", ["bad record", "fatal alert"])
    @pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
    async def test_tls_that_breaks_before_the_head(
        self, names: Names, authority: trustme.CA, version: ssl.TLSVersion, how: str, begun: bytes
    ) -> None:
        """A call without a head of its own has no status, though the connection has answered another call before."""

        async def answer(secure: Sealed) -> None:
            await secure.request()
            await secure.peer.send(secure.sealed(OK))
            await secure.request()
            await _break(secure, how, begun)

        async with self.breaking(authority, names, version, answer) as (server, caller):
            url = server.url(scheme="https", host=HOST)
            assert (await caller.reply(url)).status == 200
            failure = await caller.failure(url)
            assert failure.kind in {ErrorKind.TLS, ErrorKind.RESET}
            assert (server.connections, len(server.seen)) == (1, 2)

    @pytest.mark.parametrize("how", ["bad record", "fatal alert", "good-bye", "close"])
    async def test_tls_that_breaks_behind_an_answer(self, names: Names, authority: trustme.CA, how: str) -> None:
        """What comes between two calls costs the connection and no call."""
        breaks = asyncio.Event()

        async def answer(secure: Sealed) -> None:
            await secure.request()
            await secure.peer.send(secure.sealed(OK))
            await asyncio.sleep(_PAUSE_S)
            breaks.set()
            await _break(secure, how)

        async with self.breaking(authority, names, ssl.TLSVersion.TLSv1_3, answer) as (server, caller):
            for _ in range(2):
                breaks.clear()
                assert isinstance(await caller.call(server.url(scheme="https", host=HOST)), Reply)
                await breaks.wait()
                await heard(4 * _PAUSE_S)
            assert server.connections == 2
