"""Who may come in: the API key of a request, and how often an address may be wrong about it."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections import OrderedDict
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final, Protocol

from hookline.kernel.clock import Clock
from hookline.kernel.errors import Unauthorized
from hookline.producers.api_keys import ApiKey
from hookline.producers.ingest.errors import refused
from hookline.producers.ingest.messages import Request

SCOPE: Final = "events:write"
_MINUTE_S: Final = 60.0
_ADDRESSES: Final = 10_000
_NETWORK_BITS: Final = 64


class Keys(Protocol):
    """Who knows the API keys: `ApiKeys`."""

    def verify(self, key: str) -> ApiKey:
        """Return what a key may do; raise `Unauthorized`."""

    def holds(self, key: ApiKey) -> bool:
        """Tell whether a key that was verified is still what it was, and note its use."""

    def may_be_new(self, key: str) -> bool:
        """Tell whether a key is well formed and not known here yet."""

    def catch_up(self) -> bool:
        """Learn of all keys that were made before this call; blocks."""


class CatchUp:
    """Learns of API keys that were made a moment ago; used from the event loop. However many wait, Kafka is asked by one at a time."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._running: asyncio.Future[bool] | None = None

    async def now(self) -> None:
        """Return once all keys that were made before this call are known, or Kafka has not answered in time."""
        before = self._running
        if before is not None and not before.done():
            await asyncio.shield(before)  # it may have asked before the key was made
        if self._running is before:
            self._running = asyncio.ensure_future(asyncio.to_thread(self._keys.catch_up))
        if self._running is not None:
            await asyncio.shield(self._running)


class NotKnownYet(Exception):
    """The key may have been made a moment ago: catch up, and ask again."""


class Door:
    """Admits requests by their API key; used from the event loop.

    A right key passes whatever its address did before: behind a proxy all stores come from one address, and nobody
    may lock the others out. 256 random bits need no lock against guessing; the limit keeps the noise of wrong keys low.
    """

    def __init__(self, keys: Keys, failures_per_min: int, clock: Clock) -> None:
        self._keys = keys
        self._failures = Failures(failures_per_min, clock)
        self._catch_up = CatchUp(keys)

    def admit(self, request: Request, *, caught_up: bool = False) -> ApiKey:
        """Return the key of a request; raise `Unauthorized`, or `Refused` for its scope or after too many failures.

        A key that is not known raises `NotKnownYet` as long as nobody has `caught_up`.
        """
        peer, header = request.peer, request.headers.get("authorization", "")
        sent = header.encode("utf-8", "replace")
        if peer.key is not None and hmac.compare_digest(sent, peer.authorization) and self._keys.holds(peer.key):
            return peer.key
        key = self._verified(header, peer.address, caught_up)
        if not key.allows(SCOPE):
            raise refused("missing_scope", f"The API key may not publish: it lacks the scope {SCOPE}", remedy="Use a key that has it.")
        peer.authorization, peer.key = sent, key
        return key

    async def catch_up(self) -> None:
        """Learn of new keys."""
        await self._catch_up.now()

    def _verified(self, header: str, address: str, caught_up: bool) -> ApiKey:
        scheme, _, text = header.partition(" ")
        key = text.strip() if scheme.lower() == "bearer" else ""
        try:
            return self._keys.verify(key)
        except Unauthorized:
            if not caught_up and self._keys.may_be_new(key):
                raise NotKnownYet from None
            self._failures.count(address)
            raise


class Failures:
    """A token bucket per address, for the addresses that failed lately; an IPv6 address stands for its /64."""

    def __init__(self, per_min: int, clock: Clock) -> None:
        self._per_min = per_min
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, address: str) -> None:
        """Count a failure; raise `Refused` with when to come back once there were too many."""
        now, source = self._clock.monotonic(), network_of(address)
        left, at = self._buckets.pop(source, (float(self._per_min), now))
        left = min(float(self._per_min), left + (now - at) * self._per_min / _MINUTE_S)
        enough = left >= 1
        self._buckets[source] = (left - 1 if enough else left, now)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        if not enough:
            wait_s = math.ceil((1 - left) * _MINUTE_S / self._per_min)
            raise refused(
                "too_many_failures", "Too many requests of this address had no valid API key", remedy="Wait.", retry_after_s=wait_s
            )


def network_of(address: str) -> str:
    """Return whom an address stands for: itself, or its /64; one that cannot be read stands for all such."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((int(found), _NETWORK_BITS), strict=False))
