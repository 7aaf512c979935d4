"""Taking what receivers answered to erased events out of the log, also where the attempt is made after the erasure."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from hookline.analytics.queries import sql
from hookline.analytics.warehouse import Parameters, Warehouse
from hookline.kernel.errors import WarehouseError
from hookline.kernel.lifecycle import Stop
from hookline.kernel.log import logger
from hookline.schemas.erasures import Erasure, Erasures

MARK: Final = "[erased]"
ERASABLE: Final = "erasable"
"""The query that counts rows with anything left to take out."""
LATE_S: Final = 5 * 86_400.0
"""For so long attempts of an erased event may still come: the longest schedule, and a sink that was behind."""
_PAUSE_S: Final = 5.0
_CHUNK: Final = 500
_log = logger("redaction")
# A server answers once every replica has done it; the columns are in no key, so that parts are rewritten and nothing moves.
_REDACT: Final = (
    "ALTER TABLE attempts UPDATE "
    "response_body = if(response_body = '', '', {mark:String}), "
    "response_headers = if(response_headers = '', '', {mark:String}), "
    "error_detail = if(error_detail = '', '', {mark:String}) "
    "WHERE store_id = {store_id:String} AND event_id IN (SELECT arrayJoin(splitByChar(',', {events:String}))) "
    "SETTINGS mutations_sync = 2"
)


class Redaction:
    """Redacts rows in the thread that runs it, with a session of its own; what failed is tried again."""

    def __init__(self, client: Warehouse, erasures: Erasures) -> None:
        self._client = client
        self._erasures = erasures
        self._settled_us = 0

    def run(self, stop: Stop) -> None:
        """Redact what is new, and what came late, until the stop."""
        while not stop.is_set():
            try:
                self.step(time.time_ns() // 1_000)
            except WarehouseError as error:
                _log.warning("redaction.waits", error=error.message)
            stop.wait(_PAUSE_S)
        self._client.close()

    def step(self, now_us: int) -> int:
        """Redact the rows of all erased events that may still have any; return how many rows. Raises `WarehouseError`.

        The first time every erasure is looked at, since it may have been written while no sink ran.
        """
        done = sum(self._chunk(store_id, ids) for store_id, ids in chunks(self._pending()))
        self._settled_us = now_us - round(LATE_S * 1e6)
        return done

    def _pending(self) -> list[Erasure]:
        return [erasure for erasure in self._erasures.all() if erasure.erased_at_us >= self._settled_us]

    def _chunk(self, store_id: str, ids: list[str]) -> int:
        about: Parameters = {"store_id": store_id, "events": ",".join(ids), "mark": MARK}
        left = int(self._client.rows(sql(ERASABLE), about)[0]["n"])
        if left:
            self._client.execute(_REDACT, about)
            _log.info("log.redacted", store_id=store_id, rows=left)
        return left


def chunks(erasures: Iterable[Erasure]) -> Iterator[tuple[str, list[str]]]:
    """Yield (store, some event ids) of erasures."""
    by_store: dict[str, list[str]] = defaultdict(list)
    for erasure in erasures:
        by_store[erasure.store_id].append(erasure.event_id)
    for store_id, ids in by_store.items():
        yield from ((store_id, part) for part in batches(ids))


def batches(ids: list[str]) -> Iterator[list[str]]:
    """Yield ids in parts of so many as one question takes."""
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))
