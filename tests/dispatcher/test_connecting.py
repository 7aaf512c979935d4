"""The last check before a connection: it stands on its own, whatever the look-up let through."""

from __future__ import annotations

import socket

import pytest

from hookline.dispatcher.transport.connecting import connect
from hookline.dispatcher.transport.origins import Address, Blocked, Resolver, target_of
from hookline.dispatcher.transport.phases import Steps
from hookline.dispatcher.transport.tls import TlsSessions, tls_context
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.guard_conformance import STRICT
from tests.dispatcher.hostile import OK, Server, always
from tests.dispatcher.suite import LOCAL

pytestmark = pytest.mark.unit


class Careless(Resolver):
    """A resolver that checks no answer."""

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Return the loopback address, whatever is asked."""
        assert host == "hooks.test"
        return [Address(socket.AF_INET, ("127.0.0.1", port))]


@pytest.mark.parametrize(("policy", "blocked"), [(STRICT, True), (LOCAL, False)])
async def test_an_address_is_checked_where_it_is_dialled(policy: UrlPolicy, blocked: bool) -> None:
    """An address that no look-up has refused is refused by the connect itself, before a packet leaves; one that is allowed is called."""
    resolver, sessions = Careless(policy), TlsSessions(tls_context())
    async with Server(always(OK)).running() as server:
        target = target_of(server.url(host="hooks.test"))
        if blocked:
            with pytest.raises(Blocked, match=r"hooks\.test leads to 127\.0\.0\.1"):
                await connect(target, resolver, sessions, Steps())
            assert server.connections == 0
        else:
            (await connect(target, resolver, sessions, Steps())).close()
    resolver.close()
