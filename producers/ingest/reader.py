"""From the JSON that a store sends to an event: the envelope is checked here, `data` by its schema on the way to Kafka."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timedelta
from typing import Any, Final

from hookline.kernel.clock import Clock, rfc3339
from hookline.kernel.errors import InputError
from hookline.producers.ingest.config import IngestConfig
from hookline.producers.ingest.errors import refused
from hookline.schemas.catalogue import event_type
from hookline.schemas.checks import compile_check
from hookline.schemas.events import Event, check_id, new_event_id

FIELDS: Final = frozenset({"type", "data", "id", "occurred_at", "store_id"})
_time: Final = compile_check({"type": "long", "logicalType": "timestamp-micros"})
_SHOWN: Final = 60
_ID_BYTES: Final = 20


class EventReader:
    """Makes events of parsed JSON; pure but for the clock."""

    def __init__(self, config: IngestConfig, clock: Clock) -> None:
        self._past = timedelta(seconds=config.max_past_s)
        self._future = timedelta(seconds=config.max_future_s)
        self._clock = clock

    def event(self, item: Any, store_id: str, key: str, index: int) -> Event:  # noqa: ANN401  # JSON
        """Return the event, its `data` not checked yet.

        Its id is the item's, else one derived from the Idempotency-Key `key` and the place in the batch, else a new one.
        Raises `InputError` with the field, or `Refused` for another store's event and a time out of range.
        """
        if not isinstance(item, dict):
            raise InputError("An event must be an object", remedy='Send {"type": ..., "data": {...}}.')
        if not FIELDS.issuperset(item):
            name = next(name for name in item if name not in FIELDS)[:_SHOWN]
            raise InputError(f"{name} is no field of an event", field=name, remedy=f"Fields: {', '.join(sorted(FIELDS))}.")
        for name in ("type", "data"):
            if name not in item:
                raise InputError(f"{name} is missing", field=name, remedy='Send {"type": ..., "data": {...}}.')
        if not isinstance(item["type"], str):
            raise InputError("type must be a text", field="type", remedy="Such as order.created.")
        return Event(
            id=_id(item, store_id, key, index),
            type=event_type(item["type"]).name,
            store_id=_store(item, store_id),
            occurred_at=self._occurred_at(item),
            data=item["data"],
        )

    def _occurred_at(self, item: dict[str, Any]) -> datetime:
        now = self._clock.now()
        if "occurred_at" not in item:
            return now
        found: datetime = _time(item["occurred_at"], "occurred_at")
        if not now - self._past <= found <= now + self._future:
            raise refused(
                "occurred_at_out_of_range",
                f"occurred_at must lie between {rfc3339(now - self._past)} and {rfc3339(now + self._future)}",
                field="occurred_at",
                remedy="Check the clock, or leave it out: then it is now.",
            )
        return found


def derived_id(store_id: str, key: str, index: int) -> str:
    """Return the event id that an Idempotency-Key stands for: the same in every process and at any time."""
    digest = hashlib.sha256(f"{store_id}\0{key}\0{index}".encode()).digest()
    return "evt_" + base64.b32encode(digest[:_ID_BYTES]).decode().lower()


def _id(item: dict[str, Any], store_id: str, key: str, index: int) -> str:
    if "id" in item:
        return check_id(item["id"], "id")
    return derived_id(store_id, key, index) if key else new_event_id()


def _store(item: dict[str, Any], store_id: str) -> str:
    if item.get("store_id", store_id) != store_id:
        raise refused(
            "other_store", "The event is not of this API key's store", field="store_id", remedy="Leave store_id out: the key decides it."
        )
    return store_id
