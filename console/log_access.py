"""The way to the log: named queries for any thread, over a few sessions of ClickHouse that are opened when they are first needed."""

from __future__ import annotations

import queue
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from hookline.analytics.queries import Queries
from hookline.analytics.warehouse import Parameters, Rows
from hookline.kernel.errors import WarehouseError, WarehouseUnavailable

Open: TypeAlias = Callable[[], Queries]


class LogAccess:
    """A `Queries` for as many threads as there are sessions; more wait for one.

    A session that ClickHouse did not answer on is closed, and the next question opens a new one.
    """

    def __init__(self, sessions: int) -> None:
        self._open: Open | None = None
        self._free: queue.SimpleQueue[Queries | None] = queue.SimpleQueue()
        for _ in range(sessions):
            self._free.put(None)

    def connect(self, open_session: Open) -> None:
        """Say how sessions are opened, once ClickHouse is there."""
        self._open = open_session

    def run(self, name: str, parameters: Parameters) -> Rows:
        """Return the rows of a named query; raise `InputError` for a wrong parameter, `WarehouseError` otherwise."""
        session = self._free.get()
        try:
            session = session or self._opened()
            return session.run(name, parameters)
        except WarehouseUnavailable:
            _end(session)
            session = None
            raise
        finally:
            self._free.put(session)

    def close(self) -> None:
        """End all sessions that are not in use; after this every question is refused."""
        self._open = None
        with suppress(queue.Empty):
            while True:
                _end(self._free.get_nowait())

    def complaint(self) -> str:
        """Return what is wrong, or an empty text: a probe for `/readyz`."""
        return "" if self._open is not None else "ClickHouse is not open yet"

    def _opened(self) -> Queries:
        if self._open is None:
            raise WarehouseUnavailable("ClickHouse is not open yet", remedy="Wait; the log of this process says what it waits for.")
        return self._open()


def _end(session: Queries | None) -> None:
    if session is not None:
        with suppress(WarehouseError):
            session.close()
