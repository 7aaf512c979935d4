"""What becomes of calls when the sender's own limits are reached: they are no fault of the receiver, and cost little."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hookline.dispatcher import process
from hookline.dispatcher.transport import connecting, native_transport
from hookline.dispatcher.transport.connection import Connection
from hookline.dispatcher.transport.contract import Failure, Reply, Result
from hookline.dispatcher.transport.native_transport import NativeTransport, connections_within
from hookline.dispatcher.transport.phases import Keeper
from hookline.schemas.records import ErrorKind, Outcome
from hookline.schemas.registry import open_registry
from tests.calm import calmly_async
from tests.dispatcher.hostile import OK, Caller, Peer, Server, always
from tests.dispatcher.rig import Rig
from tests.dispatcher.suite import LOCAL, until

pytestmark = pytest.mark.unit


async def hang(peer: Peer) -> None:
    """Take a request and answer nothing."""
    await peer.request()
    await peer.hang()


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """Give a caller over a started sender."""
    transport = NativeTransport(LOCAL)
    await transport.start()
    yield Caller(transport)
    await transport.stop()


@pytest.fixture
def one(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a dispatcher have one connection, and look often whether there is room."""
    limit(caller, 1)
    monkeypatch.setattr(native_transport, "_TIDY_S", 0.05)


def limit(caller: Caller, connections: int) -> NativeTransport:
    """Let the sender have so many connections; return it."""
    transport = caller.transport
    assert isinstance(transport, NativeTransport)
    transport._most = connections
    return transport


def is_ours(result: Result) -> bool:
    """Tell whether a result says that it was we who had no room, and what to do."""
    words = "Hookline could not send: no free connection within"
    return (
        isinstance(result, Failure)
        and result.kind is ErrorKind.INTERNAL
        and result.detail.startswith(words)
        and "IN_FLIGHT" in result.detail
    )


@pytest.mark.usefixtures("one")
async def test_a_call_that_waits_for_room_to_its_end_is_our_fault(caller: Caller) -> None:
    """Whether the one connection is to another host or to the same; the call that has it is the receiver's."""

    async def attempt() -> None:
        async with Server(hang).running() as server, Server(always(OK)).running() as good:
            having = asyncio.create_task(caller.failure(server.url(), 2.0))
            await until(lambda: server.seen)
            elsewhere, same = await asyncio.gather(caller.call(good.url(), 0.5), caller.call(server.url(), 0.5))
            assert ((await having).kind, (await having).detail) == (ErrorKind.TIMEOUT, "no answer within 2 s")
            assert is_ours(elsewhere), elsewhere
            assert is_ours(same), same
            assert (server.connections, good.connections) == (1, 0)

    await calmly_async(attempt)


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize(("first_s", "second_s", "ours"), [(0.3, 3.0, False), (1.5, 2.0, True)])
async def test_who_had_most_of_the_time_is_to_blame(caller: Caller, first_s: float, second_s: float, ours: bool) -> None:
    """A call that got its connection late and no answer is the receiver's fault only if that had half of the call's time."""

    async def attempt() -> None:
        async with Server(hang).running() as server, Server(hang).running() as other:
            first = asyncio.create_task(caller.failure(server.url(), first_s))
            await until(lambda: server.seen)
            second = await caller.failure(other.url(), second_s)
            assert (await first).kind is ErrorKind.TIMEOUT
            assert len(other.seen) == 1
            assert is_ours(second) == ours
            assert ours or (second.kind, second.detail) == (ErrorKind.TIMEOUT, "no answer within 3 s")

    await calmly_async(attempt)


@pytest.mark.usefixtures("one")
async def test_a_call_that_waited_for_room_is_made_when_there_is_some(caller: Caller) -> None:
    """On the connection that became free, or on a new one in its place."""

    async def answer(peer: Peer) -> None:
        while await peer.request():
            await asyncio.sleep(0.1)
            await peer.send(OK)

    async with Server(answer).running() as server, Server(always(OK)).running() as other:
        found = await asyncio.gather(*(caller.call(where.url()) for where in (server, server, server, other, other)))
        assert all(isinstance(result, Reply) for result in found), found
        assert (len(server.seen), len(other.seen)) == (3, 2)


async def test_room_is_made_without_a_look_at_every_origin(caller: Caller) -> None:
    """At the limit an idle connection of another origin gives way; how many origins there are costs nothing."""

    class Pools(dict[Any, Any]):
        def values(self) -> NoReturn:
            raise AssertionError("every origin was looked at")

    transport = limit(caller, 3)
    async with contextlib.AsyncExitStack() as running:
        servers = [await running.enter_async_context(Server(always(OK, close=False)).running()) for _ in range(4)]
        for server in servers[:3]:
            await caller.reply(server.url())
        transport._pools = Pools(transport._pools)
        try:
            assert (await caller.call(servers[3].url())).status == 200
        finally:
            transport._pools = dict(transport._pools)
        assert transport._open == 3


@pytest.mark.parametrize(("files", "connections"), [(1_048_576, 20_000), (20_000, 19_000), (1_024, 512), (256, 128), (1, 1)])
def test_there_are_no_more_connections_than_files(files: int, connections: int) -> None:
    """What a process may open bounds what it keeps open: Kafka and look-ups need files too."""
    assert connections_within(files) == connections


@pytest.mark.parametrize("transport", ["native", "aiohttp"])
def test_a_dispatcher_keeps_to_the_files_that_it_may_open(transport: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its sender is told how many connections that leaves; the one on aiohttp has no limit."""
    monkeypatch.setattr(process, "raise_file_limit", lambda: 256)
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HOOKLINE_SECRET_KEYS": "test:" + base64.b64encode(bytes(32)).decode(),
        "HOOKLINE_STATE_DIR": str(tmp_path),
        "HOOKLINE_TRANSPORT": transport,
    }
    made = process.Dispatcher(process.Settings.read(environ), open_registry(environ))._transport
    assert getattr(made, "_most", None) == {"native": 128}.get(transport)


ORIGINS = """
import asyncio, sys
async def serve(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\\r\\n\\r\\n")
            await reader.readexactly(14)
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for _ in range(12)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


@pytest.fixture
def origins() -> Iterator[list[str]]:
    """Give the URLs of twelve origins in a process of their own, which has files of its own."""
    with subprocess.Popen([sys.executable, "-c", ORIGINS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdin is not None
        assert serving.stdout is not None
        yield [f"http://127.0.0.1:{port}/hook" for port in serving.stdout.readline().split()]
        serving.stdin.close()


@contextlib.asynccontextmanager
async def files(more: int, caller: Caller, urls: list[str]) -> AsyncIterator[None]:
    """Let this process open so many more files; the URLs are looked up before, since that takes files now and then."""
    for url in urls:
        await limit(caller, 20_000)._resolver.addresses("127.0.0.1", int(url.split(":")[2].split("/")[0]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = [os.dup(0) for _ in range(more)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1] + 1, hard))
    for one in spare:
        os.close(one)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestFiles:
    """Idle connections are no reason to have no file for a call."""

    both_loops = True

    async def test_an_idle_connection_gives_its_file(self, caller: Caller, origins: list[str]) -> None:
        """One call at a time, to more origins than there are files."""
        async with files(5, caller, origins):
            found = [await caller.call(url) for url in origins]
        assert [result.status for result in found] == [200] * 12, found

    async def test_every_idle_connection_gives_its_file(self, caller: Caller, origins: list[str]) -> None:
        """Several calls at once, as many as there are files, all of which are kept by idle connections."""
        async with files(5, caller, origins):
            for part in (origins[:5], origins[5:10]):
                found = await asyncio.gather(*(caller.call(url) for url in part))
                assert [result.status for result in found] == [200] * 5, found
        assert limit(caller, 20_000)._open == 5

    async def test_without_an_idle_connection_it_is_our_fault(self, caller: Caller, origins: list[str]) -> None:
        """It is said once, and at once; nothing is counted that is not open."""
        async with files(5, caller, origins):
            found = await asyncio.gather(*(caller.call(url) for url in origins))
        failed = [result for result in found if isinstance(result, Failure)]
        assert {(failure.kind, failure.detail) for failure in failed} == {
            (ErrorKind.INTERNAL, "Hookline could not send: Too many open files")
        }
        assert len(failed) == 7
        assert limit(caller, 20_000)._open == 5


async def test_calls_that_have_ended_want_no_connection(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connect that was begun for a call whose time is up serves the next one, and no further one is begun."""
    monkeypatch.setattr(native_transport, "_TIDY_S", 1_000.0)
    begun, go = list[int](), asyncio.Event()

    async def connect(*given: Any) -> Connection:
        begun.append(1)
        await go.wait()
        return await connecting.connect(*given)

    monkeypatch.setattr(native_transport, "connect", connect)
    async with Server(always(OK, close=False)).running() as server:
        late = await asyncio.gather(*(caller.failure(server.url(), 0.2) for _ in range(5)))
        assert {failure.kind for failure in late} == {ErrorKind.TIMEOUT}
        following = asyncio.create_task(caller.reply(server.url()))
        await asyncio.sleep(0.05)
        go.set()
        assert (await following).status == 200
    assert len(begun) == 5


@pytest.mark.parametrize("keeper", [Keeper.ROOM, Keeper.READY])
def test_what_is_ours_is_tried_again_and_opens_no_breaker(keeper: Keeper) -> None:
    """However many calls in a row we could not make: each is an attempt with our fault as its error, and a retry by the schedule."""
    rig = Rig()
    rig.submit(count=20)
    for _ in range(20):
        rig.transport.answer(Failure(keeper.kind, keeper.late(10), 10.0))
    assert {(r.outcome, r.error_kind) for r in rig.records()} == {(Outcome.RETRYING, ErrorKind.INTERNAL)}
    assert rig.parked("5s") == 20
    assert not rig.lanes.lane("wh_1").opened
    assert rig.settled() == 20
    assert rig.at_rest()
