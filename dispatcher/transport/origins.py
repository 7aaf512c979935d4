"""Where a request goes: a URL taken apart once, the addresses of its host, and who may be called."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import Final

from yarl import URL

from hookline.dispatcher.transport.contract import Unsendable
from hookline.dispatcher.transport.look_ups import LookUps
from hookline.webhooks.urls import UrlPolicy, closed, refusal

_DNS_TTL_S: Final = 10.0
_MOST_NAMES: Final = 10_000
MOST_URLS: Final = 40_000
"""Those used lately that are kept parsed, half of them at least, at 0.25 KiB and more each; to parse one takes some 15 µs."""
_NO_URL: Final = "its URL is not an absolute http(s) URL in ASCII"


# Our own machine's limits: no fault of the receiver.
OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


class Blocked(OSError):
    """A place that must not be called."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL as a connection needs it: whom to connect to, and the first lines of every request to it."""

    tls: bool
    host: str
    port: int
    head: bytes

    @property
    def origin(self) -> tuple[bool, str, int]:
        """What two URLs must share to share a connection."""
        return self.tls, self.host, self.port


def target_of(url: str) -> Target:
    """Return the target of a URL in the form that `check_url` gave; raise `Unsendable` for any other, without its words."""
    try:
        return _target(URL(url, encoded=True))
    except ValueError:
        raise Unsendable(_NO_URL) from None


def allowed_target(url: str, policy: UrlPolicy) -> Target:
    """Return the target of a URL that may be called; raise `Blocked` when the operator lets nobody call it, `Unsendable` as above.

    The policy is asked here again: it may have changed since the webhook was saved. So ask once for each URL and policy.
    """
    target = target_of(url)
    why = closed("https" if target.tls else "http", target.host, target.port, policy)
    if why:
        raise Blocked(f"{target.host} must not be called ({why})")
    return target


def _target(parts: URL) -> Target:
    if parts.scheme not in {"http", "https"} or not parts.raw_host or parts.port is None:
        raise Unsendable(_NO_URL)
    tls = parts.scheme == "https"
    named = f"[{parts.raw_host}]" if ":" in parts.raw_host else parts.raw_host
    authority = named if parts.is_default_port() else f"{named}:{parts.port}"
    head = f"POST {parts.raw_path_qs or '/'} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: "
    return Target(tls, parts.raw_host, parts.port, head.encode("ascii"))


@dataclass(frozen=True, slots=True)
class Address:
    """One way to reach a host."""

    family: socket.AddressFamily
    sockaddr: tuple[str | int | bytes, ...]

    @property
    def ip(self) -> str:
        """The address alone."""
        return str(self.sockaddr[0])


class Resolver:
    """Looks names up by `LookUps`, and keeps answers 10 s.

    Every answer is checked: a name with one address that must not be called is not called at all.
    """

    def __init__(self, policy: UrlPolicy) -> None:
        self._policy = policy
        self._look_ups = LookUps[list[Address]]()
        self._own = LookUps[list[Address]]()
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a host, families in turn; raise `Blocked` or `socket.gaierror`."""
        found = await self._found(host, port, self._look_ups)
        for address in found:
            self.check(host, address)
        return found

    async def unchecked(self, host: str, port: int) -> list[Address]:
        """Return the same of a host that the operator has named, in threads that no other name takes; raise `socket.gaierror`."""
        return await self._found(host, port, self._own)

    async def _found(self, host: str, port: int, look_ups: LookUps[list[Address]]) -> list[Address]:
        known = self._known.get((host, port))
        if known is None or known[0] < time.monotonic():
            if is_literal(host):
                found = look_up(host, port)  # asks nobody
            else:
                found = await look_ups.find((host, port), lambda: look_up(host, port), host)
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            known = self._known[host, port] = (time.monotonic() + _DNS_TTL_S, _in_turn(found))
        return known[1]

    def check(self, host: str, address: Address) -> None:
        """Raise `Blocked` when an address must not be called; asked again at every connect."""
        why = refusal(address.ip, self._policy)
        if why:
            raise Blocked(f"{host} leads to {address.ip} ({why})" if host != address.ip else f"{host} must not be called ({why})")

    def close(self) -> None:
        """End the threads."""
        self._look_ups.close()
        self._own.close()


async def dial(address: Address) -> socket.socket:
    """Connect to one address; raise `OSError`. Whoever calls has checked it."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def is_literal(host: str) -> bool:
    """Tell whether a host is an address as it is, in its usual form."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def look_up(host: str, port: int) -> list[Address]:
    """Ask the system; blocks."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [Address(family, tuple(sockaddr)) for family, _type, _protocol, _name, sockaddr in answers]


def _in_turn(found: list[Address]) -> list[Address]:
    """Return the addresses with the two families in turn, the first one's first (RFC 8305, section 4)."""
    first = [address for address in found if address.family == found[0].family]
    second = [address for address in found if address.family != found[0].family]
    pairs = [address for pair in zip(first, second, strict=False) for address in pair]
    return pairs + first[len(second) :] + second[len(first) :]
