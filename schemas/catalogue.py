"""The catalogue: every event type with its category, schema and example. It drives the docs, the API and the tests."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import fastavro

from hookline.kernel.errors import UnknownEventType
from hookline.schemas import files
from hookline.schemas.names import full_name
from hookline.schemas.topics import CATEGORIES

_SHOWN: Final = 100
_ORDER: Final = (
    ("order.created", "order.status_changed", "order.paid"),
    ("product.changed", "product.inventory_changed", "category.changed"),
    (
        "cart.item_added",
        "cart.updated",
        "checkout.cart_viewed",
        "checkout.address_viewed",
        "checkout.shipping_viewed",
        "checkout.approval_viewed",
        "checkout.thank_you_viewed",
        "order.approved",
    ),
    ("customer.created", "newsletter.signed_up", "return.created"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One type of event.

    `schema` is the Avro record {id, store_id, occurred_at, data}; `example` is a valid `data` in its JSON form;
    `entity_path` names, inside `data`, the id of what the event is about: events of one entity share a partition.
    """

    name: str
    category: str
    subject: str
    description: str
    entity_path: str
    schema: Mapping[str, Any]
    example: Mapping[str, Any]

    def entity_of(self, data: Mapping[str, Any]) -> str:
        """Return the id of what an event is about."""
        found: Any = data
        for step in self.entity_path.split("."):
            found = found[step]
        return str(found)


def canonical(schema: Mapping[str, Any]) -> str:
    """Return a schema as one line of JSON with sorted keys: two schemas are the same when this is."""
    return json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def parsed(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401  # fastavro's own form of a schema
    """Return a schema as fastavro wants it, with names of its own, so that equal names in two schemas never meet."""
    return fastavro.parse_schema(dict(schema), named_schemas={})


def event_type(name: str) -> EventType:
    """Return an event type; raise `UnknownEventType` with the closest names."""
    found = EVENT_TYPES.get(name) if isinstance(name, str) else None
    if found is None:
        close = difflib.get_close_matches(str(name)[:_SHOWN], EVENT_TYPES, 3, 0.5)
        remedy = f"Did you mean {' or '.join(close)}?" if close else "See `hookline events types`."
        raise UnknownEventType(f"There is no event type {str(name)[:_SHOWN]!r}", field="type", remedy=remedy)
    return found


def _event_type(category: str, name: str) -> EventType:
    schema = files.event_schema(category, name)
    return EventType(
        name=name,
        category=category,
        subject=full_name(schema),
        description=schema["doc"],
        entity_path=schema["entity"],
        schema=schema,
        example=files.example(name),
    )


def _internal() -> dict[str, Mapping[str, Any]]:
    return {full_name(schema): schema for schema in files.internal_schemas()}


EVENT_TYPES: Final[Mapping[str, EventType]] = MappingProxyType(
    {name: _event_type(category, name) for category, names in zip(CATEGORIES, _ORDER, strict=True) for name in names}
)
BY_SUBJECT: Final[Mapping[str, EventType]] = MappingProxyType({kind.subject: kind for kind in EVENT_TYPES.values()})
SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({**{k.subject: k.schema for k in EVENT_TYPES.values()}, **_internal()})
PARSED: Final[Mapping[str, Any]] = MappingProxyType({subject: parsed(schema) for subject, schema in SCHEMAS.items()})
