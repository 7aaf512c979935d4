"""What stands before a tunnel's first request: the head of the proxy's answer, bounded, and nothing after it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import pytest

from hookline.dispatcher.transport import connecting
from hookline.dispatcher.transport.connecting import connect
from hookline.dispatcher.transport.connection import Connection
from hookline.dispatcher.transport.contract import Unsendable
from hookline.dispatcher.transport.origins import Address, Resolver, target_of
from hookline.dispatcher.transport.phases import CONNECT_S, Steps
from hookline.dispatcher.transport.racing import Dial, race
from hookline.dispatcher.transport.tls import TlsSessions, tls_context
from hookline.schemas.records import ErrorKind
from tests.dispatcher.hostile import OK, Server, always
from tests.dispatcher.proxying import Tunneller, endless, saying
from tests.dispatcher.suite import LOCAL
from tests.dispatcher.test_proxy import through

pytestmark = pytest.mark.unit

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
TOO_SOON = "bytes followed its answer, before the receiver was asked for any"


# ---- the head ----


@pytest.mark.parametrize(
    "before",
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
        (b"HTTP/1.1 100\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </>\r\n\r\n",),
        (b"HTTP/1.1 102 Proc", b"essing\r\nX: y\r\n\r", b"\n", b"HTTP/1.1 199 x\r\n\r\n"),
    ],
)
async def test_interim_answers_are_skipped(before: tuple[bytes, ...]) -> None:
    """However many, and however they are cut: the final answer counts."""
    proxied = Tunneller(before=before).running()
    async with Server(always(OK)).running() as server, proxied as proxy, through(proxy.address) as caller:
        await caller.reply(server.url())
        assert len(server.seen) == 1


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_head_without_end_is_read_to_its_bound(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 KiB and what one more read holds, interim answers among them; then the call has failed, long before its time is up."""
    loop, taken = asyncio.get_running_loop(), list[int]()
    receive = loop.sock_recv

    async def counted(sock: socket.socket, size: int) -> bytes:
        data = await receive(sock, size)
        taken.append(len(data))
        return data

    monkeypatch.setattr(loop, "sock_recv", counted)
    async with Tunneller(endless(piece)).running() as proxy, through(proxy.address) as caller:
        began = time.monotonic()
        failure = await caller.failure("http://127.0.0.1:9/hook")
    assert (failure.kind, failure.detail.rpartition(": ")[2]) == (ErrorKind.INTERNAL, "it gave no HTTP answer to CONNECT")
    assert time.monotonic() - began < CONNECT_S / 2
    assert 8 * 1024 < sum(taken) <= 2 * 8 * 1024
    assert sum(taken[:-1]) <= 8 * 1024


# ---- what follows it ----


class Asker:
    """A listener that notes what its request came to."""

    def __init__(self) -> None:
        self.answers = 0
        self.errors: list[Exception] = []

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        """Count."""
        self.answers += 1
        assert connection.status
        assert not reusable

    def broken(self, connection: Connection, error: Exception) -> None:
        """Note."""
        assert connection.closed
        self.errors.append(error)


@contextlib.asynccontextmanager
async def fresh() -> AsyncIterator[tuple[Connection, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a new tunnel for plain HTTP, and the proxy's side of it."""
    there: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OPEN)
        there.set_result((reader, writer))
        await done.wait()

    resolver = Resolver(LOCAL)
    async with Tunneller(says).running() as proxy:
        connection = await connect(target_of("http://127.0.0.1:9/"), resolver, TlsSessions(tls_context()), Steps(), proxy.address)
        try:
            yield connection, *await there
        finally:
            connection.close()
            done.set()
            resolver.close()


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
async def test_what_a_proxy_adds_later_is_no_answer(pause_s: float) -> None:
    """Bytes that lie in the socket when the first request is to be written, or that were read before: our fault, and nothing is written."""
    async with fresh() as (connection, reader, writer):
        asker = Asker()
        writer.write(OK)
        if pause_s:
            await asyncio.sleep(pause_s)
        connection.request((b"POST / HTTP/1.1\r\n\r\n",), asker)
        [error] = asker.errors
        assert isinstance(error, Unsendable)
        assert TOO_SOON in str(error)
        with contextlib.suppress(ConnectionResetError):  # what we left unread ends it so
            assert await reader.read() == b""
        assert asker.answers == 0


async def test_what_comes_after_the_request_is_the_receivers() -> None:
    """A proxy that answers in its place cannot be told from it."""
    async with fresh() as (connection, reader, writer):
        asker = Asker()
        connection.request((b"POST / HTTP/1.1\r\n\r\n",), asker)
        assert await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        writer.close()
        await asyncio.sleep(0.05)
        assert (asker.answers, asker.errors) == (1, [])


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_bytes_that_come_with_the_tunnel_fail_the_call_once(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a read of their own, before TLS begins too: our fault, in no loop of further tunnels."""

    async def says(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OPEN)
        await asyncio.sleep(0.05)
        writer.write(OK)
        await asyncio.sleep(0.2)

    async def slow(addresses: list[Address], to: Dial) -> socket.socket:
        sock = await race(addresses, to)
        await asyncio.sleep(0.1)
        return sock

    monkeypatch.setattr(connecting, "race", slow)
    async with Server(always(OK)).running() as server, Tunneller(says).running() as proxy, through(proxy.address) as caller:
        failure = await caller.failure(server.url(scheme=scheme))
        assert failure.kind is ErrorKind.INTERNAL
        assert TOO_SOON in failure.detail
        assert (len(proxy.asked), server.seen) == (1, [])


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_tunnel_that_is_dropped_is_as_closed_by_the_receiver(scheme: str) -> None:
    """Nobody can tell: a failure of the receiver's, once."""
    async with Server(always(OK)).running() as server, Tunneller(saying(OPEN)).running() as proxy, through(proxy.address) as caller:
        assert (await caller.failure(server.url(scheme=scheme))).kind is ErrorKind.RESET
        assert (len(proxy.asked), server.seen) == (1, [])


async def test_bytes_that_come_within_the_handshake_are_no_tls() -> None:
    """The receiver's or the proxy's, nobody can tell."""

    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OPEN)
        await reader.read(1)
        writer.write(OK)

    async with Tunneller(says).running() as proxy, through(proxy.address) as caller:
        assert (await caller.failure("https://127.0.0.1:9/hook")).kind is ErrorKind.TLS
        assert len(proxy.asked) == 1
