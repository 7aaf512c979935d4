"""Reading a log backwards in stretches of time, so that its end is found without sorting all of it. Pure: somebody else asks ClickHouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hookline.analytics.warehouse import Rows

_HOUR_US: Final = 3_600_000_000
_GROWTH: Final = 24
"""Hour, day, month: so much longer is a stretch than the one before, at most."""
_SPARE: Final = 1.25
"""So much more is read than the rows so far make likely to be enough: a second question costs more than some rows that nobody needs."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many rows lie between two times; the times mean nothing without rows."""

    rows: int
    oldest_us: int
    newest_us: int


class Stretches:
    """Yields rows of a time order, newest first; a stretch is as long as the rows found so far let expect. For one thread.

    `ask(since_us, until_us, most)` returns the newest rows between two times, both included, newest first, with `attempted_at_us`.
    `bounds(since_us, until_us)` tells where there are any; it is asked once, behind the first stretch without a row. Nothing older than
    `since_us` is looked at.
    """

    def __init__(self, ask: Callable[[int, int, int], Rows], since_us: int, bounds: Callable[[int, int], Bounds] | None = None) -> None:
        self._ask = ask
        self._bounds = bounds
        self._since_us = since_us
        self._span_us = _HOUR_US
        self._found = 0
        self._covered_us = 0

    def rows(self, until_us: int, most: int) -> Rows:
        """Return the newest rows up to a time, fewer than `most` only when there are no more."""
        found: Rows = []
        while until_us >= self._since_us:
            first_us = self._first(until_us, most - len(found))
            rows = self._ask(first_us, until_us, most - len(found))
            found += rows
            self._learn(until_us - (first_us if len(found) < most else rows[-1]["attempted_at_us"]), len(rows))
            if len(found) == most:
                break
            until_us = first_us - 1
            if not rows and self._bounds is not None and until_us >= self._since_us:
                until_us = self._narrowed(self._bounds(self._since_us, until_us))
                self._bounds = None
        return found

    def _narrowed(self, bounds: Bounds) -> int:
        """Look at nothing outside of the bounds from now on; return where to go on."""
        if not bounds.rows:
            return self._since_us - 1
        self._since_us = bounds.oldest_us
        self._covered_us, self._found = bounds.newest_us - bounds.oldest_us + 1, bounds.rows
        return bounds.newest_us

    def _first(self, until_us: int, needed: int) -> int:
        """Return where the next stretch begins."""
        if self._covered_us:
            likely_us = int(_SPARE * needed * self._covered_us / self._found) if self._found else _GROWTH * self._span_us
            self._span_us = max(_HOUR_US, min(likely_us, _GROWTH * self._span_us))
        left_us = until_us - self._since_us
        return self._since_us if left_us < 2 * self._span_us else until_us - self._span_us

    def _learn(self, covered_us: int, found: int) -> None:
        if not found:  # what lies on this side of a gap tells nothing of what lies beyond it: the log may have begun there
            self._covered_us = self._found = 0
        self._covered_us += max(covered_us, 1)
        self._found += found
