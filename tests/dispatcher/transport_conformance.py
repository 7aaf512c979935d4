"""What every transport must do: the full definition of `hookline.dispatcher.transport.contract.Transport`.

Subclass `Conformance`, say in `make` how the transport is made, and pytest runs all of it against real, hostile servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import socket
import time
from collections.abc import AsyncIterator, Callable

import psutil
import pytest

from hookline.dispatcher.transport.contract import Failure, Reply, Transport
from hookline.schemas.records import ErrorKind
from hookline.webhooks.addresses import networks
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.hostile import CHUNKED, OK, Caller, Peer, Server, always

LOCAL = UrlPolicy(allow_http=True, allowed_ports=(), allow_addresses=networks("127.0.0.1/32"), deny_addresses=(), deny_hosts=())
ME = psutil.Process(os.getpid())


def sockets() -> int:
    """Return how many this process has open; a loop's own files come and go."""
    return len(ME.net_connections("inet"))


async def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


class Conformance:
    """The suite; each test's docstring is one clause of the contract."""

    both_loops = True

    def make(self, policy: UrlPolicy) -> Transport:
        """Return a transport, not started."""
        raise NotImplementedError

    @pytest.fixture
    async def caller(self) -> AsyncIterator[Caller]:
        """Give a caller over a started transport; at the end nothing may be left: no task, no socket, no second call-back."""
        tasks, before = asyncio.all_tasks(), sockets()
        transport = self.make(LOCAL)
        await transport.start()
        found = Caller(transport)
        yield found
        await transport.stop()
        await until(lambda: asyncio.all_tasks() <= tasks | {asyncio.current_task()})
        await until(lambda: sockets() <= before)
        assert all(count == 1 for count in found.calls)

    # ---- what is sent ----

    async def test_request_goes_out_as_given(self, caller: Caller) -> None:
        """Request line, headers in their order and body arrive byte for byte; only Host and Content-Length are added."""
        body = bytes(range(256)) + "€uro".encode()
        headers = (("webhook-id", "msg_1"), ("webhook-signature", "v1,abc= v1,def="), ("x-own", 'a, b;c="d"'))
        async with Server(always(OK)).running() as server:
            request = caller.request(server.url("/a%2Fb/%C3%BC?x=%20&y=1+2"), body=body, headers=headers)
            assert isinstance(await caller.send(request), Reply)
            head, _, sent = server.seen[0].partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            assert sent == body
            assert lines[0] == b"POST /a%2Fb/%C3%BC?x=%20&y=1+2 HTTP/1.1"
            pairs = [tuple(line.split(b": ", 1)) for line in lines[1:]]
            added = {b"host": f"127.0.0.1:{server.port}".encode(), b"content-length": str(len(body)).encode()}
            assert {name.lower(): value for name, value in pairs if name.lower() in added} == added
            given = [(name.encode(), value.encode("latin-1")) for name, value in request.headers]
            assert [(n.lower(), v) for n, v in pairs if n.lower() not in added] == given

    async def test_empty_and_large_bodies(self, caller: Caller) -> None:
        """A body of no bytes and one of a mebibyte arrive whole."""
        async with Server(always(OK, close=False)).running() as server:
            for body in (b"", os.urandom(1024 * 1024)):
                assert isinstance(await caller.call(server.url(), body=body), Reply)
                assert server.seen[-1].partition(b"\r\n\r\n")[2] == body

    async def test_nothing_is_remembered_of_an_answer(self, caller: Caller) -> None:
        """A cookie that a server sets is not sent to it again."""
        async with Server(always(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", close=False)).running() as server:
            await caller.reply(server.url())
            await caller.reply(server.url())
            assert b"cookie" not in server.seen[1].lower()

    # ---- answers ----

    @pytest.mark.parametrize("status", [200, 201, 202, 299, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 504, 599])
    async def test_status_is_the_servers(self, caller: Caller, status: int) -> None:
        """Whatever the status, the answer is a reply with that status, its head, its body and its Retry-After."""
        async with Server(always(f"HTTP/1.1 {status} Why\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbody".encode())).running() as server:
            reply = await caller.reply(server.url())
            assert (reply.status, reply.body, reply.retry_after) == (status, b"body", "7" if status >= 300 else reply.retry_after)
            assert "retry-after: 7" in reply.headers.lower()
            assert 0 < reply.elapsed_s < 5

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("inside", [True, False])
    async def test_redirects_are_not_followed(self, caller: Caller, status: int, inside: bool) -> None:
        """A redirect is an answer like any other, wherever it leads; no second request is made."""
        async with Server(always(OK)).running() as elsewhere:
            to = "http://169.254.169.254/latest" if inside else elsewhere.url()
            answer = f"HTTP/1.1 {status} There\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
            async with Server(always(answer)).running() as server:
                assert (await caller.reply(server.url())).status == status
                assert len(server.seen) == 1
            assert elsewhere.connections == 0

    @pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 304 No\r\n\r\n"])
    async def test_answers_without_body(self, caller: Caller, answer: bytes) -> None:
        """204 and 304 end with their head."""
        async with Server(always(answer, close=False)).running() as server:
            assert (await caller.reply(server.url())).body == b""

    async def test_body_that_ends_with_the_connection(self, caller: Caller) -> None:
        """An answer without a length ends when the server closes."""
        async with Server(always(b"HTTP/1.0 200 OK\r\n\r\nto the end")).running() as server:
            assert (await caller.reply(server.url())).body == b"to the end"

    async def test_body_in_pieces(self, caller: Caller) -> None:
        """A chunked answer that trickles in is put together."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            await peer.drip(CHUNKED + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", 0.001)

        async with Server(answer).running() as server:
            assert (await caller.reply(server.url())).body == b"abcdefg"

    async def test_compressed_body_stays_as_it_is(self, caller: Caller) -> None:
        """Nothing is decompressed: a bomb is as small as it came."""
        bomb = gzip.compress(bytes(10_000_000))
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
        async with Server(always(head + bomb)).running() as server:
            assert (await caller.reply(server.url())).body == bomb[: 16 * 1024]

    @pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n"])
    async def test_endless_body_is_cut(self, caller: Caller, head: bytes) -> None:
        """The first 16 KiB of a body are kept, then the connection is closed."""
        closed = asyncio.Event()

        async def answer(peer: Peer) -> None:
            await peer.request()
            await peer.send(head)
            while not peer.writer.is_closing():
                await peer.send(b"x" * 65_536)
            closed.set()

        async with Server(answer).running() as server:
            reply = await caller.reply(server.url())
            assert reply.body == b"x" * 16 * 1024
            await asyncio.wait_for(closed.wait(), 20)

    async def test_head_is_kept_to_8_kib(self, caller: Caller) -> None:
        """Of a long but lawful head the first 8 KiB are kept."""
        lines = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1_000) for number in range(20))
        async with Server(always(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n")).running() as server:
            assert len((await caller.reply(server.url())).headers) == 8 * 1024

    @pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
    async def test_interim_answers_are_passed_over(self, caller: Caller, interim: bytes) -> None:
        """The answer is the one after the 1xx ones."""
        async with Server(always(interim + interim + OK)).running() as server:
            reply = await caller.reply(server.url())
            assert (reply.status, reply.body) == (200, b"ok")

    # ---- answers that break ----

    @pytest.mark.parametrize("status", [200, 500])
    @pytest.mark.parametrize("pause_s", [0.0, 0.1])
    @pytest.mark.parametrize("rest", [b"3\r\nab", b"zz\r\nnonsense", b"3\r\nabcdefgh"])
    async def test_status_counts_though_the_body_breaks(self, caller: Caller, status: int, pause_s: float, rest: bytes) -> None:
        """Once the head is there its status stands, whatever the body does, in one piece with the head or later."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            head = CHUNKED.replace(b"200 OK", f"{status} Why".encode())
            await peer.send(head if pause_s else head + rest)
            if pause_s:
                await asyncio.sleep(pause_s)
                await peer.send(rest)

        async with Server(answer).running() as server:
            assert (await caller.reply(server.url())).status == status

    async def test_body_shorter_than_promised(self, caller: Caller) -> None:
        """A connection that closes within the body leaves the status and what came."""
        async with Server(always(b"HTTP/1.1 201 Made\r\nContent-Length: 100\r\n\r\nhalf")).running() as server:
            reply = await caller.reply(server.url())
            assert (reply.status, reply.body) == (201, b"half")

    @pytest.mark.parametrize(
        "garbage",
        [
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 banana OK\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x00\x01\x02\x03" * 64,
            b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\nhello",
        ],
    )
    async def test_what_is_not_http(self, caller: Caller, garbage: bytes) -> None:
        """An answer whose head is not HTTP is a protocol error, not a status that nobody sent."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            await peer.send(garbage)
            await peer.hang()

        async with Server(answer).running() as server:
            assert (await caller.failure(server.url(), 2.0)).kind is ErrorKind.PROTOCOL

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(10_000)) + b"\r\n",
            b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 1_000_000 + b"\r\n\r\n",
        ],
    )
    async def test_huge_heads(self, caller: Caller, head: bytes) -> None:
        """A head beyond all measure is a protocol error, and is not read to its end."""
        async with Server(always(head)).running() as server:
            assert (await caller.failure(server.url())).kind is ErrorKind.PROTOCOL

    async def test_flood_of_interim_answers_ends(self, caller: Caller) -> None:
        """A server that never comes to its answer is left at the timeout at the latest."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            while not peer.writer.is_closing():
                await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                await asyncio.sleep(0.001)

        async with Server(answer).running() as server:
            failure = await caller.failure(server.url(), 1.0)
            assert failure.kind in {ErrorKind.PROTOCOL, ErrorKind.TIMEOUT}
            assert failure.elapsed_s < 10

    @pytest.mark.parametrize("when", ["at once", "after the request", "within the head"])
    @pytest.mark.parametrize("reset", [True, False])
    async def test_connection_that_breaks_before_a_status(self, caller: Caller, when: str, reset: bool) -> None:
        """A connection that is reset or closed before the head is whole is a connection that was reset."""

        async def answer(peer: Peer) -> None:
            if when != "at once":
                await peer.request()
            if when == "within the head":
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-")
                await asyncio.sleep(0.05)
            if reset:
                peer.reset()

        async with Server(answer).running() as server:
            assert (await caller.failure(server.url())).kind is ErrorKind.RESET
            assert len(server.seen) <= 1

    # ---- time ----

    @pytest.mark.parametrize("how", ["silence", "slow head", "no end of body", "slow body"])
    async def test_everything_ends_at_the_timeout(self, caller: Caller, how: str) -> None:
        """The timeout bounds it all; a status that came before it counts."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            if how == "slow head":
                await peer.drip(OK * 10)
            elif how == "no end of body":
                await peer.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
            elif how == "slow body":
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
                await peer.drip(b"x" * 10_000)
            await peer.hang()

        async with Server(answer).running() as server:
            result = await caller.call(server.url(), 0.7)
            assert 0.6 < result.elapsed_s < 10
            assert result.status == (200 if "body" in how else 0)
            assert isinstance(result, Reply) or result.kind is ErrorKind.TIMEOUT

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
        with contextlib.ExitStack() as held:
            hole = held.enter_context(socket.socket())
            hole.bind(("127.0.0.1", 0))
            hole.listen(0)
            for _ in range(4):  # fill its queue: the kernel then drops what comes
                filler = held.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(hole.getsockname())
            await asyncio.sleep(0.1)
            failure = await caller.failure(f"http://127.0.0.1:{hole.getsockname()[1]}/", 1.0)
            assert failure.kind is ErrorKind.TIMEOUT
            assert failure.elapsed_s < 10

    async def test_connect_that_is_refused(self, caller: Caller) -> None:
        """A port where nobody listens is a connect error."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            assert (await caller.failure(f"http://127.0.0.1:{probe.getsockname()[1]}/")).kind is ErrorKind.CONNECT

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
            await asyncio.sleep(0.1)
            await caller.reply(server.url())
            assert (server.connections, len(server.seen)) == (2, 2)

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
        """Bytes that come after an answer are not taken for the next one."""
        smuggled = b"HTTP/1.1 418 Smuggled\r\nContent-Length: 0\r\n\r\n"

        async def answer(peer: Peer) -> None:
            while await peer.request():
                await peer.send(OK)
                await asyncio.sleep(0.05)
                await peer.send(smuggled)

        async with Server(answer).running() as server, Server(always(OK + smuggled, close=False)).running() as at_once:
            for target in (server, at_once):
                for _ in range(3):
                    assert (await caller.reply(target.url())).status == 200
                    await asyncio.sleep(0.15)

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
            found = await asyncio.gather(*(caller.call(server.url(), 20.0, body) for body in bodies))
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
