"""Attempts that hang on real clocks: what fails while this process stood still counts for nothing and is made again."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import pytest

_TICK_S: Final = 0.01
# A scheduler with too much to do leaves gaps of some ten milliseconds; what is longer was no fault of the code that is tested.
_MOST_S: Final = 0.1
_FAILURES: Final = (AssertionError, TimeoutError, pytest.fail.Exception)


class Gaps:
    """Notes for how long the whole process was not let run, by a thread of its own that looks at the clock.

    So a loop that waits or computes is no gap; a call into C that keeps the interpreter for long is one.
    """

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gaps", daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(_TICK_S):
            now = time.monotonic()
            self._longest_s, last = max(self._longest_s, now - last), now
        self._longest_s = max(self._longest_s, time.monotonic() - last)

    def disturbed(self) -> bool:
        """Tell whether the process stood still; asked after the watch has ended."""
        return self._longest_s > _MOST_S


def calmly(attempt: Callable[[], None], tries: int = 5) -> None:
    """Make an attempt; raise its failure at once if the process ran all the time, else make it again, so many times at most."""
    for left in reversed(range(tries)):
        gaps = Gaps()
        try:
            with gaps:
                attempt()
        except _FAILURES:
            if not (left and gaps.disturbed()):
                raise
        else:
            return


async def calmly_async(attempt: Callable[[], Awaitable[None]], tries: int = 5) -> None:
    """Do the same with a coroutine."""
    for left in reversed(range(tries)):
        gaps = Gaps()
        try:
            with gaps:
                await attempt()
        except _FAILURES:
            if not (left and gaps.disturbed()):
                raise
        else:
            return
