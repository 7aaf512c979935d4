"""Bounded pools of threads: what blocks runs here, never on the event loop, and never more of it than was agreed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any, Final, TypeVar

from hookline.console import metrics
from hookline.console.config import ConsoleConfig
from hookline.console.http.problems import Code, Refused

T = TypeVar("T")
_SIGNING_IN: Final = 32


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
    """In the one thread that checks passwords, which takes a core and 64 MiB for a moment."""


class Pool:
    """Some threads and a bounded queue before them; `run` is called on the event loop."""

    def __init__(self, name: Work, threads: int, waiting: int) -> None:
        self._name = name
        self._most = threads + waiting
        self._busy = 0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=str(name))

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in a thread; raise `Refused` (503) at once when too much waits already.

        A caller who goes away does not stop the work: half a change is worse than one that nobody waits for.
        """
        if self._busy >= self._most:
            raise Refused(Code.OVERLOADED, f"{self._most} requests of this kind are under way already")
        self._busy += 1
        metrics.BUSY.labels(self._name).set(self._busy)
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Wait for the work under way, drop what waits."""
        self._executor.shutdown(cancel_futures=True)

    def _done(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled():
            future.exception()  # looked at, in case that nobody waits any more
        self._busy -= 1
        metrics.BUSY.labels(self._name).set(self._busy)


class Pools:
    """The pools by kind of work."""

    def __init__(self, config: ConsoleConfig) -> None:
        self._pools = {
            Work.CHANGES: Pool(Work.CHANGES, 1, config.waiting),
            Work.QUERIES: Pool(Work.QUERIES, config.query_threads, config.waiting),
            Work.TRIALS: Pool(Work.TRIALS, config.trial_threads, config.trial_threads * 4),
            Work.PASSWORDS: Pool(Work.PASSWORDS, 1, _SIGNING_IN),
        }

    def __getitem__(self, kind: Work) -> Pool:
        return self._pools[kind]

    def close(self) -> None:
        """Wait for the work under way in all of them."""
        for pool in self._pools.values():
            pool.close()
