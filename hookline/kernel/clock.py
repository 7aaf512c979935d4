"""Time, passed in: wall time for what is stored, monotonic time for deadlines."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def now(self) -> datetime:
        """Return the aware UTC wall time."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""


class QuickClock(Clock, Protocol):
    """One that tells the wall time as a number too, for hot paths: to make a `datetime` and a number of it takes ten times as long."""

    def time(self) -> float:
        """Return the wall time in seconds since the epoch."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the aware UTC wall time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def time(self) -> float:
        """Return `time.time()`."""
        return time.time()


def to_us(at: datetime) -> int:
    """Return whole microseconds since the epoch of an aware time."""
    delta = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(us: int) -> datetime:
    """Return the aware UTC time of microseconds since the epoch."""
    seconds, rest = divmod(us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def rfc3339(at: datetime) -> str:
    """Return an aware time as `2026-11-23T14:02:00.123456Z`."""
    # Six tenths of `strftime`'s time, which counts: it is called for every time in every event that is sent.
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
