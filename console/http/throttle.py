"""How often something may be done: a token bucket per name, for the names seen lately."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import Final

from hookline.console.http.problems import Code, Refused
from hookline.kernel.clock import Clock

_MINUTE_S: Final = 60.0
_NAMES: Final = 10_000


class Throttle:
    """Lets each name through so many times a minute; thread-safe."""

    def __init__(self, per_min: int, clock: Clock, what: str) -> None:
        self._per_min = per_min
        self._clock = clock
        self._what = what
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def per_min(self) -> int:
        """How often a minute."""
        return self._per_min

    def take(self, name: str, told: str = "") -> None:
        """Count one; raise `Refused` (429) with when to come back once there were too many. `told` replaces the usual words."""
        with self._lock:
            left = self._left(name)
        if left < 0:
            wait_s = math.ceil(-left * _MINUTE_S / self._per_min)
            message = told or f"More than {self._per_min} {self._what} in a minute"
            raise Refused(Code.RATE_LIMITED, message, headers={"Retry-After": str(wait_s)})

    def give_back(self, name: str) -> None:
        """Take one back that was counted and came to nothing."""
        with self._lock:
            left, at = self._buckets.get(name, (float(self._per_min), self._clock.monotonic()))
            self._buckets[name] = (min(float(self._per_min), left + 1), at)

    def _left(self, name: str) -> float:
        """Take one from a bucket and return what is left in it; below 0 what it lacked, and then nothing was taken."""
        now = self._clock.monotonic()
        left, at = self._buckets.pop(name, (float(self._per_min), now))
        left = min(float(self._per_min), left + (now - at) * self._per_min / _MINUTE_S)
        self._buckets[name] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > _NAMES:
            self._buckets.popitem(last=False)
        return left - 1
