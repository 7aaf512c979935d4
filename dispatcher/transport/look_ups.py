"""Names looked up in threads, so that a name server that hangs delays its own names and nobody else's.

A name is looked up once at a time, whoever asks for it meanwhile waits for the same answer: a hanging name holds one thread, however many
webhooks call it. Names that were answered in good time have threads of their own, so have those that were slow, and those that are new:
only names that are alike in that can be in each other's way. The names of one domain take only some of the threads of each kind, the more
domains hang the fewer (see `turns`), and what is below one name of a domain takes half of the domain's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Generic, TypeVar

from hookline.dispatcher.transport.turns import Path, Turns
from hookline.kernel.recent import Recent

T = TypeVar("T")

_QUICK_THREADS: Final = 64
"""For new names, and as many for those that were answered in good time."""
_SLOW_THREADS: Final = 8
_QUICK_OF_ONE: Final = 8
_SLOW_OF_ONE: Final = 2
"""Threads for the names of one domain that is alone in hanging."""
_SLOW_S: Final = 1.0
_MOST_SLOW: Final = 10_000
_MOST_GOOD: Final = 40_000

_SOLD_BELOW: Final = (
    "ac ad art asn asso biz co com coop ed edu firm gen go gob gop gouv gov govt gr gub gv id in ind inf info int ltd me med mi mil muni "
    "name ne net nhs nic nom or org plc police pro pub re sch school store tm tv web"
)
_REGISTRIES: Final = frozenset(_SOLD_BELOW.split())
"""What stands before a country's two letters where the names below it are sold one by one."""


class LookUps(Generic[T]):
    """Asks by key, from one event loop; what `ask` raises comes out of `find`. Close it at the end."""

    def __init__(self) -> None:
        self._new = _Threads("dns-new", _QUICK_THREADS, _QUICK_OF_ONE)
        self._good = _Threads("dns", _QUICK_THREADS, _QUICK_OF_ONE)
        self._slow = _Threads("dns-slow", _SLOW_THREADS, _SLOW_OF_ONE)
        self._under_way: dict[Hashable, asyncio.Task[T]] = {}
        self._slow_ones: Recent[Hashable, bool] = Recent(_MOST_SLOW)
        self._good_ones: Recent[Hashable, bool] = Recent(_MOST_GOOD)

    @property
    def domains(self) -> int:
        """How many domains have threads now, or wait for them; those with threads of two kinds count twice."""
        return sum(threads.turns.groups for threads in (self._new, self._good, self._slow))

    async def find(self, key: Hashable, ask: Callable[[], T], host: str | None = None) -> T:
        """Return what `ask` does, in a thread; a caller that gives up leaves it to the others, and to the next one.

        `host`: whose domain's threads it takes; None: those of no other.
        """
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._in_turn(key, ask, host))
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def close(self) -> None:
        """End the threads; whoever still waits is called off."""
        for threads in (self._new, self._good, self._slow):
            threads.pool.shutdown(wait=False, cancel_futures=True)
        for task in self._under_way.values():
            task.cancel()

    async def _in_turn(self, key: Hashable, ask: Callable[[], T], host: str | None) -> T:
        threads, took = self._threads(key), list[float]()
        async with threads.turns.turn(threads.path([key] if host is None else groups_of(host))):
            try:
                return await asyncio.get_running_loop().run_in_executor(threads.pool, partial(_timed, ask, took))
            finally:
                for seconds in took:
                    self._note(key, seconds)

    def _threads(self, key: Hashable) -> _Threads:
        if self._slow_ones.get(key):
            return self._slow
        return self._good if self._good_ones.get(key) else self._new

    def _note(self, key: Hashable, took_s: float) -> None:
        now, before = (self._good_ones, self._slow_ones) if took_s <= _SLOW_S else (self._slow_ones, self._good_ones)
        before.forget(key)
        now.put(key, True)

    def _ended(self, key: Hashable, done: asyncio.Task[T]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # whoever waited has it; if nobody does any more, that is no error


class _Threads:
    """Those for one kind of names, and who may take how many of them."""

    def __init__(self, name: str, most: int, of_one: int) -> None:
        self.pool = ThreadPoolExecutor(most, thread_name_prefix=name)
        self.turns = Turns(most)
        self._shares = (most // 2, of_one, max(1, of_one // 2))

    def path(self, groups: list[Hashable]) -> Path:
        """Return groups with their shares: a registry, if there is one, a domain, and what is below it, if that is told apart."""
        shares = self._shares if len(groups) == len(self._shares) else self._shares[1:]
        return list(zip(groups, shares, strict=False))


def _timed(ask: Callable[[], T], took: list[float]) -> T:
    """Note how long it took in the thread, without the wait for one: that is not the name's fault."""
    began = time.monotonic()
    try:
        return ask()
    finally:
        took.append(time.monotonic() - began)


def groups_of(host: str) -> list[Hashable]:
    """Return the registry (`co.uk`) where there seems to be one, the domain, and the name right below it that a host is or is below.

    Nobody can tell for sure without a list of all registries, which would have to be kept up to date. So what seems to be a registry
    has a share too, a large one: else the owner of a domain such as `sch.io` could have as many domains as he likes.
    """
    labels = host.rstrip(".").lower().split(".")
    registry = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _REGISTRIES  # noqa: PLR2004  # as countries have
    ends = (2, 3, 4) if registry else (2, 3)
    return [".".join(labels[-end:]) for end in ends]
