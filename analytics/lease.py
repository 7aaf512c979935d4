"""Whether an announced batch is still this process's to write, proven by Kafka before each statement that changes anything.

ClickHouse forgets an insert's token after so many others. A process that stood still for longer than that, its batch announced and
not acknowledged, must not write when it wakes: whoever has the partition since has written the batch, and more.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from hookline.analytics.warehouse import Parameters, Rows, Warehouse

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from hookline.kernel.lifecycle import Stop

PROVEN_S: Final = 5.0
"""So long a proof holds at most, and no longer than half of the session: others have the partition of who stood still only after that.
It is far below what it takes ClickHouse to forget a token.
"""
_STOPPING_S: Final = 3.0
# One that goes on while the machine sleeps, where there is one.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class NotOurs(Exception):
    """The batch is the next owner's to write."""


def now_s() -> float:
    """Return the seconds of a clock that only goes on."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """Of one batch, from its announcement on: the insert thread asks, the consumer's thread, which alone can tell, answers.

    `session_s`: after how long Kafka gives the partition to others when nothing is heard of us.
    """

    def __init__(self, stop: Stop, session_s: float) -> None:
        self._stop = stop
        self._holds_s = min(PROVEN_S, session_s / 2)
        self._answered = threading.Condition()
        self._proven_s = now_s()
        self._asked = False
        self._lost = False

    @property
    def asked(self) -> bool:
        """Whether the insert thread waits for an answer."""
        return self._asked

    def require(self) -> None:
        """Return when the last proof is young enough, else as `renew` does."""
        if now_s() - self._proven_s > self._holds_s:
            self.renew()

    def renew(self) -> None:
        """Wait for a proof that is younger than this call; raise `NotOurs` when there is none, or the stop comes first."""
        with self._answered:
            self._asked = True
            while self._asked:
                if not self._answered.wait(_STOPPING_S) and self._stop.is_set():
                    break
            if self._asked or self._lost:
                raise NotOurs

    def grant(self, proven_s: float) -> None:
        """Answer that Kafka took a commit of the partition's owner that began at this time of `now_s`."""
        with self._answered:
            self._proven_s, self._asked = proven_s, False
            self._answered.notify_all()

    def deny(self) -> None:
        """Answer that the partition is somebody else's, or will be."""
        with self._answered:
            self._lost, self._asked = True, False
            self._answered.notify_all()


class LeasedWarehouse:
    """A `Warehouse` that changes only what the lease at hand allows; for the insert thread. Raises `NotOurs` besides."""

    def __init__(self, client: Warehouse) -> None:
        self._client = client
        self.lease: Lease | None = None

    def _require(self) -> None:
        if self.lease is None:
            raise NotOurs
        self.lease.require()

    def execute(self, statement: str, parameters: Parameters | None = None) -> None:
        """Run a statement that answers nothing."""
        self._require()
        self._client.execute(statement, parameters)

    def rows(self, query: str, parameters: Parameters | None = None) -> Rows:
        """Return the rows of a query: asking changes nothing, so that no lease is needed."""
        return self._client.rows(query, parameters)

    def insert(self, table: str, columns: pa.Table, settings: Mapping[str, str | int]) -> None:
        """Insert named columns in one block; raise `RowsRefused` when a row is at fault."""
        self._require()
        self._client.insert(table, columns, settings)

    def another(self) -> Warehouse:
        """Return a new session, which knows of no lease."""
        return self._client.another()

    def close(self) -> None:
        """End the session."""
        self._client.close()
