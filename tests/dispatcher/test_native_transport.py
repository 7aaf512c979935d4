"""Hookline's own sender keeps the contract."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest

from hookline.dispatcher.transport.contract import Reply, Result, Transport
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.dispatcher.transport.tls import tls_context
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.hostile import OK, Caller, Server, always
from tests.dispatcher.transport_conformance import Conformance

pytestmark = pytest.mark.unit


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
            assert isinstance(await asyncio.wait_for(answered, 10), Reply)
            assert (server.connections, len(server.seen)) == (2, 2)
