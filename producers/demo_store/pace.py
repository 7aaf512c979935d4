"""The pace: when the next event is due, by the monotonic clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

BURST_S: Final = 1.0


class Pace:
    """An open-loop schedule: what is late is caught up at once, but never more than `burst_s` seconds' worth.

    After a longer stall (a broker away, a machine that slept) the schedule moves on instead of flooding what has just
    come back; `moved_s` says by how much in all. The clock starts at the first question.
    """

    def __init__(self, monotonic: Callable[[], float], burst_s: float = BURST_S) -> None:
        self._monotonic = monotonic
        self._burst_s = burst_s
        self._began: float | None = None
        self.moved_s = 0.0

    def wait_s(self, offset_s: float) -> float:
        """Return the seconds until what is due `offset_s` after the start is due; 0 or less: now."""
        left = offset_s + self.moved_s - self.elapsed_s()
        if left < -self._burst_s:
            self.moved_s -= left + self._burst_s
            return -self._burst_s
        return left

    def elapsed_s(self) -> float:
        """Return the seconds since the start."""
        now = self._monotonic()
        if self._began is None:
            self._began = now
        return now - self._began
