"""What every transport must do with time and with connections."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import pytest

from hookline.dispatcher.transport.contract import Failure, Reply
from hookline.schemas.records import ErrorKind
from tests.calm import calmly_async
from tests.dispatcher.hostile import OK, Caller, Peer, Server, always
from tests.dispatcher.phases_conformance import black_hole
from tests.dispatcher.suite import LOCAL, Suite, heard, sockets, until


class Connections(Suite):
    """Timeouts, connections that are kept, many calls at once, and the end."""

    # ---- time ----

    @pytest.mark.parametrize("how", ["silence", "slow head", "no end of body", "slow body"])
    async def test_everything_ends_at_the_timeout(self, caller: Caller, how: str) -> None:
        """The timeout bounds it all; a status that came before it counts."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            if how == "slow head":
                await peer.drip(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 10_000)
            elif how == "no end of body":
                await peer.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
            elif how == "slow body":
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
                await peer.drip(b"x" * 10_000)
            await peer.hang()

        async def attempt() -> None:
            async with Server(answer).running() as server:
                result = await caller.call(server.url(), 0.7)
            assert 0.6 < result.elapsed_s < 10
            assert result.status == (200 if "body" in how else 0)
            assert isinstance(result, Reply) or result.kind is ErrorKind.TIMEOUT

        await calmly_async(attempt)

    async def test_server_that_reads_nothing(self, caller: Caller) -> None:
        """A request that cannot be written ends at the timeout too."""
        left = asyncio.Event()

        async def answer(peer: Peer) -> None:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport can
            await left.wait()

        async with Server(answer).running() as server:
            result = await caller.call(server.url(), 0.7, os.urandom(16 * 1024 * 1024))
            left.set()
            assert isinstance(result, Failure)
            assert result.kind is ErrorKind.TIMEOUT

    async def test_connect_that_nobody_answers(self, caller: Caller) -> None:
        """A connect into a black hole is a timeout."""
        with black_hole() as port:
            await asyncio.sleep(0.1)
            failure = await caller.failure(f"http://127.0.0.1:{port}/", 1.0)
            assert failure.kind is ErrorKind.TIMEOUT
            assert failure.elapsed_s < 10

    async def test_connect_that_is_refused(self, caller: Caller) -> None:
        """A port where nobody listens is a connect error, and its words say that it was refused."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            failure = await caller.failure(f"http://127.0.0.1:{probe.getsockname()[1]}/")
        assert (failure.kind, failure.detail) == (ErrorKind.CONNECT, "no connection: Connection refused")

    # ---- connections that are used again ----

    async def test_connections_are_kept(self, caller: Caller) -> None:
        """Requests one after another use one connection."""
        async with Server(always(OK, close=False)).running() as server:
            for _ in range(5):
                await caller.reply(server.url())
            assert (server.connections, len(server.seen)) == (1, 5)

    async def test_connection_that_was_closed_while_idle(self, caller: Caller) -> None:
        """A kept connection that the server closed meanwhile costs no request: the next goes out on a new one, once."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)

        async with Server(answer).running() as server:
            await caller.reply(server.url())
            await heard(0.1)
            await caller.reply(server.url())
            assert (server.connections, len(server.seen)) == (2, 2)

    @pytest.mark.parametrize("answers", [1, 10])
    async def test_connections_that_are_closed_without_a_word(self, caller: Caller, answers: int) -> None:
        """A server under load that closes with the last of so many answers costs no call, though the next request is there already."""

        async def answer(peer: Peer) -> None:
            for number in range(answers):
                await peer.request()
                if number < answers - 1:
                    await peer.send(OK)
            with socket.socket(fileno=os.dup(peer.writer.get_extra_info("socket").fileno())) as bare:
                bare.send(OK)
                bare.shutdown(socket.SHUT_WR)  # at once: nobody can have written in between

        async def calls() -> None:
            for _ in range(20):
                await caller.reply(server.url())

        async with Server(answer).running() as server:
            await asyncio.gather(*[calls() for _ in range(8)])
            assert len(server.seen) == 160

    async def test_an_answer_before_the_request_is_out(self, caller: Caller) -> None:
        """A server that answers by the head alone costs the connection: the rest of the body is not taken for the next request."""
        firsts: list[bytes] = []

        async def answer(peer: Peer) -> None:
            head = await peer.reader.readuntil(b"\r\n\r\n")
            firsts.append(head.partition(b" ")[0])
            await peer.send(OK)
            if len(firsts) == 1:
                peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport can
                await asyncio.sleep(0.5)

        async with Server(answer).running() as server:
            assert (await caller.call(server.url(), body=os.urandom(20_000_000))).status == 200
            await caller.reply(server.url())
            assert firsts == [b"POST", b"POST"]

    async def test_request_that_may_have_been_read_is_not_sent_twice(self, caller: Caller) -> None:
        """When a kept connection breaks after the request was written, the attempt has failed; nobody repeats it in secret."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            await peer.request()

        async with Server(answer).running() as server:
            await caller.reply(server.url())
            assert (await caller.failure(server.url())).kind is ErrorKind.RESET
            assert len(server.seen) == 2

    async def test_answer_that_nobody_asked_for(self, caller: Caller) -> None:
        """Bytes that come after an answer are not taken for the next one: they end the connection."""
        smuggled = b"HTTP/1.1 418 Smuggled\r\nContent-Length: 0\r\n\r\n"
        ended = asyncio.Event()

        async def answer(peer: Peer) -> None:
            while await peer.request():
                await peer.send(OK)
                await asyncio.sleep(0.05)
                await peer.send(smuggled)
            ended.set()

        async def answer_at_once(peer: Peer) -> None:
            await always(OK + smuggled, close=False)(peer)
            ended.set()

        async with Server(answer).running() as server, Server(answer_at_once).running() as at_once:
            for target in (server, at_once):
                for _ in range(3):
                    ended.clear()
                    assert (await caller.reply(target.url())).status == 200
                    await asyncio.wait_for(ended.wait(), 20)

    @pytest.mark.parametrize(
        "framing",
        [
            b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
            b"Content-Length: 2\r\nContent-Length: 90\r\n",
            b"Content-Length: 2, 90\r\n",
            b"Content-Length : 2\r\n",
            b"Content-Length: +2\r\n",
            b"Content-Length: 0x2\r\n",
            b"Content-Length:\r\n 2\r\n",
            b"X: y\r\n Content-Length: 2\r\n",
            b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n",
            b"Transfer-Encoding: chunked, identity\r\nContent-Length: 2\r\n",
            b"Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n",
            b"Content-Length: 2\nX: y\r\n",
        ],
    )
    async def test_framing_that_may_be_read_in_two_ways(self, caller: Caller, framing: bytes) -> None:
        """However the end of such an answer is read: what stands behind it, or within it, is nobody's next answer."""
        smuggled = b"HTTP/1.1 418 Smuggled\r\nContent-Length: 0\r\n\r\n"
        answer = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\nok" + smuggled + b"0\r\n\r\n"

        async with Server(always(answer, close=False)).running() as server:
            for _ in range(3):
                found = await caller.call(server.url(), 0.5)
                assert found.status in {0, 200}
                await asyncio.sleep(0.05)

    # ---- many at once ----

    async def test_many_requests_at_once(self, caller: Caller) -> None:
        """Hundreds of requests at once all end, each with its own answer, and those that hang delay no other."""

        async def answer(peer: Peer) -> None:
            while whole := await peer.request():
                body = whole.partition(b"\r\n\r\n")[2]
                await peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

        async def hang(peer: Peer) -> None:
            await peer.request()
            await peer.hang()

        async with Server(answer).running() as server, Server(hang).running() as hole:
            hung = [asyncio.create_task(caller.call(hole.url(), 3.0)) for _ in range(100)]
            await asyncio.sleep(0)
            began = time.monotonic()
            bodies = [f"number {number}".encode() for number in range(300)]
            found = await asyncio.gather(*(caller.call(server.url(), body=body) for body in bodies))
            took = time.monotonic() - began
            assert [reply.body for reply in found if isinstance(reply, Reply)] == bodies
            ended = await asyncio.gather(*hung)
            assert {result.kind for result in ended if isinstance(result, Failure)} == {ErrorKind.TIMEOUT}
            assert took < max(result.elapsed_s for result in ended) + 15

    async def test_stop_while_calls_are_under_way(self) -> None:
        """A stop ends what is under way: each is told of a failure once, or never; nothing is left open."""
        tasks, before = asyncio.all_tasks(), sockets()
        told: list[object] = []

        async def hang(peer: Peer) -> None:
            await peer.request()
            await peer.hang()

        async with Server(hang).running() as server:
            transport = self.make(LOCAL)
            await transport.start()
            caller = Caller(transport)
            for _ in range(20):
                transport.send(caller.request(server.url(), 30.0), told.append)
            await until(lambda: len(server.seen) == 20)
            await asyncio.wait_for(transport.stop(), 20)
            told_then = len(told)
            await asyncio.sleep(0.05)
            assert len(told) == told_then <= 20
            assert all(isinstance(result, Failure) for result in told)
        await until(lambda: asyncio.all_tasks() <= tasks | {asyncio.current_task()})
        await until(lambda: sockets() <= before)
