"""Hookline's own sender keeps the contract."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from hookline.dispatcher.transport import tls
from hookline.dispatcher.transport.contract import Failure, Reply, Result, Transport
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.dispatcher.transport.tls import tls_context
from hookline.schemas.records import ErrorKind
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.guard_conformance import Names, trusting
from tests.dispatcher.hostile import AT_ONCE_S, CHUNKED, OK, Caller, Peer, Server, always
from tests.dispatcher.suite import heard
from tests.dispatcher.transport_conformance import Conformance

pytestmark = pytest.mark.unit


def free_of(version: tuple[int, int, int]) -> int | None:
    """Return how many looks a process of that Python has for nothing, None for all."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "version_info", version)
        spec = importlib.util.spec_from_file_location("another_tls", tls.__file__)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return None if module.LOOKS.all is None else int(module.LOOKS.all.left)


class TestNativeTransport(Conformance):
    """The whole suite."""

    def make(self, policy: UrlPolicy, tls: Callable[[], ssl.SSLContext] = tls_context) -> Transport:
        """Return the sender."""
        return NativeTransport(policy, tls)

    async def test_a_kept_connection_that_ends_before_the_request_is_written_costs_nothing(self, caller: Caller) -> None:
        """Requests are written at the end of a turn of the loop: a connection closed within that turn is replaced; nothing was sent."""
        transport = caller.transport
        assert isinstance(transport, NativeTransport)
        async with Server(always(OK, close=False)).running() as server:
            await caller.reply(server.url())
            ((kept,),) = [pool.idle for pool in transport._pools.values()]
            answered: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            transport.send(caller.request(server.url()), answered.set_result)
            kept.close()
            assert isinstance(await asyncio.wait_for(answered, 30), Reply)
            assert (server.connections, len(server.seen)) == (2, 2)

    async def test_a_call_that_was_never_written_has_no_answer(self, caller: Caller) -> None:
        """A process that stands still between choosing a used connection and writing to it: the answer before is not this call's."""
        async with Server(always(OK, close=False)).running() as server:
            await asyncio.gather(*[caller.reply(server.url()) for _ in range(5)])
            late = asyncio.gather(*[caller.call(server.url(), 0.3) for _ in range(5)])
            await asyncio.sleep(0)  # they are sent in the next turn
            time.sleep(0.5)  # noqa: ASYNC251  # the loop stands still
            assert [(type(one), one.status) for one in await late] == [(Failure, 0)] * 5

    async def test_endless_trailers_are_cut(self, caller: Caller) -> None:
        """What follows the body counts too: the answer is taken, the connection closed, long before the timeout."""

        async def answer(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED + b"2\r\nok\r\n0\r\nX-Trailer: ")
            while not peer.writer.is_closing():
                await peer.send(b"y" * 65_536)

        async with Server(answer).running() as server:
            reply = await caller.reply(server.url())
            assert (reply.status, reply.body, reply.headers) == (200, b"ok", "Transfer-Encoding: chunked")
            assert reply.elapsed_s < AT_ONCE_S

    async def test_trailers_are_no_headers(self, caller: Caller) -> None:
        """A lawful trailer is read over; the connection is kept."""
        async with Server(always(CHUNKED + b"2\r\nok\r\n0\r\nRetry-After: 9\r\n\r\n", close=False)).running() as server:
            for _ in range(2):
                reply = await caller.reply(server.url())
                assert (reply.body, reply.headers) == (b"ok", "Transfer-Encoding: chunked")
            assert server.connections == 1

    async def test_an_idle_connection_holds_no_answer(self, caller: Caller) -> None:
        """There may be 20,000 of them, with 80 KiB each."""
        transport = caller.transport
        assert isinstance(transport, NativeTransport)
        answer = b"HTTP/1.1 500 No\r\nRetry-After: 9\r\nContent-Length: 9\r\n\r\nsomething"
        async with Server(always(answer, close=False)).running() as server:
            for _ in range(2):
                assert (await caller.reply(server.url())).retry_after == "9"
                ((kept,),) = [pool.idle for pool in transport._pools.values()]
                assert (kept.headers, kept.body, kept.retry_after, kept.status) == ([], [], "", 0)
            assert server.connections == 1

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    @pytest.mark.parametrize("answers", [1, 3])
    async def test_tls_sessions_are_resumed(
        self, names: Names, authority: trustme.CA, version: ssl.TLSVersion, answers: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each connection after the first saves the server's certificate, whenever its tickets come."""
        monkeypatch.setattr(tls, "LOOKS", tls.Looks(None))
        names["hooks.test"] = lambda: ["127.0.0.1"]
        resumed: list[bool] = []

        async def answer(peer: Peer) -> None:
            resumed.append(peer.writer.get_extra_info("ssl_object").session_reused)
            for _ in range(answers):
                await peer.request()
                await peer.send(OK)

        with self.certified(authority, "hooks.test") as context:
            context.maximum_version = version
            async with Server(answer).running(context) as server, self.calling(tls=lambda: trusting(authority)) as caller:
                for number in range(3 * answers):
                    await caller.reply(server.url(scheme="https", host="hooks.test"))
                    await heard(0.05 if number % answers == answers - 1 else 0)
        assert resumed == [False, True, True]

    @pytest.mark.parametrize(("tickets", "looks"), [(2, 4), (0, 8)])
    async def test_nobody_looks_for_tls_sessions_without_hope(
        self, names: Names, authority: trustme.CA, tickets: int, looks: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """CPython leaks a session each time that one is asked for: so not where the last one was resumed, nor where none ever comes."""
        monkeypatch.setattr(tls, "LOOKS", tls.Looks(None))
        names["hooks.test"] = lambda: ["127.0.0.1"]
        looked: list[int] = []

        class Watched(ssl.SSLObject):
            @property
            def session(self) -> ssl.SSLSession | None:
                looked.append(1)
                return super().session

            @session.setter
            def session(self, session: ssl.SSLSession | None) -> None:
                property.__set__(vars(ssl.SSLObject)["session"], self, session)

        def watching() -> ssl.SSLContext:
            context = trusting(authority)
            context.sslobject_class = Watched
            return context

        with self.certified(authority, "hooks.test") as context:
            context.num_tickets = tickets
            async with Server(always(OK)).running(context) as server, self.calling(tls=watching) as caller:
                for _ in range(40):
                    await caller.reply(server.url(scheme="https", host="hooks.test"))
                    await heard(0.01)
                assert server.connections == 40
        assert 1 <= len(looked) <= looks

    async def test_looks_that_leak_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So many for nothing, then one a minute; where Python does not leak, always."""
        now = [100.0]
        monkeypatch.setattr("hookline.dispatcher.transport.tls.time.monotonic", lambda: now[0])
        looks = tls.Looks(2)
        assert [looks.take(n) for n in range(3)] == [True, True, False]
        now[0] += 59
        assert not looks.take(3)
        now[0] += 62
        assert [looks.take(n) for n in range(3)] == [True, True, False]
        assert all(tls.Looks(None).take("one") for _ in range(10))

    async def test_an_origin_has_few_of_the_looks_that_leak(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it may not take is left to the others; it gets another one every ten minutes, and no more than it had at first."""
        now = [100.0]
        monkeypatch.setattr("hookline.dispatcher.transport.tls.time.monotonic", lambda: now[0])
        looks = tls.Looks(100)
        assert [looks.take("one") for _ in range(100)] == [True] * 8 + [False] * 92
        assert looks.all is not None
        assert looks.all.left == 92
        now[0] += 599
        assert not looks.take("one")
        now[0] += 602
        assert [looks.take("one") for _ in range(3)] == [True, True, False]
        now[0] += 1e6
        assert [looks.take("one") for _ in range(10)] == [True] * 8 + [False] * 2

    async def test_a_receiver_that_never_resumes_leaves_the_sessions_of_the_others(
        self, names: Names, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It gives tickets with each connection and takes none: however often it is called, another one that comes later is resumed."""
        monkeypatch.setattr(tls, "LOOKS", tls.Looks(20))
        names["evil.test"] = names["good.test"] = lambda: ["127.0.0.1"]
        resumed: list[bool] = []

        async def answer(peer: Peer) -> None:
            resumed.append(peer.writer.get_extra_info("ssl_object").session_reused)
            await peer.request()
            await peer.send(OK)

        async with self.calling(tls=lambda: trusting(authority)) as caller:
            port = 0
            for _ in range(25):
                with self.certified(authority, "evil.test") as context:  # each has keys of its own for its tickets
                    async with Server(answer, port=port).running(context) as server:
                        port = server.port
                        await caller.reply(server.url(scheme="https", host="evil.test"))
                        await heard(0.02)
            assert resumed == [False] * 25
            resumed.clear()
            with self.certified(authority, "good.test") as context:
                async with Server(answer).running(context) as server:
                    for _ in range(3):
                        await caller.reply(server.url(scheme="https", host="good.test"))
                        await heard(0.05)
        assert resumed == [False, True, True]

    @pytest.mark.parametrize(
        ("version", "free"),
        [((3, 11, 7), 4_000), ((3, 12, 7), 4_000), ((3, 12, 8), None), ((3, 13, 0), 4_000), ((3, 13, 1), None), ((3, 14, 0), None)],
    )
    async def test_looks_are_bounded_where_python_leaks(self, version: tuple[int, int, int], free: int | None) -> None:
        """By its version: with none that leaks without a bound, and none bounded that does not."""
        assert free_of(version) == free

    async def test_looks_of_this_process_are_bounded_if_this_python_leaks(self) -> None:
        """The ones that are taken from, not others."""
        left = None if tls.LOOKS.all is None else tls.LOOKS.all.left
        assert (left is None) == (free_of(sys.version_info[:3]) is None)

    async def test_a_call_back_that_raises_ends_no_other_call(self, caller: Caller) -> None:
        """Neither the deadlines that are still to come, nor what is to be written in the same turn."""
        loop, told = asyncio.get_running_loop(), list[object]()
        loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))

        def fail(_result: Result) -> None:
            raise RuntimeError("a fault of ours")

        async def silent(peer: Peer) -> None:
            await peer.hang()

        async with Server(silent).running() as server, Server(always(OK, close=False)).running() as good:
            await asyncio.gather(*[caller.reply(good.url()) for _ in range(2)])
            caller.transport.send(caller.request(server.url(), 0.2), fail)
            assert (await caller.failure(server.url(), 0.5)).kind is ErrorKind.TIMEOUT
            assert [type(error) for error in told] == [RuntimeError]
            no_bytes: Any = "what no connection can write"
            broken, fine = await asyncio.gather(caller.call(good.url(), body=no_bytes), caller.call(good.url()))
            assert (type(broken), type(fine)) == (Failure, Reply)
