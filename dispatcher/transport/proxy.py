"""Calls that leave by an HTTP proxy: a tunnel (CONNECT, RFC 9110 section 9.3.6) to an address that was looked up and checked here.

The proxy is told no name, so that the guard holds with it as without; TLS is the receiver's from end to end.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, NoReturn

from yarl import URL

from hookline.dispatcher.transport.connection import Connection, Listener
from hookline.dispatcher.transport.contract import Unsendable
from hookline.dispatcher.transport.origins import OURS, Address, Blocked, Resolver, dial
from hookline.dispatcher.transport.phases import Phase, Steps
from hookline.dispatcher.transport.racing import race

_MOST: Final = 8 * 1024
_END: Final = b"\r\n\r\n"
_INTERIM: Final = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d[ \r]")
"""How an answer begins that another one follows; after 101 there is no HTTP."""
# With these it says that the receiver cannot be reached; every other one may be its own state, which is the same for all receivers.
_NOT_REACHED: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n")
_HOST: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_TOO_SOON: Final = "bytes followed its answer, before the receiver was asked for any"
_FORM: Final = "must be http://host:port or http://user:password@host:port"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is, and the line that shows it our credentials, empty for none."""

    host: str
    port: int
    credentials: bytes = field(default=b"", repr=False)

    def connect_to(self, address: Address) -> bytes:
        """Return the request for a tunnel."""
        ip = f"[{address.ip}]" if address.family is socket.AF_INET6 else address.ip
        authority = f"{ip}:{address.sockaddr[1]!s}".encode()
        return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (authority, authority, self.credentials)


def proxy_of(text: str) -> Proxy | None:
    """Parse `http://[user:password@]host:port`, nothing: None; raise `ValueError`, which repeats none of it."""
    if not text:
        return None
    try:
        url = URL(text)
    except ValueError:
        raise ValueError(_FORM) from None
    host, port, user = url.raw_host or "", url.explicit_port, url.user or ""
    if url.scheme != "http" or not _HOST.fullmatch(host) or not port or url.path_qs not in {"", "/"} or url.raw_fragment:
        raise ValueError(_FORM)
    if ":" in user or (url.password and not user):
        raise ValueError(_FORM)
    if not user:
        return Proxy(host, port)
    pair = base64.b64encode(f"{user}:{url.password or ''}".encode())
    return Proxy(host, port, b"Proxy-Authorization: Basic %b\r\n" % pair)


async def tunnel(proxy: Proxy, host: str, address: Address, resolver: Resolver, steps: Steps) -> socket.socket:
    """Return a socket that leads to an address of a host.

    Raise `Unsendable` where the proxy itself fails, `Blocked` where it lets nobody through to there, `OSError` where the receiver
    cannot be reached.
    """
    try:
        sock = await _reach(proxy, resolver)
    except OSError as error:
        _fail("no connection to it", error)
    try:
        status = await _ask(sock, proxy.connect_to(address), steps)
        _judge(status, host, address)
    except BaseException:
        sock.close()
        raise
    return sock


def quiet(sock: socket.socket) -> None:
    """Raise `Unsendable` where a fresh tunnel holds bytes already: nobody has been asked for any yet. A closed one is as the receiver's."""
    try:
        spoken = sock.recv(1, socket.MSG_PEEK)
    except OSError:  # nothing to read, or an end that the loop tells of
        return
    if spoken:
        raise _unsendable(_TOO_SOON)


class Tunnelled(Connection):
    """A tunnel for plain HTTP: what comes before the first request is the proxy's, and no answer. After it, nobody can tell."""

    __slots__ = ("_sock",)

    def watch(self, sock: socket.socket) -> None:
        """Note whose bytes these are."""
        super().watch(sock)
        self._sock = sock

    def request(self, parts: tuple[bytes, ...], listener: Listener) -> None:
        """Write a request; the first one only into a tunnel that has been quiet."""
        if not self.used and self._loss is None:
            try:
                quiet(self._sock)
            except Unsendable as error:
                self._loss = error
        super().request(parts, listener)

    def _received(self, data: bytes) -> None:
        if self.idle and not self.used:
            self._loss = self._loss or _unsendable(_TOO_SOON)
        super()._received(data)


async def _reach(proxy: Proxy, resolver: Resolver) -> socket.socket:
    """Connect to the first of the proxy's addresses that answers; they are the operator's own, and not checked."""
    return await race(await resolver.unchecked(proxy.host, proxy.port), dial)


async def _ask(sock: socket.socket, request: bytes, steps: Steps) -> int:
    """Return the status of the answer to CONNECT, read to the end of its head and no further; interim ones before it count for nothing."""
    loop, head, taken = asyncio.get_running_loop(), b"", 0
    try:
        await loop.sock_sendall(sock, request)
        steps.phase = Phase.CONNECT
        while _END not in head and taken <= _MOST and (part := await loop.sock_recv(sock, _MOST)):
            taken += len(part)
            head = _final(head + part)
    except OSError as error:
        _fail("it broke the connection off", error)
    found = _STATUS_LINE.match(head)
    if found is None or _END not in head:
        raise _unsendable("it gave no HTTP answer to CONNECT")
    status = int(found[1])
    if _opened(status) and head.index(_END) + len(_END) != len(head):
        raise _unsendable(_TOO_SOON)
    return status


def _final(head: bytes) -> bytes:
    """Return what is left without the interim answers that are whole."""
    while _END in head and _INTERIM.match(head):
        head = head[head.index(_END) + len(_END) :]
    return head


def _judge(status: int, host: str, address: Address) -> None:
    if _opened(status):
        return
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise _unsendable("it wants other credentials (407)")
    if status == HTTPStatus.FORBIDDEN:
        raise Blocked(f"{host} must not be called (the proxy lets nobody through to {address.ip}: 403)")
    if status in _NOT_REACHED:
        raise OSError(f"the proxy did not reach {address.ip} ({status})")
    raise _unsendable(f"it answered {status} to CONNECT")


def _opened(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _fail(what: str, error: OSError) -> NoReturn:
    """Raise what the proxy has done; but an error of our own machine as it is: the sender knows what to do about it."""
    if error.errno in OURS:
        raise error
    raise _unsendable(f"{what}: {_words(error)}") from error


def _words(error: OSError) -> str:
    """Return why, without the proxy's address, which asyncio names."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or type(error).__name__
    return os.strerror(error.errno)


def _unsendable(why: str) -> Unsendable:
    return Unsendable(f"the proxy of HOOKLINE_PROXY: {why}")
