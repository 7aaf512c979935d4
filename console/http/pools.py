"""Bounded pools of threads: what blocks runs here, never on the event loop, and never more of it than was agreed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any, Final, TypeVar

from hookline.console import metrics
from hookline.console.config import ConsoleConfig
from hookline.console.http.problems import Code, Refused

T = TypeVar("T")
_SIGNING_IN: Final = 32
_OF_ONE: Final = 4
"""How many places one address, or one session, has there at once."""


class Work(StrEnum):
    """Where a handler runs."""

    LOOP = "loop"
    """On the event loop: a coroutine, or a function that only looks into memory."""
    CHANGES = "changes"
    """In the one thread that writes webhooks and keys, one change after the other."""
    QUERIES = "queries"
    """In a thread that may ask ClickHouse or read from Kafka."""
    TRIALS = "trials"
    """In a thread that may wait for a receiver's answer."""
    PASSWORDS = "passwords"
    """In the one thread that checks the passwords of whoever signs in, which takes a core and 64 MiB for a moment."""
    CONFIRMS = "confirms"
    """In another such thread, which checks those of whoever is signed in: strangers cannot fill it."""


class Pool:
    """Some threads and a bounded queue before them, used on the event loop; whoever gives a name has at most `of_one` places at once."""

    def __init__(self, name: Work, threads: int, waiting: int, of_one: int | None = None) -> None:
        self._name = name
        self._most = threads + waiting
        self._of_one = of_one or self._most
        self._busy = 0
        self._names: Counter[str] = Counter()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=str(name))

    def check(self, by: str | None = None) -> None:
        """Raise what `run` would: `Refused` 429 when `by` has too many places, 503 when nobody has one."""
        if by is not None and self._names[by] >= self._of_one:
            message = f"{self._of_one} requests of yours of this kind are under way already"
            raise Refused(Code.RATE_LIMITED, message, remedy="Try again in a moment.", headers={"Retry-After": "1"})
        if self._busy >= self._most:
            raise Refused(Code.OVERLOADED, f"{self._most} requests of this kind are under way already")

    async def run(self, work: Callable[[], T], by: str | None = None) -> T:
        """Return what `work` returns in a thread; raise `Refused` at once when too much waits already, in all or of `by`.

        A caller who goes away does not stop the work: half a change is worse than one that nobody waits for.
        """
        self.check(by)
        self._count(by, 1)
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(lambda done: self._done(done, by))
        return await asyncio.shield(future)

    def close(self) -> None:
        """Wait for the work under way, drop what waits."""
        self._executor.shutdown(cancel_futures=True)

    def _done(self, future: asyncio.Future[Any], by: str | None) -> None:
        if not future.cancelled():
            future.exception()  # looked at, in case that nobody waits any more
        self._count(by, -1)

    def _count(self, by: str | None, places: int) -> None:
        self._busy += places
        metrics.BUSY.labels(self._name).set(self._busy)
        if by is not None:
            self._names[by] += places
            if not self._names[by]:
                del self._names[by]


class Pools:
    """The pools by kind of work."""

    def __init__(self, config: ConsoleConfig) -> None:
        self._pools = {
            Work.CHANGES: Pool(Work.CHANGES, 1, config.waiting),
            Work.QUERIES: Pool(Work.QUERIES, config.query_threads, config.waiting),
            Work.TRIALS: Pool(Work.TRIALS, config.trial_threads, config.trial_threads * 4),
            Work.PASSWORDS: Pool(Work.PASSWORDS, 1, _SIGNING_IN, _OF_ONE),
            Work.CONFIRMS: Pool(Work.CONFIRMS, 1, _SIGNING_IN, _OF_ONE),
        }

    def __getitem__(self, kind: Work) -> Pool:
        return self._pools[kind]

    def close(self) -> None:
        """Wait for the work under way in all of them."""
        for pool in self._pools.values():
            pool.close()
