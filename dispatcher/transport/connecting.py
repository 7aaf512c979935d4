"""From a target to a connection: look up, check, connect to the addresses in a staggered race, shake hands for TLS."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import Final

from hookline.dispatcher.transport.connection import Connection
from hookline.dispatcher.transport.origins import Address, Resolver, Target
from hookline.dispatcher.transport.phases import Phase, Steps
from hookline.dispatcher.transport.tls import TlsConnection, TlsSessions

_STAGGER_S: Final = 0.25


async def connect(target: Target, resolver: Resolver, sessions: TlsSessions, steps: Steps) -> Connection:
    """Return a connection that is ready for a request; raise `Blocked`, `gaierror`, `ssl.SSLError`, `OSError`.

    `steps` tells meanwhile how far it is.
    """
    steps.phase = Phase.LOOK_UP
    addresses = await resolver.addresses(target.host, target.port)
    steps.phase = Phase.CONNECT
    sock = await _race(target.host, addresses, resolver)
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


async def _race(host: str, addresses: list[Address], resolver: Resolver) -> socket.socket:
    """Connect to the first address that answers: the next one is tried 250 ms later, or when one fails (RFC 8305)."""
    waiting = list(reversed(addresses))
    running: set[asyncio.Task[socket.socket]] = set()
    error: Exception = OSError(errno.EHOSTUNREACH, "the host has no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_dial(host, waiting.pop(), resolver)))
            done, running = await asyncio.wait(running, timeout=_STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            if won := [task.result() for task in done if task.exception() is None]:
                _close(won[1:])  # two may connect in the same turn of the loop
                return won[0]
            error = next((failure for task in done if isinstance(failure := task.exception(), Exception)), error)
        raise error
    finally:
        await _call_off(running)


def _close(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.close()


async def _call_off(running: set[asyncio.Task[socket.socket]]) -> None:
    """Cancel the slower ones; one that has connected meanwhile is closed."""
    for task in running:
        task.cancel()
    for task in running:
        with suppress(asyncio.CancelledError, OSError):
            (await task).close()


async def _dial(host: str, address: Address, resolver: Resolver) -> socket.socket:
    """Connect to one address, checked here and now."""
    resolver.check(host, address)
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock
