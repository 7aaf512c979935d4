"""Names looked up in threads, so that a name server that hangs delays its own names and nobody else's.

A name is looked up once at a time, whoever asks for it meanwhile waits for the same answer: a hanging name holds one thread, however many
webhooks call it. Names that were slow to answer have threads of their own from then on, few of them; with an answer in good time they are
back among the others. So a store holds up others by names that hang only if it has more new ones at once than there are quick threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_QUICK_THREADS: Final = 64
_SLOW_THREADS: Final = 8
_SLOW_S: Final = 1.0
_MOST_SLOW: Final = 10_000


class LookUps(Generic[T]):
    """Asks by key, from one event loop; what `ask` raises comes out of `find`. Close it at the end."""

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="dns")
        self._slow = ThreadPoolExecutor(_SLOW_THREADS, thread_name_prefix="dns-slow")
        self._under_way: dict[Hashable, asyncio.Future[T]] = {}
        self._slow_ones: dict[Hashable, None] = {}

    async def find(self, key: Hashable, ask: Callable[[], T]) -> T:
        """Return what `ask` does, in a thread; a caller that gives up leaves it to the others, and to the next one."""
        future = self._under_way.get(key)
        if future is None:
            pool = self._slow if key in self._slow_ones else self._quick
            future = asyncio.get_running_loop().run_in_executor(pool, self._timed, key, ask)
            self._under_way[key] = future
            future.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(future)

    def close(self) -> None:
        """End the threads."""
        for pool in (self._quick, self._slow):
            pool.shutdown(wait=False, cancel_futures=True)

    def _timed(self, key: Hashable, ask: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return ask()
        finally:  # in the thread, without the wait for one: that is not the name's fault
            if time.monotonic() - began <= _SLOW_S:
                self._slow_ones.pop(key, None)
            else:
                if len(self._slow_ones) >= _MOST_SLOW:
                    self._slow_ones.clear()
                self._slow_ones[key] = None

    def _ended(self, key: Hashable, done: asyncio.Future[T]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # whoever waited has it; if nobody does any more, that is no error
