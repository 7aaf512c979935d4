"""From a target to a connection: look up, check, connect to the addresses in a staggered race, shake hands for TLS."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from hookline.dispatcher.transport.connection import Connection
from hookline.dispatcher.transport.origins import Address, Resolver, Target, dial
from hookline.dispatcher.transport.phases import Keeper, Phase, Steps
from hookline.dispatcher.transport.proxy import Proxy, tunnel
from hookline.dispatcher.transport.tls import TlsConnection, TlsSessions

_STAGGER_S: Final = 0.25
_Dial: TypeAlias = Callable[[Address], Coroutine[Any, Any, socket.socket]]


async def connect(target: Target, resolver: Resolver, sessions: TlsSessions, steps: Steps, proxy: Proxy | None = None) -> Connection:
    """Return a connection that is ready for a request; raise `Blocked`, `gaierror`, `ssl.SSLError`, `OSError`, `Unsendable`.

    `steps` tells meanwhile how far it is. None as `proxy`: the receiver is called directly.
    """
    steps.phase = Phase.LOOK_UP
    addresses = await resolver.addresses(target.host, target.port)
    steps.phase = Phase.CONNECT if proxy is None else Keeper.PROXY
    sock = await _race(addresses, lambda address: _dial(target.host, address, resolver, steps, proxy))
    loop = asyncio.get_running_loop()
    if not target.tls:
        plain = Connection(target.origin)
        return await _attach(plain, sock)
    steps.phase = Phase.HANDSHAKE
    shaken: asyncio.Future[None] = loop.create_future()

    def ready(error: Exception | None) -> None:
        if not shaken.done():
            shaken.set_result(None) if error is None else shaken.set_exception(error)

    secure = await _attach(TlsConnection(target.origin, target.host, sessions, ready), sock)
    try:
        await shaken
    except BaseException:
        secure.close()
        raise
    return secure


async def _attach(connection: Connection, sock: socket.socket) -> Connection:
    connection.watch(sock)
    try:
        await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
    except BaseException:
        sock.close()
        raise
    return connection


async def _race(addresses: list[Address], to: _Dial) -> socket.socket:
    """Connect to the first address that answers: the next one is tried 250 ms later, or when one fails (RFC 8305)."""
    waiting = list(reversed(addresses))
    running: set[asyncio.Task[socket.socket]] = set()
    error: Exception = OSError(errno.EHOSTUNREACH, "the host has no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(to(waiting.pop())))
            done, running = await asyncio.wait(running, timeout=_STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            if won := [task.result() for task in done if task.exception() is None]:
                _close(won[1:])  # two may connect in the same turn of the loop
                return won[0]
            error = next((failure for task in done if isinstance(failure := task.exception(), Exception)), error)
        raise error
    finally:
        _call_off(running)


def _close(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.close()


def _call_off(running: set[asyncio.Task[socket.socket]]) -> None:
    """Cancel the slower ones; one that has connected meanwhile is closed. Nobody waits for that: the caller's own end must get through."""
    for task in running:
        task.add_done_callback(_drop)
        task.cancel()


def _drop(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _dial(host: str, address: Address, resolver: Resolver, steps: Steps, proxy: Proxy | None) -> socket.socket:
    """Connect to one address, checked here and now."""
    resolver.check(host, address)
    return await (dial(address) if proxy is None else tunnel(proxy, host, address, resolver, steps))
