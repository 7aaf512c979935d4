"""From a target to a connection: look up, check, connect to the addresses in a staggered race, shake hands for TLS."""

from __future__ import annotations

import asyncio
import socket

from hookline.dispatcher.transport.connection import Connection
from hookline.dispatcher.transport.origins import Address, Resolver, Target, dial
from hookline.dispatcher.transport.phases import Keeper, Phase, Steps
from hookline.dispatcher.transport.proxy import Proxy, Tunnelled, quiet, tunnel
from hookline.dispatcher.transport.racing import race
from hookline.dispatcher.transport.tls import TlsConnection, TlsSessions


async def connect(target: Target, resolver: Resolver, sessions: TlsSessions, steps: Steps, proxy: Proxy | None = None) -> Connection:
    """Return a connection that is ready for a request; raise `Blocked`, `gaierror`, `ssl.SSLError`, `OSError`, `Unsendable`.

    `steps` tells meanwhile how far it is. None as `proxy`: the receiver is called directly.
    """
    steps.phase = Phase.LOOK_UP
    addresses = await resolver.addresses(target.host, target.port)
    steps.phase = Phase.CONNECT if proxy is None else Keeper.PROXY
    sock = await race(addresses, lambda address: _dial(target.host, address, resolver, steps, proxy))
    loop = asyncio.get_running_loop()
    if not target.tls:
        plain = Connection(target.origin) if proxy is None else Tunnelled(target.origin)
        return await _attach(plain, sock, proxy)
    steps.phase = Phase.HANDSHAKE
    shaken: asyncio.Future[None] = loop.create_future()

    def ready(error: Exception | None) -> None:
        if not shaken.done():
            shaken.set_result(None) if error is None else shaken.set_exception(error)

    secure = await _attach(TlsConnection(target.origin, target.host, sessions, ready), sock, proxy)
    try:
        await shaken
    except BaseException:
        secure.close()
        raise
    return secure


async def _attach(connection: Connection, sock: socket.socket, proxy: Proxy | None) -> Connection:
    try:
        if proxy is not None:
            quiet(sock)
        connection.watch(sock)
        await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
    except BaseException:
        sock.close()
        raise
    return connection


async def _dial(host: str, address: Address, resolver: Resolver, steps: Steps, proxy: Proxy | None) -> socket.socket:
    """Connect to one address, checked here and now."""
    resolver.check(host, address)
    return await (dial(address) if proxy is None else tunnel(proxy, host, address, resolver, steps))
