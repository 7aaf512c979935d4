"""Deliveries made again one at a time, on a person's word."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from hookline.console.http.throttle import Throttle
from hookline.dispatcher.replays import Replays
from hookline.kernel.clock import Clock
from hookline.schemas.records import Source, Trigger, Waiting

PER_MIN: Final = 120


class Resends:
    """Writes resends; thread-safe."""

    def __init__(self, replays: Replays, clock: Clock) -> None:
        self._replays = replays
        self._lock = threading.Lock()
        self._pace = Throttle(PER_MIN, clock, "resends")

    def resend(self, waiting: Waiting) -> None:
        """Have a delivery made again, and return once Kafka has it.

        Raises `Refused` (429) for too many in a minute, `NotFound` when its payload has passed retention, `BrokerError`.
        """
        self._pace.take(waiting.store_id)
        with self._lock:
            self._replays.resend(waiting)


def waiting_of(row: Mapping[str, Any], store_id: str) -> Waiting:
    """Return the delivery of a row of the log."""
    source = Source(
        topic=row["source_topic"],
        partition=row["source_partition"],
        offset=row["source_offset"],
        timestamp_ms=row["source_timestamp_ms"],
    )
    names = {name: row[name] for name in ("delivery_id", "webhook_id", "event_id", "event_type")}
    return Waiting(store_id=store_id, source=source, trigger=Trigger(row["trigger"]), **names)
