"""The brokers' wall time: due times are theirs, and this machine's clock may be wrong."""

from __future__ import annotations

from typing import Final

from hookline.kernel.clock import Clock

_WINDOW_S: Final = 30.0
_TOLERANCE_S: Final = 2.0


class BrokerClock:
    """Tells the brokers' time from the stamps on what they acknowledge.

    An acknowledgement that takes its time makes our clock look fast, never slow: the smallest difference of the last
    minute counts. Differences under 2 s count as none. Fed from the loop's thread, read from any.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window_ends = 0.0
        self._before: float | None = None
        self._least: float | None = None
        self._fast_s = 0.0

    def heard(self, timestamp_ms: int) -> None:
        """Learn from a record that a broker stamped a moment ago."""
        difference = self._clock.now().timestamp() - timestamp_ms / 1_000
        now = self._clock.monotonic()
        if now >= self._window_ends:
            self._window_ends, self._before, self._least = now + _WINDOW_S, self._least, None
        if self._least is None or difference < self._least:
            self._least = difference
            known = [d for d in (self._before, self._least) if d is not None]
            self._fast_s = min(known) if abs(min(known)) > _TOLERANCE_S else 0.0

    @property
    def fast_s(self) -> float:
        """By how many seconds this machine's clock is ahead of the brokers' (negative: behind)."""
        return self._fast_s

    def now(self) -> float:
        """Return the brokers' time in seconds since the epoch."""
        return self._clock.now().timestamp() - self._fast_s
