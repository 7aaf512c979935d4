"""The load and the receiver of the benchmark, against each other on loopback."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.dispatcher import SMALL
from benchmarks.load import Load
from benchmarks.publishing import due
from benchmarks.receiver import Receive, Seen

pytestmark = pytest.mark.process


@contextmanager
def receiving(answer: type[asyncio.Protocol] | None = None) -> Iterator[tuple[str, Seen]]:
    """Yield the address of a receiver in a thread, and what it has seen."""
    seen, loop, ready, ports = Seen(), asyncio.new_event_loop(), threading.Event(), list[int]()

    async def serve() -> asyncio.Server:
        server = await loop.create_server(answer or (lambda: Receive(seen, 0.0)), "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        return server

    def run() -> None:
        server = loop.run_until_complete(serve())
        loop.run_forever()
        server.close()
        loop.run_until_complete(asyncio.sleep(0.05))  # connections that the load has closed
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}/hook", seen
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def test_every_post_comes_once() -> None:
    """As many calls as posts, each with its own body."""
    with receiving() as (url, seen):
        Load(url=url, connections=4, headers={"webhook-id": "msg_1"}).closed(lambda number: b'{"n":%d}' % number, 200)
        assert seen.count == 200
        assert seen.ids == {b"msg_1"}
        assert seen.sample[0].startswith(b"POST /hook HTTP/1.1\r\n")


def test_a_steady_load_posts_what_is_due() -> None:
    """300 a second for half a second are 150 posts, and they take about half a second."""
    with receiving() as (url, seen):
        Load(url=url, connections=4).steady(lambda number, due_ns: b'{"id":"bench-%d-%d"}' % (due_ns, number), 300, 0.5)
        assert seen.count == len(seen.latencies_ns) == 150


def test_a_late_load_hides_no_delay() -> None:
    """A load that stands still for 300 ms posts 30 late; each counts from when it was due, and the id it carries says so."""
    dues: list[int] = []
    made = due(SMALL)

    def body(number: int, due_ns: int) -> bytes:
        dues.append(due_ns)
        if number == 10:
            time.sleep(0.3)
        return made(number, due_ns)

    with receiving() as (url, seen):
        began = time.time_ns()
        Load(url=url, connections=64).steady(body, 100, 0.6)
    assert [round((one - dues[0]) / 1e6) for one in dues] == [10 * number for number in range(60)]
    assert 0 <= dues[0] - began < 5e9
    late = [one / 1e6 for one in seen.latencies_ns[10:40]]
    assert max(late) >= 290
    assert sum(one >= 150 for one in late) >= 15
    assert min(seen.latencies_ns) >= 0


def test_a_lasting_load_ends() -> None:
    """It counts what was answered."""
    with receiving() as (url, seen):
        answered, seconds = Load(url=url, connections=2).lasting(lambda _: b"{}", 0.2)
        assert 0 < answered <= seen.count
        assert seconds >= 0.2


class _Refuses(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert data
        self._transport.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")  # type: ignore[attr-defined]  # a plain transport


class _Closes(_Refuses):
    def data_received(self, data: bytes) -> None:
        assert data
        self._transport.close()


@pytest.mark.parametrize(("answer", "words"), [(_Refuses, "status 503"), (_Closes, "connection closed with a post under way")])
def test_a_load_that_is_refused_ends_the_run(answer: type[asyncio.Protocol], words: str) -> None:
    """No figure is made of posts that failed."""
    with receiving(answer) as (url, _), pytest.raises(SystemExit, match=words):
        Load(url=url, connections=2).closed(lambda _: b"{}", 10)
