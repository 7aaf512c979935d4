"""The last check before a connection: it stands on its own, whatever the look-up let through."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import closing

import pytest

from hookline.dispatcher.transport import racing
from hookline.dispatcher.transport.connecting import connect
from hookline.dispatcher.transport.origins import Address, Blocked, Resolver, target_of
from hookline.dispatcher.transport.phases import Steps
from hookline.dispatcher.transport.tls import TlsSessions, tls_context
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.guard_conformance import STRICT
from tests.dispatcher.hostile import OK, Server, always
from tests.dispatcher.proxying import Tunneller
from tests.dispatcher.suite import LOCAL, until

pytestmark = pytest.mark.unit


class Careless(Resolver):
    """A resolver that checks no answer."""

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Return the loopback address, whatever is asked."""
        assert host == "hooks.test"
        return [Address(socket.AF_INET, ("127.0.0.1", port))]


@pytest.mark.parametrize(("policy", "blocked"), [(STRICT, True), (LOCAL, False)])
@pytest.mark.parametrize("proxied", [False, True])
async def test_an_address_is_checked_where_it_is_dialled(policy: UrlPolicy, blocked: bool, proxied: bool) -> None:
    """An address that no look-up has refused is refused by the connect itself, before a packet leaves; one that is allowed is called."""
    resolver, sessions = Careless(policy), TlsSessions(tls_context())
    async with Server(always(OK)).running() as server, Tunneller().running() as running:
        target, proxy = target_of(server.url(host="hooks.test")), running.address if proxied else None
        if blocked:
            with pytest.raises(Blocked, match=r"hooks\.test leads to 127\.0\.0\.1"):
                await connect(target, resolver, sessions, Steps(), proxy)
            assert (server.connections, running.asked) == (0, [])
        else:
            (await connect(target, resolver, sessions, Steps(), proxy)).close()
            assert len(running.asked) == proxied
    resolver.close()


@pytest.mark.parametrize("ends", [(True, True), (True, False), (False, True), (False, False)])
async def test_two_connects_that_end_in_the_same_turn(ends: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """One is taken, the other closed; that it failed is nobody's complaint."""
    go, made, told = asyncio.Event(), list[socket.socket](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))

    async def dial(address: Address) -> socket.socket:
        await go.wait()
        if not ends[int(address.ip)]:
            raise ConnectionRefusedError
        made.append(socket.socket())
        return made[-1]

    monkeypatch.setattr(racing, "_STAGGER_S", 0.01)
    running = asyncio.create_task(racing.race([Address(socket.AF_INET, (str(number),)) for number in range(2)], dial))
    await asyncio.sleep(0.1)
    go.set()
    if any(ends):
        with closing(await running):
            assert sum(sock.fileno() >= 0 for sock in made) == 1
    else:
        with pytest.raises(ConnectionRefusedError):
            await running
    del running
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


async def test_a_race_that_is_called_off_as_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's own end gets through while a loser of the race is still on its way, and what connects late is closed."""
    monkeypatch.setattr(racing, "_STAGGER_S", 0.01)
    go, made = asyncio.Event(), list[socket.socket]()

    async def dial(address: Address) -> socket.socket:
        if address.ip == "0":
            try:
                await go.wait()
            except asyncio.CancelledError:
                await asyncio.sleep(1)  # it connects all the same
        made.append(socket.socket())
        return made[-1]

    async def call() -> None:
        (await racing.race([Address(socket.AF_INET, (str(number),)) for number in range(2)], dial)).close()
        await asyncio.sleep(30)

    calling = asyncio.create_task(call())
    await until(lambda: made)
    await asyncio.sleep(0)
    calling.cancel()
    done, _ = await asyncio.wait([calling], timeout=10)
    assert done
    assert calling.cancelled()
    await until(lambda: len(made) == 2 and all(sock.fileno() < 0 for sock in made))
