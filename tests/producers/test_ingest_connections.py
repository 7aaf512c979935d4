"""One connection of ingest, byte by byte: order, limits, early refusals, keys that were made a moment ago."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.producers.api_keys import compose
from hookline.producers.ingest.app import PATH
from hookline.producers.ingest.connection import Connection
from hookline.producers.publisher import Published
from tests.calm import calmly_async
from tests.producers.fakes import FakeOutlet
from tests.producers.serving import Serving, http, request, serving

pytestmark = pytest.mark.process


@pytest.fixture
async def ingest() -> AsyncIterator[Serving]:
    """Yield an ingest whose Kafka confirms everything."""
    async with serving() as found:
        yield found


def event(name: str) -> bytes:
    """Return the body of an event."""
    return json.dumps(request(id=name)).encode()


def whole(name: str, *headers: str, **changes: Any) -> bytes:
    """Return a request with a body of the right length."""
    body = event(name)
    return http(body, f"Content-Length: {len(body)}", *headers, **changes)


async def read_to_end(port: int, *parts: bytes, wait_s: float = 0.0) -> bytes:
    """Send bytes and return all that comes until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(wait_s)
    async with asyncio.timeout(30):
        found = await reader.read()
    writer.close()
    return found


@given(st.lists(st.integers(1, 900), max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_does_not_matter_how_bytes_are_cut(sizes: list[int]) -> None:
    """Wherever packets end: three requests, three answers in order, the last one refused and the connection still in step."""

    async def run() -> None:
        chunked = b"%x\r\n%b\r\n0\r\nLater: header\r\n\r\n" % (len(event("b")), event("b"))
        stream = whole("a") + http(chunked, "Transfer-Encoding: chunked") + whole("c", "Content-Type: text/plain")
        cuts = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
        parts = [stream[begin:end] for begin, end in zip(cuts, [*cuts[1:], len(stream)], strict=True) if stream[begin:end]]
        async with serving() as ingest:
            answers = await ingest.raw(*parts, wait_s=0.001)
        assert [answer.status for answer in answers] == [202, 202, 415]
        assert [answer.json.get("id") for answer in answers] == ["a", "b", None]

    asyncio.run(run())


async def test_a_pipeline_is_answered_in_order_and_held_back() -> None:
    """Three hundred requests at once: while the first waits for Kafka nothing behind it goes there, and no more is read."""
    async with serving(outlet=FakeOutlet(script=lambda _: None)) as ingest:
        talking = asyncio.create_task(ingest.raw(b"".join(whole(f"p{number}") for number in range(300))))
        await _until(lambda: ingest.outlet.waiting)
        await asyncio.sleep(0.05)
        assert len(ingest.outlet.sent) == 1
        ingest.outlet.script = lambda _: Published("t", 0, 0)
        ingest.outlet.answer(Published("t", 0, 0))
        assert [answer.json["id"] for answer in await talking] == [f"p{number}" for number in range(300)]


async def test_time_that_we_do_not_read_is_not_the_clients() -> None:
    """A body whose rest was held back by a slow request before it is not late."""

    async def attempt() -> None:
        async with serving(body_s=3.0, outlet=FakeOutlet(script=lambda _: None)) as ingest:
            reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
            second = whole("b", "Connection: close")
            writer.write(whole("a") + second[:-5])
            await _until(lambda: ingest.outlet.waiting)
            await asyncio.sleep(3.3)
            ingest.outlet.script = lambda _: Published("t", 0, 0)
            ingest.outlet.answer(Published("t", 0, 0))
            await asyncio.sleep(0.9)  # what is late is looked for four times in the time that a body has
            writer.write(second[-5:])
            found = await asyncio.wait_for(reader.read(), 30)
            assert (found.count(b"HTTP/1.1 "), found.count(b"HTTP/1.1 202 ")) == (2, 2)
            writer.close()

    await calmly_async(attempt)


async def test_http_1_0_and_close_end_the_connection(ingest: Serving) -> None:
    """The answer says so, and nothing behind such a request is taken for another one."""
    old = f"POST {PATH} HTTP/1.0"
    closing = (whole("old", line=old), whole("ab", "Connection: keep-alive", line=old), whole("last", "Connection: close"))
    for sent in (*closing, whole("both", "Connection: close") * 2):
        found = await read_to_end(ingest.port, sent)
        assert found.startswith(b"HTTP/1.1 202 ")
        assert b"\r\nConnection: close\r\n" in found
        assert found.count(b"HTTP/1.1") == 1
    assert [event.id for event in ingest.outlet.sent] == ["old", "ab", "last", "both"]


async def test_a_client_that_sends_no_more_still_gets_its_answer() -> None:
    """Half-closed connections, as `nc` makes them; a request that is cut short there has none."""
    async with serving(outlet=FakeOutlet(script=lambda _: None)) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(whole("half"))
        writer.write_eof()
        await _until(lambda: ingest.outlet.waiting)
        ingest.outlet.answer(Published("t", 0, 0))
        assert (await asyncio.wait_for(reader.read(), 30)).endswith(b'{"id":"half"}')
        reader, other = await asyncio.open_connection("127.0.0.1", ingest.port)
        other.write(whole("cut")[:-5])
        other.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        other.close()


async def test_an_early_refusal_reaches_a_client_that_is_still_sending(ingest: Serving) -> None:
    """A body of a megabyte under a wrong key is not read, and the client sees the 401 and not a reset."""
    found = await read_to_end(ingest.port, http(b"", "Content-Length: 1000000", key="wrong"), *[b" " * 100_000] * 5, wait_s=0.02)
    assert found.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nConnection: close\r\n" in found


async def test_a_refusal_whose_body_came_with_it_keeps_the_connection(ingest: Serving) -> None:
    """The next request over it is served."""
    answers = await ingest.raw(whole("a", key="wrong") + whole("b"))
    assert [answer.status for answer in answers] == [401, 202]


@pytest.mark.parametrize(
    "headers",
    [
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Upgrade: websocket", "Connection: upgrade", "Content-Length: 0"),
        ("X: a", " folded", "Content-Length: 0"),
    ],
)
async def test_what_two_readers_could_read_differently_is_refused(ingest: Serving, headers: tuple[str, ...]) -> None:
    """Nothing that smuggles a request past a proxy is taken."""
    answers = await ingest.raw(http(b"2\r\n{}\r\n0\r\n\r\n", *headers))
    assert [(answer.status, answer.json["code"]) for answer in answers] == [(400, "malformed_request")]


@pytest.mark.parametrize(
    ("hosts", "version", "status"),
    [
        ((), "1.1", 400),
        (("ingest", "ingest"), "1.1", 400),
        (("ingest", ""), "1.1", 400),
        (("ingest", "ingest"), "1.0", 400),
        (("in gest",), "1.1", 400),
        (("ingest/api",), "1.1", 400),
        (("me@ingest",), "1.1", 400),
        (("",), "1.1", 202),
        (("[2001:db8::1]:8080",), "1.1", 202),
        (("ingest.example.com:8080",), "1.1", 202),
        ((), "1.0", 202),
    ],
)
async def test_a_request_has_one_host(ingest: Serving, hosts: tuple[str, ...], version: str, status: int) -> None:
    """Without one, with two or with a broken one it is refused, as RFC 9112 asks; only HTTP/1.0 does without."""
    lines = [f"POST {PATH} HTTP/{version}", *(f"Host: {host}" for host in hosts), "Authorization: Bearer good"]
    body = event("a")
    head = "\r\n".join([*lines, "Content-Type: application/json", f"Content-Length: {len(body)}", "", ""])
    [answer] = await ingest.raw(head.encode() + body)
    assert answer.status == status
    assert status == 202 or "Send one Host header" in answer.body.decode()


async def test_headers_that_stand_twice_are_joined(ingest: Serving) -> None:
    """So neither of two keys, two types or two encodings counts."""
    assert [answer.status for answer in await ingest.raw(whole("a", "Authorization: Bearer other"))] == [401]
    assert [answer.status for answer in await ingest.raw(whole("a", "Content-Type: application/json"))] == [415]
    assert ingest.outlet.sent == []


async def test_a_head_has_a_limit_before_it_ends(ingest: Serving) -> None:
    """Neither one endless header nor a thousand small ones behind the body are kept."""
    [answer] = await ingest.raw(b"POST / HTTP/1.1\r\nX: " + b"x" * 200_000)
    assert (answer.status, answer.json["code"]) == (431, "headers_too_large")
    trailers = b"".join(b"T%d: 1\r\n" % number for number in range(1_000))
    [answer] = await ingest.raw(http(b"0\r\n" + trailers + b"\r\n", "Transfer-Encoding: chunked"))
    assert (answer.status, answer.json["code"]) == (431, "headers_too_large")


async def test_dripping_headers_do_not_hold_a_connection() -> None:
    """The time for a head counts from its first byte, not from its last."""
    async with serving(idle_s=0.3) as ingest:
        reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
        writer.write(f"POST {PATH} HTTP/1.1\r\n".encode())
        for _ in range(500):
            writer.write(b"X: 1\r\n")
            await asyncio.sleep(0.02)
            if reader.at_eof():
                break
        assert reader.at_eof(), "it was still open after ten seconds of dripping"
        assert await reader.read() == b""
        writer.close()


async def test_a_client_that_does_not_read_is_not_answered_for_ever() -> None:
    """Its answers are not piled up: it is read no more, and cut after a while."""
    async with serving(idle_s=0.5) as ingest:
        _, writer = await asyncio.open_connection("127.0.0.1", ingest.port, limit=1)
        many = b"".join(whole(f"e{number}", "Idempotency-Key: two words") for number in range(2_000))
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(_write_for_ever(writer, many), 20)
        writer.close()


async def test_a_client_that_does_not_read_its_last_answer_is_cut() -> None:
    """Closing waits for what was written to be read, but not for ever."""
    host, transport = Mock(idle_s=5.0), Mock(get_extra_info=Mock(return_value=None))
    transport.is_closing.return_value = False
    connection = Connection(host)
    connection.connection_made(transport)
    later = asyncio.get_running_loop().time() + 6
    connection.sweep(later)
    assert (transport.close.called, transport.abort.called) == (True, False)
    transport.is_closing.return_value = True
    connection.sweep(later + 1)
    assert transport.abort.called


async def test_a_key_that_was_made_a_moment_ago_is_known() -> None:
    """A key that this process has not read yet is looked for before it is refused; the request waits and is not lost."""
    key = compose("aaaaaaaaaaaa", b"\1" * 32)
    async with serving() as ingest:
        ingest.keys.coming.add(key)
        answers = await asyncio.gather(*(ingest.raw(whole(f"e{number}", key=key)) for number in range(50)))
        assert [answer.json.get("id") for [answer] in answers] == [f"e{number}" for number in range(50)]
        assert 1 <= ingest.keys.caught_up <= 3


@pytest.mark.parametrize("new", [True, False])
async def test_a_fault_of_ours_in_the_head_is_500(monkeypatch: pytest.MonkeyPatch, new: bool) -> None:
    """Whatever breaks while a key is looked up: one answer, and the connection serves the next request."""
    key = compose("aaaaaaaaaaaa", b"\1" * 32)

    def fail(*_: object) -> bool:
        raise RuntimeError("a secret detail")

    async with serving() as ingest:
        with monkeypatch.context() as patch:
            patch.setattr(ingest.keys, "catch_up" if new else "may_be_new", fail)
            ingest.keys.coming.add(key)
            [answer] = await ingest.raw(whole("a", key=key))
        assert (answer.status, answer.json["code"]) == (500, "internal_error")
        assert b"secret" not in answer.body
        assert [answer.status for answer in await ingest.raw(whole("b"))] == [202]


async def test_a_key_is_asked_for_again_with_every_request(ingest: Serving) -> None:
    """A connection remembers its key only as long as the key is what it was."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
    statuses = []
    for number in range(3):
        if number == 2:
            del ingest.keys.known["good"]
        writer.write(whole(f"e{number}"))
        head = await reader.readuntil(b"\r\n\r\n")
        statuses.append(int(head.split()[1]))
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    writer.close()
    assert statuses == [202, 202, 401]


async def _write_for_ever(writer: asyncio.StreamWriter, data: bytes) -> None:
    while True:
        writer.write(data)
        await writer.drain()


async def _until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # simpler than an event per condition
            await asyncio.sleep(0.01)
