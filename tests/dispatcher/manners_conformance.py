"""What every transport must make of servers with odd manners: lawful and rare, sloppy, or meant to do harm."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final

import pytest
import trustme

from hookline.dispatcher.transport.contract import MAX_BODY, Failure, Reply
from hookline.schemas.records import ErrorKind
from tests.calm import calmly_async
from tests.dispatcher.broken_tls_conformance import HOST, VERSIONS, BrokenTls, Sealed
from tests.dispatcher.guard_conformance import Names
from tests.dispatcher.hostile import AT_ONCE_S, CHUNKED, OK, TIMEOUT_S, Caller, Peer, Server, always
from tests.dispatcher.suite import heard

_SMUGGLED: Final = b"HTTP/1.1 418 Smuggled\r\nContent-Length: 0\r\n\r\n"


def _whole(head: bytes, body: bytes = b"ok") -> bytes:
    """Return an answer of a status line and headers, with the length of its body."""
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Manners(BrokenTls):
    """Status, framing, connection and TLS."""

    # ---- the head ----

    @pytest.mark.parametrize("line", [b"HTTP/1.1 000 Nothing", b"HTTP/1.1 099 Low", b"HTTP/1.1 1000 High", b"HTTP/1.1 20 Short"])
    async def test_a_status_that_is_none(self, caller: Caller, line: bytes) -> None:
        """A number below 100 or above 999 is no status: a protocol error, at once."""
        async with Server(always(_whole(line), close=False)).running() as server:
            failure = await caller.failure(server.url())
            assert failure.kind is ErrorKind.PROTOCOL
            assert failure.elapsed_s < AT_ONCE_S

    @pytest.mark.parametrize("line", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 \xc3\xa4\xff", b"HTTP/1.1 200 200 HTTP/1.1 500"])
    async def test_odd_reasons(self, caller: Caller, line: bytes) -> None:
        """What stands behind the status, or nothing, changes nothing."""
        async with Server(always(_whole(line), close=False)).running() as server:
            for _ in range(2):
                reply = await caller.reply(server.url())
                assert (reply.status, reply.body) == (200, b"ok")

    @pytest.mark.parametrize(
        "start", [b"HTTP/2.0 200 OK", b"HTTP/1.2 200 OK", b"http/1.1 200 OK", b"HTTP/11 200 OK", b"ICY 200 OK", b"RTSP/1.0 200 OK"]
    )
    async def test_a_protocol_that_is_not_ours(self, caller: Caller, start: bytes) -> None:
        """A status line of another protocol or version is none: a protocol error, at once."""
        async with Server(always(_whole(start), close=False)).running() as server:
            failure = await caller.failure(server.url())
            assert failure.kind is ErrorKind.PROTOCOL
            assert failure.elapsed_s < AT_ONCE_S

    async def test_an_http_2_server(self, caller: Caller) -> None:
        """A server that begins with frames of HTTP/2 is a protocol error."""
        frames = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64" + b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
        async with Server(always(frames, close=False)).running() as server:
            assert (await caller.failure(server.url())).kind is ErrorKind.PROTOCOL

    @pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"HTTP/1.1 200 OK\rContent-Length: 2\r\rok"])
    async def test_lines_that_end_otherwise(self, caller: Caller, answer: bytes) -> None:
        """Lines without CR LF: taken or refused, but at once, and the connection goes no further than its answer."""
        async with Server(always(answer + _SMUGGLED)).running() as server:
            for _ in range(2):
                result = await caller.call(server.url())
                assert result.status in {0, 200}
                assert isinstance(result, Reply) or result.kind in {ErrorKind.PROTOCOL, ErrorKind.RESET}
                assert result.elapsed_s < AT_ONCE_S

    @pytest.mark.parametrize(
        "lines", [b"Content-Length: 18446744073709551618\r\n", b"Content-Length: " + b"9" * 5_000 + b"\r\n", b"Content-Length: \r\n"]
    )
    async def test_a_length_that_is_none(self, caller: Caller, lines: bytes) -> None:
        """A length that no machine counts to, or none, is a protocol error, or lasts as long as the connection: nothing is waited for."""
        async with Server(always(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\nok")).running() as server:
            result = await caller.call(server.url())
            assert isinstance(result, Reply) or result.kind is ErrorKind.PROTOCOL
            assert result.elapsed_s < AT_ONCE_S

    async def test_a_head_a_byte_at_a_time(self, caller: Caller) -> None:
        """Wherever the pieces of an answer are cut, it is the same, and the connection is kept."""

        async def answer(peer: Peer) -> None:
            while await peer.request():
                await peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n", 0.0005)

        async with Server(answer).running() as server:
            for _ in range(2):
                reply = await caller.reply(server.url())
                assert (reply.status, reply.body) == (200, b"ok")
            assert server.connections == 1

    @pytest.mark.parametrize("value", [b"\xff\xfe", b"\xed\xa0\x80", b"7\x80", "Fr\u00fch".encode(), b""])
    async def test_headers_that_are_no_text(self, caller: Caller, value: bytes) -> None:
        """Whatever bytes a header has, what is made of them can be written as UTF-8, byte for byte as Latin-1."""
        async with Server(always(_whole(b"HTTP/1.1 503 No\r\nRetry-After: " + value + b"\r\nX-Own: " + value))).running() as server:
            reply = await caller.reply(server.url())
            assert reply.retry_after == value.decode("latin-1")
            assert f"X-Own: {value.decode('latin-1')}" in reply.headers
            (reply.headers + reply.retry_after).encode()

    async def test_interim_headers_are_not_the_answers(self, caller: Caller) -> None:
        """What an interim answer says, when to come again too, is no part of the answer."""
        interim = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 86400\r\nX-Early: y\r\n\r\n"
        async with Server(always(interim + _whole(b"HTTP/1.1 503 No"), close=False)).running() as server:
            for _ in range(2):
                reply = await caller.reply(server.url())
                assert (reply.status, reply.retry_after) == (503, "")
                assert "early" not in reply.headers.lower()

    async def test_the_first_of_two_says_when_to_come_again(self, caller: Caller) -> None:
        """Of a header that is there twice the first counts."""
        async with Server(always(_whole(b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nretry-after: 9"))).running() as server:
            assert (await caller.reply(server.url())).retry_after == "7"

    async def test_an_offer_to_upgrade_is_none(self, caller: Caller) -> None:
        """A server that offers HTTP/2 beside its answer, as many do, has answered; the connection is kept."""
        offer = b"HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive"
        async with Server(always(_whole(offer), close=False)).running() as server:
            for _ in range(3):
                assert (await caller.reply(server.url())).body == b"ok"
            assert server.connections == 1

    async def test_an_upgrade_that_nobody_asked_for(self, caller: Caller) -> None:
        """101 ends HTTP on that connection: it is the status, and what follows is nobody's answer."""
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        async with Server(always(head + _SMUGGLED, close=False)).running() as server:
            for _ in range(2):
                result = await caller.call(server.url(), 2.0)
                assert result.status == 101 or (isinstance(result, Failure) and result.kind is ErrorKind.PROTOCOL)
                await asyncio.sleep(0.02)
            assert server.connections == 2

    # ---- the body ----

    @pytest.mark.parametrize("size", [MAX_BODY - 1, MAX_BODY, MAX_BODY + 1])
    @pytest.mark.parametrize("chunked", [False, True])
    async def test_a_body_at_the_bound(self, caller: Caller, size: int, chunked: bool) -> None:
        """16 KiB are kept, and of one byte more the first 16 KiB."""
        body = os.urandom(size)
        answer = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if chunked else _whole(b"HTTP/1.1 200 OK", body)
        async with Server(always(answer, close=False)).running() as server:
            for _ in range(2):
                assert (await caller.reply(server.url())).body == body[:MAX_BODY]

    @pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
    @pytest.mark.parametrize("framing", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
    async def test_a_body_where_none_may_be(self, caller: Caller, status: bytes, framing: bytes) -> None:
        """Whatever is said of its length, there is no body, nothing is waited for, and what stands there is no next answer."""
        for rest in (b"", b"ok", _SMUGGLED):
            async with Server(always(b"HTTP/1.1 " + status + b"\r\n" + framing + b"\r\n\r\n" + rest, close=False)).running() as server:
                for _ in range(2):
                    reply = await caller.reply(server.url())
                    assert (reply.status, reply.body) == (int(status[:3]), b"")
                    assert reply.elapsed_s < AT_ONCE_S
                    await asyncio.sleep(0.02)

    @pytest.mark.parametrize(
        "chunks",
        [
            b"+2\r\nok\r\n0\r\n\r\n",
            b"-2\r\nok\r\n0\r\n\r\n",
            b"0x2\r\nok\r\n0\r\n\r\n",
            b" 2\r\nok\r\n0\r\n\r\n",
            b"10000000000000002\r\nok\r\n0\r\n\r\n",
            b"\r\n2\r\nok\r\n0\r\n\r\n",
            b"2\nok\n0\n\n",
            b"2\r\nokXX0\r\n\r\n",
            b"2;" + b"x" * 300 + b"\r\nok\r\n0\r\n\r\n",
            b"00000000000000000002\r\nok\r\n0\r\n\r\n",
        ],
    )
    async def test_chunks_that_may_be_read_in_two_ways(self, caller: Caller, chunks: bytes) -> None:
        """The status stands, at once or when the server closes; what stands behind, however it is cut, is nobody's next answer."""

        async def attempt() -> None:
            async with Server(always(CHUNKED + chunks + _SMUGGLED, close=False)).running() as server:
                for _ in range(3):
                    result = await caller.call(server.url(), 0.5)
                    assert result.status == 200
                    await asyncio.sleep(0.02)

        await calmly_async(attempt)

    async def test_many_trailers(self, caller: Caller) -> None:
        """More trailers than an answer may have headers, and malformed ones, do not change the status that has come."""
        for trailers in (b"".join(b"X-%d: y\r\n" % number for number in range(200)), b"no colon here\r\n", b"X: a\0b\r\n"):
            async with Server(always(CHUNKED + b"2\r\nok\r\n0\r\n" + trailers + b"\r\n", close=False)).running() as server:
                for _ in range(2):
                    assert (await caller.reply(server.url())).status == 200

    # ---- the connection ----

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\nConnection: close",
            b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, CLOSE",
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close",
            b"HTTP/1.0 200 OK",
        ],
    )
    async def test_an_answer_that_ends_the_connection(self, caller: Caller, head: bytes) -> None:
        """A server that says that it closes is believed, though it does not: the next request goes out on a new connection."""
        async with Server(always(_whole(head), close=False)).running() as server:
            for _ in range(3):
                assert (await caller.reply(server.url())).body == b"ok"
            assert server.connections == 3

    async def test_http_1_0_that_keeps_its_connection(self, caller: Caller) -> None:
        """It is used again when the server says so."""
        async with Server(always(_whole(b"HTTP/1.0 200 OK\r\nConnection: keep-alive"), close=False)).running() as server:
            for _ in range(3):
                assert (await caller.reply(server.url())).body == b"ok"
            assert server.connections == 1

    @pytest.mark.parametrize("first", [_SMUGGLED, b"HTTP/1.1 200 ", b"220 mail.test ESMTP\r\n", b"\r\n"])
    async def test_a_server_that_speaks_first(self, caller: Caller, first: bytes) -> None:
        """What comes before the request was written may be its answer or end the call; the answer to it is not the next call's."""

        async def answer(peer: Peer) -> None:
            await peer.send(first)
            while whole := await peer.request():
                await peer.send(_whole(b"HTTP/1.1 200 OK", whole.partition(b"\r\n\r\n")[2]))

        async with Server(answer).running() as server:
            for number in range(4):
                body = b"call %d" % number
                result = await caller.call(server.url(), 1.0, body)
                assert result.status in {0, 418, 200}
                assert not isinstance(result, Reply) or result.body == (b"" if result.status == 418 else body)
                await asyncio.sleep(0.05)

    @pytest.mark.parametrize("pause_s", [0.0, 0.05])
    async def test_a_reset_behind_an_answer(self, caller: Caller, pause_s: float) -> None:
        """A whole answer counts though the connection is reset behind it, and the next call goes out on a new one."""
        was_reset = asyncio.Event()

        async def answer(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            await asyncio.sleep(0.05)
            peer.reset()
            was_reset.set()

        async with Server(answer).running() as server:
            for _ in range(3):
                was_reset.clear()
                assert (await caller.reply(server.url())).body == b"ok"
                await was_reset.wait()
                await heard(0.05 + pause_s)
            assert (server.connections, len(server.seen)) == (3, 3)

    async def test_a_refusal_while_the_body_is_on_its_way(self, caller: Caller) -> None:
        """A server that answers 413 to a large body and closes: that status, or a reset, at once."""

        async def answer(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

        async with Server(answer).running() as server:
            for _ in range(3):
                result = await caller.call(server.url(), body=bytes(8_000_000))
                assert result.status == 413 or (isinstance(result, Failure) and result.kind is ErrorKind.RESET)
                assert result.elapsed_s < AT_ONCE_S

    async def test_an_answer_and_its_end_in_one_piece(self, caller: Caller) -> None:
        """The last byte and the end of the connection come together: the answer is whole, and so is the next call's."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            with socket.socket(fileno=os.dup(peer.writer.get_extra_info("socket").fileno())) as bare:
                bare.send(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")
                bare.shutdown(socket.SHUT_RDWR)

        async with Server(answer).running() as server:
            for _ in range(10):
                assert (await caller.reply(server.url())).body == b"ok"

    async def test_a_server_that_reads_slowly(self, caller: Caller) -> None:
        """A large request goes out as fast as it is taken, whole, and the connection is kept."""

        async def answer(peer: Peer) -> None:
            for _ in range(2):
                head = await peer.reader.readuntil(b"\r\n\r\n")
                left = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1])
                while left:
                    left -= len(await peer.reader.read(min(left, 50_000)))
                    await asyncio.sleep(0.001)
                await peer.send(OK)

        async with Server(answer).running() as server:
            for _ in range(2):
                assert (await caller.call(server.url(), 2 * TIMEOUT_S, os.urandom(3_000_000))).status == 200
            assert server.connections == 1

    # ---- TLS ----

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize(
        "cut",
        [lambda data: [data[at : at + 1] for at in range(len(data))], lambda data: [data[:20], data[20:]], lambda data: [data]],
        ids=["each byte", "two", "one"],
    )
    async def test_records_in_one_piece(
        self, names: Names, authority: trustme.CA, version: ssl.TLSVersion, cut: Callable[[bytes], list[bytes]]
    ) -> None:
        """However many records come at once, all are read: the answer is whole, at once, and the connection is kept."""

        async def answer(secure: Sealed) -> None:
            while True:
                await secure.request()
                await secure.peer.send(b"".join(secure.sealed(part) for part in cut(OK)))

        async with self.breaking(authority, names, version, answer) as (server, caller):
            for _ in range(3):
                reply = await caller.reply(server.url(scheme="https", host=HOST))
                assert reply.body == b"ok"
                assert reply.elapsed_s < AT_ONCE_S
            assert server.connections == 1

    @pytest.mark.parametrize("version", VERSIONS)
    async def test_a_record_in_many_pieces(self, names: Names, authority: trustme.CA, version: ssl.TLSVersion) -> None:
        """A record that trickles in is put together, large ones too."""

        async def answer(secure: Sealed) -> None:
            while True:
                await secure.request()
                await secure.peer.drip(secure.sealed(OK), 0.0005)

        async with self.breaking(authority, names, version, answer) as (server, caller):
            for _ in range(3):
                assert (await caller.reply(server.url(scheme="https", host=HOST))).body == b"ok"
            assert server.connections == 1

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("size", [16_384, 40_000, 300_000])
    async def test_a_large_answer_over_tls(self, names: Names, authority: trustme.CA, version: ssl.TLSVersion, size: int) -> None:
        """Its first 16 KiB, whether its records come in one piece or in many."""
        body = os.urandom(size)

        async def answer(secure: Sealed) -> None:
            while True:
                await secure.request()
                await secure.peer.send(secure.sealed(_whole(b"HTTP/1.1 200 OK", body)))

        async with self.breaking(authority, names, version, answer) as (server, caller):
            for _ in range(2):
                reply = await caller.reply(server.url(scheme="https", host=HOST))
                assert reply.body == body[:MAX_BODY]
                assert reply.elapsed_s < AT_ONCE_S

    @pytest.mark.parametrize("version", VERSIONS)
    async def test_a_smuggled_answer_over_tls(self, names: Names, authority: trustme.CA, version: ssl.TLSVersion) -> None:
        """A second answer, in a record of its own, in one piece with the first or later, is nobody's."""

        async def answer(secure: Sealed) -> None:
            while True:
                await secure.request()
                await secure.peer.send(secure.sealed(OK) + secure.sealed(_SMUGGLED))

        async with self.breaking(authority, names, version, answer) as (server, caller):
            for _ in range(3):
                assert (await caller.reply(server.url(scheme="https", host=HOST))).status == 200
            assert server.connections == 3

    async def test_a_handshake_of_nonsense(self, names: Names) -> None:
        """Whatever is sent instead of a handshake, in whatever pieces: a TLS error or a reset, at once."""
        names[HOST] = lambda: ["127.0.0.1"]
        for nonsense in (b"\x16\x03\x03\xff\xff" + bytes(65_535), b"\x15\x03\x03\x00\x02\x02\x28", os.urandom(4_096), b"SSH-2.0-x\r\n"):

            async def answer(peer: Peer, nonsense: bytes = nonsense) -> None:
                await peer.reader.read(65_536)
                await peer.send(nonsense)

            async with Server(answer).running() as server, self.calling() as caller:
                failure = await caller.failure(server.url(scheme="https", host=HOST))
                assert failure.kind in {ErrorKind.TLS, ErrorKind.RESET}
                assert failure.elapsed_s < AT_ONCE_S
