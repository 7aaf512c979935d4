"""The way to the log: named queries for any thread, over a few sessions of ClickHouse that are opened when they are first needed.

What takes long and is looked at often may be answered from memory for a while: `lately`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from hookline.analytics.queries import Queries
from hookline.analytics.warehouse import Parameters, Rows
from hookline.kernel.errors import WarehouseError, WarehouseUnavailable

Open: TypeAlias = Callable[[], Queries]
_KEPT: Final = 1_000
_WORTH: Final = 50
_LONGEST_S: Final = 30.0


class LogAccess:
    """A `Queries` for as many threads as there are sessions; more wait for one.

    A session that ClickHouse did not answer on is closed, and the next question opens a new one.
    """

    def __init__(self, sessions: int) -> None:
        self._open: Open | None = None
        self._free: queue.SimpleQueue[Queries | None] = queue.SimpleQueue()
        self._known: OrderedDict[tuple[object, ...], tuple[float, Rows]] = OrderedDict()
        self._lock = threading.Lock()
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

    def lately(self, name: str, parameters: Parameters) -> Rows:
        """Return the rows of a named query as they were a moment ago: at most fifty times as long as it took, 30 s at the most.

        So a question of a millisecond is as good as fresh, and one of half a second is not asked again by everybody who looks. Times among
        the parameters do not make it another question. Raises what `run` raises.
        """
        key = (name, *sorted((field, value) for field, value in parameters.items() if not field.endswith("_us")))
        began = time.monotonic()
        with self._lock:
            good_until, rows = self._known.get(key, (0.0, []))
        if began < good_until:
            return rows
        rows = self.run(name, parameters)
        now = time.monotonic()
        with self._lock:
            self._known[key] = (now + min(_LONGEST_S, (now - began) * _WORTH), rows)
            self._known.move_to_end(key)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return rows

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
