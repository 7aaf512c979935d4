"""What every transport must do: the full definition of `hookline.dispatcher.transport.contract.Transport`.

Subclass `Conformance`, say in `make` how the transport is made, and pytest runs all of it against real, hostile servers:
answers here, time and connections in `connections_conformance.py`, the words of timeouts in `phases_conformance.py`,
whom not to call in `guard_conformance.py` and, for the whole table of bad and good places, `spellings_conformance.py`; as whom, in
`certificates_conformance.py`; TLS that breaks off in `broken_tls_conformance.py`; servers with odd manners in
`manners_conformance.py`.
"""

from __future__ import annotations

import asyncio
import gzip
import os
from dataclasses import replace

import pytest

from hookline.dispatcher.transport.contract import Failure, Reply, header_lines
from hookline.schemas.records import ErrorKind
from tests.dispatcher.certificates_conformance import Certificates
from tests.dispatcher.connections_conformance import Connections
from tests.dispatcher.hostile import AT_ONCE_S, CHUNKED, OK, Caller, Peer, Server, always
from tests.dispatcher.manners_conformance import Manners
from tests.dispatcher.phases_conformance import Phases
from tests.dispatcher.spellings_conformance import Spellings
from tests.dispatcher.suite import Suite


class Answers(Suite):
    """What is sent, and what is made of the answer."""

    # ---- what is sent ----

    async def test_request_goes_out_as_given(self, caller: Caller) -> None:
        """Request line, headers in their order and body arrive byte for byte; only Host and Content-Length are added."""
        body = bytes(range(256)) + "€uro".encode()
        headers = (("webhook-id", "msg_1"), ("webhook-signature", "v1,abc= v1,def="), ("x-own", 'a, b;c="d"'))
        async with Server(always(OK)).running() as server:
            request = caller.request(server.url("/a%2Fb/%C3%BC?x=%20&y=1+2"), body=body, headers=headers)
            assert isinstance(await caller.send(request), Reply)
            assert isinstance(await caller.send(replace(request, lines=header_lines(request.headers))), Reply)
            assert server.seen[0] == server.seen[1]
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

    @pytest.mark.parametrize(
        "wrong",
        [
            ("x-own", "hush \u20ac"),
            ("x-own", "hush\r\nX-Evil: 1"),
            ("x-own", "hush\nX-Evil: 1"),
            ("x-own", "hush\rX-Evil: 1"),
            ("x-own", "hush\0"),
            ("x-own\r\nX-Evil", "hush"),
            ("x-own", "hush\r\n\r\nPOST /evil HTTP/1.1\r\nHost: inside"),
        ],
    )
    async def test_a_header_that_http_cannot_carry(self, caller: Caller, wrong: tuple[str, str]) -> None:
        """What is not Latin-1, or breaks the line, is not sent: our fault, told by the header's name alone, and no connection is lost."""
        async with Server(always(OK, close=False)).running() as server:
            await caller.reply(server.url())
            failure = await caller.send(caller.request(server.url(), headers=(("x-fine", "\u00e4"), wrong)))
            assert isinstance(failure, Failure)
            assert failure.kind is ErrorKind.INTERNAL
            assert "x-own" in failure.detail
            assert "hush" not in failure.detail
            await caller.reply(server.url())
            assert (server.connections, len(server.seen)) == (1, 2)

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
            assert 0 < reply.elapsed_s < AT_ONCE_S

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
        """The first 16 KiB of a body are kept, then the connection is closed: at once, and not at the timeout."""
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
            assert reply.elapsed_s < AT_ONCE_S
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

    @pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
    async def test_bytes_beyond_the_body(self, caller: Caller, interim: bytes) -> None:
        """Nonsense behind an answer, in one piece with it, leaves its status and its body; the connection is not used again."""
        async with Server(always(interim + OK + b"nonsense\r\n\r\nmore", close=False)).running() as server:
            for _ in range(2):
                assert (await caller.reply(server.url())).status == 200
            assert server.connections == 2

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
            assert (await caller.failure(server.url())).kind is ErrorKind.PROTOCOL

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


class Conformance(Answers, Connections, Phases, Certificates, Manners, Spellings):
    """All of it."""
