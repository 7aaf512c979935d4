"""Interim answers that go on: Hookline's own sender counts them, however short they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.dispatcher.transport.phases import HEAD_TOO_LONG
from hookline.schemas.records import ErrorKind
from tests.dispatcher.hostile import AT_ONCE_S, OK, Caller, Peer, Server
from tests.dispatcher.suite import LOCAL, heard

pytestmark = pytest.mark.unit

HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"


class TestInterim:
    """20 of them are half a kilobyte: no bound of bytes ends them."""

    both_loops = True

    @pytest.fixture
    async def caller(self) -> AsyncIterator[Caller]:
        """Give a caller over a started sender."""
        transport = NativeTransport(LOCAL)
        await transport.start()
        yield Caller(transport)
        await transport.stop()

    @pytest.mark.parametrize("count", [17, 20])
    @pytest.mark.parametrize("together", [True, False])
    async def test_more_than_sixteen_are_no_answer(self, caller: Caller, count: int, together: bool) -> None:
        """Whether they come in one read or one by one, the call fails at once, as with a head that is too long."""
        gone = asyncio.Event()

        async def answer(peer: Peer) -> None:
            try:
                await peer.request()
                for data in [HINTS * count] if together else [HINTS] * count:
                    await peer.send(data)
                    await heard(0.01)
                await peer.hang()
            finally:
                gone.set()

        async with Server(answer).running() as server:
            failure = await caller.failure(server.url())
            assert failure.kind is ErrorKind.PROTOCOL
            assert HEAD_TOO_LONG in failure.detail
            assert failure.elapsed_s < AT_ONCE_S
            await asyncio.wait_for(gone.wait(), AT_ONCE_S)  # the connection is closed

    async def test_sixteen_are_passed_over_for_each_call(self, caller: Caller) -> None:
        """The answer after them counts; the next call on that connection has its own sixteen."""

        async def answer(peer: Peer) -> None:
            while await peer.request():
                await peer.send(HINTS * 16)
                await heard(0.05)
                await peer.send(OK)

        async with Server(answer).running() as server:
            for _ in range(2):
                assert (await caller.reply(server.url())).status == 200
            assert server.connections == 1
