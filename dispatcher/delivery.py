"""A delivery on its way through one dispatcher, and the record it came from."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hookline.dispatcher.intake import Intake, Record
from hookline.schemas.records import Source, Trigger, Waiting, delivery_id


@dataclass(slots=True, eq=False)
class Unit:
    """One record of an intake and how many of its deliveries are not settled; the last one settles the record."""

    intake: Intake
    record: Record
    left: int = 0

    def settle_one(self) -> None:
        """Count one delivery as durable; settle the record with the last."""
        self.left -= 1
        if self.left == 0:
            self.intake.done(self.record)

    @property
    def fit(self) -> bool:
        """Whether an attempt may start: the partition is still ours."""
        return self.intake.fit(self.record)


@dataclass(slots=True, eq=False, kw_only=True)
class Delivery:
    """One event for one webhook while this dispatcher has it.

    `value` are the event's original wire bytes, `body` the JSON that is signed and sent; both are shared by all
    deliveries of the event. `ready_at` is the wall time, in seconds, since when the delivery could be made.
    """

    waiting: Waiting
    unit: Unit
    value: bytes
    body: bytes
    ready_at: float
    started_at: float = 0.0


def first(unit: Unit, *, store_id: str, event_id: str, event_type: str, webhook_id: str, traceparent: str = "") -> Waiting:
    """Return the state of a delivery that was never tried, from the event record it stems from."""
    return Waiting(
        delivery_id=delivery_id(store_id, event_id, webhook_id),
        webhook_id=webhook_id,
        store_id=store_id,
        event_id=event_id,
        event_type=event_type,
        source=source_of(unit),
        trigger=Trigger.EVENT,
        first_at_us=time.time_ns() // 1_000,
        traceparent=traceparent,
    )


def source_of(unit: Unit) -> Source:
    """Return the coordinates of the record itself."""
    message = unit.record.message
    return Source(
        topic=unit.record.share.topic,
        partition=unit.record.share.partition,
        offset=unit.record.offset,
        timestamp_ms=message.timestamp()[1],
    )
