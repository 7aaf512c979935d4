"""A delivery on its way through one dispatcher, and the record it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hookline.dispatcher.intake import Intake
from hookline.dispatcher.shares import Record
from hookline.schemas.payload import Rendered
from hookline.schemas.records import Source, Waiting, delivery_id

_TRACE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


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
        """Whether an attempt may start: the partition is ours as far as a fresh poll can tell."""
        return self.intake.fit(self.record)

    @property
    def lost(self) -> bool:
        """Whether the partition is, or is about to be, another dispatcher's: nothing new may begin."""
        return not self.record.share.open or self.record.share.closing

    @property
    def theirs(self) -> bool:
        """Whether the partition is another dispatcher's: what follows from this record is for it to decide."""
        return not self.record.share.open


@dataclass(slots=True, eq=False)
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
    begun: bool = False

    def begin(self) -> None:
        """Note that a call is made: a rebalance waits a little for what follows from it."""
        self.begun = True
        self.unit.record.share.under_way += 1

    def durable(self) -> None:
        """Settle it: Kafka has everything that follows from it."""
        if self.begun:
            self.unit.record.share.under_way -= 1
        self.unit.settle_one()


def first(event: Rendered, source: Source, webhook_id: str, now_us: int, traceparent: str = "") -> Waiting:
    """Return the state of a delivery that was never tried, of an event that lies at `source`; `now_us` is by the brokers' clock."""
    store_id, event_id = event.store_id, event.id
    id_ = delivery_id(store_id, event_id, webhook_id)
    # By their places: names take twice the time, once for each webhook.
    return Waiting(id_, webhook_id, store_id, event_id, event.type, source, first_at_us=now_us, traceparent=traceparent)


def source_of(unit: Unit) -> Source:
    """Return the coordinates of the record itself."""
    record = unit.record
    return Source(record.share.topic, record.share.partition, record.offset, record.message.timestamp()[1])


def traceparent(text: str) -> str:
    """Return a W3C trace parent as it is, an empty text for anything else: it goes out as a header."""
    return text if _TRACE.match(text) else ""
