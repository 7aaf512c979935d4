"""The JSON that receivers get: the very bytes that are signed, rendered once per event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson

from hookline.kernel.clock import rfc3339
from hookline.schemas.events import Event

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME


@dataclass(slots=True)
class Rendered:
    """An event as a dispatcher has it: what it is matched by, and `body`, the JSON that is signed and sent."""

    id: str
    type: str
    store_id: str
    body: bytes

    def context(self) -> dict[str, Any]:
        """Return what a filter sees, as `context` does of an event."""
        return {"type": self.type, "store_id": self.store_id, "data": orjson.loads(self.body)["data"]}


def body(event: Event) -> bytes:
    """Return `{"id","type","timestamp","store_id","data"}` as UTF-8 JSON; times are RFC 3339 in UTC with microseconds."""
    return orjson.dumps(
        {"id": event.id, "type": event.type, "timestamp": event.occurred_at, "store_id": event.store_id, "data": event.data},
        default=_text,
        option=_OPTIONS,
    )


def context(event: Event) -> dict[str, Any]:
    """Return what a filter sees: `type`, `store_id` and `data`, with times as text."""
    data: Any = orjson.loads(orjson.dumps(event.data, default=_text, option=_OPTIONS))
    return {"type": event.type, "store_id": event.store_id, "data": data}


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")
