"""What every transport must say of a call that ran out of time, and of an answer whose head cannot be taken."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from hookline.dispatcher.transport.phases import BAD_HEADER, CONNECT_S, MOST_HEADERS, TOO_MANY_HEADERS
from hookline.schemas.records import ErrorKind
from tests.calm import calmly_async
from tests.dispatcher.guard_conformance import Guard, Names
from tests.dispatcher.hostile import OK, Caller, Peer, Server, always


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """Give a port of the loopback whose queue is full: the kernel drops what comes."""
    with contextlib.ExitStack() as held:
        hole = held.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]


async def _hang(peer: Peer) -> None:
    await peer.hang()


async def _half_a_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nX-")
    await peer.hang()


class Phases(Guard):
    """Words of the result: kinds stay as they are."""

    @pytest.mark.parametrize(("timeout_s", "connect"), [(0.7, "0.7"), (4.0, "3")])
    async def test_a_timeout_tells_what_was_waited_for(
        self, names: Names, timeout_s: float, connect: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS, connect and handshake have three seconds together, of the call's time; the answer has the rest."""
        for module in ("native_transport", "aiohttp_transport"):
            monkeypatch.setattr(f"hookline.dispatcher.transport.{module}.CONNECT_S", CONNECT_S)
        release = threading.Event()
        names["slow.test"] = lambda: ["127.0.0.1"] if release.wait(60) else []

        async def attempt() -> None:
            async with Server(_hang).running() as mute, Server(_half_a_head).running() as half, self.calling() as caller:
                with black_hole() as port:
                    await asyncio.sleep(0.1)
                    urls = {
                        "http://slow.test/": f"no DNS answer within {connect} s",
                        f"http://127.0.0.1:{port}/": f"no connection within {connect} s",
                        mute.url(scheme="https"): f"no end of the TLS handshake within {connect} s",
                        mute.url(): f"no answer within {timeout_s:g} s",
                        half.url(): f"no end of the answer's head within {timeout_s:g} s",
                    }
                    found = await asyncio.gather(*(caller.failure(url, timeout_s) for url in urls))
            assert {failure.kind for failure in found} == {ErrorKind.TIMEOUT}
            assert [failure.detail for failure in found] == list(urls.values())

        try:
            await calmly_async(attempt)
        finally:
            release.set()

    async def test_a_kept_connection_waits_for_its_answer_only(self, caller: Caller) -> None:
        """The phases of an earlier call on the same connection are not told again."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            await peer.hang()

        async def attempt() -> None:
            async with Server(answer).running() as server:
                await caller.reply(server.url())
                assert (await caller.failure(server.url(), 0.7)).detail == "no answer within 0.7 s"
                assert server.connections == 1

        await calmly_async(attempt)

    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            (b"".join(b"X-%d: y\r\n" % number for number in range(MOST_HEADERS + 1)), TOO_MANY_HEADERS),
            (b"bad name: y\r\n", BAD_HEADER),
            (b"X-Nul: a\0b\r\n", BAD_HEADER),
        ],
    )
    async def test_a_head_that_is_http_and_cannot_be_taken(self, caller: Caller, lines: bytes, words: str) -> None:
        """What is wrong with it is said, and not that it is no HTTP."""
        async with Server(always(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n")).running() as server:
            failure = await caller.failure(server.url())
        assert failure.kind is ErrorKind.PROTOCOL
        assert failure.detail.startswith(words)

    async def test_what_is_no_http_is_said_once(self, caller: Caller) -> None:
        """The words are not doubled."""
        async with Server(always(b"HTTP/1.1 banana OK\r\n\r\n")).running() as server:
            failure = await caller.failure(server.url())
        assert failure.kind is ErrorKind.PROTOCOL
        assert failure.detail.startswith("the answer is not valid HTTP: ")
        assert failure.detail.count("not valid HTTP") == 1
