"""Who may come in: the API key of a request, and how often an address may be wrong about it."""

from __future__ import annotations

import math
from collections import OrderedDict
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final, Protocol

from aiohttp import hdrs, web

from hookline.kernel.clock import Clock
from hookline.kernel.errors import Unauthorized
from hookline.producers.api_keys import ApiKey
from hookline.producers.ingest.errors import refused

SCOPE: Final = "events:write"
_MINUTE_S: Final = 60.0
_ADDRESSES: Final = 10_000
_NETWORK_BITS: Final = 64


class Keys(Protocol):
    """Who knows the API keys: `ApiKeys`."""

    def verify(self, key: str) -> ApiKey:
        """Return what a key may do; raise `Unauthorized`."""


class Door:
    """Admits requests by their API key; used from the event loop.

    A right key passes whatever its address did before: behind a proxy all stores come from one address, and nobody
    may lock the others out. 256 random bits need no lock against guessing; the limit keeps the noise of wrong keys low.
    """

    def __init__(self, keys: Keys, failures_per_min: int, clock: Clock) -> None:
        self._keys = keys
        self._failures = Failures(failures_per_min, clock)

    def admit(self, request: web.BaseRequest) -> ApiKey:
        """Return the key of a request; raise `Unauthorized`, or `Refused` for its scope or after too many failures."""
        scheme, _, text = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        try:
            key = self._keys.verify(text.strip() if scheme.lower() == "bearer" else "")
        except Unauthorized:
            self._failures.count(request.remote or "")
            raise
        if not key.allows(SCOPE):
            raise refused("missing_scope", f"The API key may not publish: it lacks the scope {SCOPE}", remedy="Use a key that has it.")
        return key


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
