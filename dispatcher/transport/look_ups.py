"""Names looked up in threads, so that a name server that hangs delays its own names and nobody else's.

A name is looked up once at a time, whoever asks for it meanwhile waits for the same answer: a hanging name holds one thread, however many
webhooks call it. Names that were slow to answer have threads of their own from then on, few of them; with an answer in good time they are
back among the others. The names of one domain take only some of the threads of either kind, and beyond that wait for each other: so a store
holds up others by names that hang only if they are of many domains.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

_QUICK_THREADS: Final = 64
_SLOW_THREADS: Final = 8
_QUICK_OF_ONE: Final = 8
_SLOW_OF_ONE: Final = 2
"""Threads for the names of one domain."""
_SLOW_S: Final = 1.0
_MOST_SLOW: Final = 10_000


class LookUps(Generic[T]):
    """Asks by key, from one event loop; what `ask` raises comes out of `find`. Close it at the end."""

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="dns")
        self._slow = ThreadPoolExecutor(_SLOW_THREADS, thread_name_prefix="dns-slow")
        self._under_way: dict[Hashable, asyncio.Task[T]] = {}
        self._slow_ones: dict[Hashable, None] = {}
        self._turns: WeakValueDictionary[tuple[Hashable, bool], asyncio.Semaphore] = WeakValueDictionary()

    async def find(self, key: Hashable, ask: Callable[[], T], domain: Hashable = None) -> T:
        """Return what `ask` does, in a thread; a caller that gives up leaves it to the others, and to the next one.

        `domain`: whose threads it takes, see `domain_of`; None: none but its own.
        """
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._in_turn(key, ask, key if domain is None else domain))
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def close(self) -> None:
        """End the threads; whoever still waits is called off."""
        for pool in (self._quick, self._slow):
            pool.shutdown(wait=False, cancel_futures=True)
        for task in self._under_way.values():
            task.cancel()

    async def _in_turn(self, key: Hashable, ask: Callable[[], T], domain: Hashable) -> T:
        slow = key in self._slow_ones
        pool, most = (self._slow, _SLOW_OF_ONE) if slow else (self._quick, _QUICK_OF_ONE)
        turn = self._turns.setdefault((domain, slow), asyncio.Semaphore(most))  # gone with the last that holds it
        async with turn:
            return await asyncio.get_running_loop().run_in_executor(pool, self._timed, key, ask)

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

    def _ended(self, key: Hashable, done: asyncio.Task[T]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # whoever waited has it; if nobody does any more, that is no error


def domain_of(host: str) -> str:
    """Return whose name it is: its last two labels, as far as anybody can tell without a list of all registries."""
    return ".".join(host.rstrip(".").lower().split(".")[-2:])
