"""The brokers' wall time: due times and ages are by theirs, and this machine's clock may be wrong, or be set while we run."""

from __future__ import annotations

from typing import Final

from hookline.kernel.clock import QuickClock

_WINDOW_S: Final = 30.0
_TOLERANCE_S: Final = 2.0


class BrokerClock:
    """Tells the brokers' time from the stamps on what they acknowledge, and from the clock that nobody sets.

    An acknowledgement that takes its time makes the brokers look slow, never fast: the smallest difference of the last
    minute counts. Differences to our clock under 2 s count as none; until a broker was heard our clock is believed.
    Fed from the loop's thread, read from any.
    """

    def __init__(self, clock: QuickClock) -> None:
        self._clock = clock
        self._window_ends = 0.0
        self._before: float | None = None
        self._least: float | None = None
        self._behind_s: float | None = None

    def heard(self, timestamp_ms: int) -> None:
        """Learn from a record that a broker stamped a moment ago."""
        now = self._clock.monotonic()
        difference = now - timestamp_ms / 1_000
        if now >= self._window_ends:
            self._window_ends, self._before, self._least = now + _WINDOW_S, self._least, None
        if self._least is None or difference < self._least:
            self._least = difference
            self._behind_s = min(d for d in (self._before, self._least) if d is not None)

    @property
    def fast_s(self) -> float:
        """By how many seconds this machine's clock is ahead of the brokers' (negative: behind)."""
        ours = self._clock.time()
        return ours - self._theirs(ours)

    def now(self) -> float:
        """Return the brokers' time in seconds since the epoch."""
        return self._theirs(self._clock.time())

    def _theirs(self, ours: float) -> float:
        if self._behind_s is None:
            return ours
        theirs = self._clock.monotonic() - self._behind_s
        return theirs if abs(ours - theirs) > _TOLERANCE_S else ours
