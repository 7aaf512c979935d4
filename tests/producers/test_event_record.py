"""An event is checked, encoded and measured before Kafka hears of it; each fault has its own error."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.kernel.clock import SystemClock
from hookline.kernel.errors import InputError, PayloadTooLarge, UnknownEventType
from hookline.producers.event_record import EventRecords, check_topic
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import Event, example_event
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from tests.producers.fakes import FixedRegistry, stock

pytestmark = pytest.mark.unit

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def records(max_bytes: int = 262_144, prefix: str = "hookline") -> EventRecords:
    """Return a maker of records."""
    return EventRecords(Codec(FixedRegistry()), Topics(prefix), max_bytes)


def event(**changes: Any) -> Event:
    """Return a valid event with some of its data changed."""
    data = {**stock(), **changes}
    return Event(id="evt_1", type="product.inventory_changed", store_id="shop", occurred_at=datetime.now(UTC), data=data)


@pytest.mark.parametrize("name", list(EVENT_TYPES))
def test_every_type_becomes_a_record_that_reads_back(name: str) -> None:
    """The record goes to its category's topic, keyed by store and entity, and its bytes are the event again."""
    made = example_event(name, "shop", clock=SystemClock(), id="evt_1")
    record = records().make(made, TRACE)
    kind = EVENT_TYPES[name]
    assert record.topic == f"hookline.events.{kind.category}"
    assert record.key == f"shop:{kind.entity_of(made.data)}".encode()
    assert record.headers == {"content-type": b"application/vnd.confluent.avro", "traceparent": TRACE.encode()}
    assert Codec(FixedRegistry()).decode(record.value) == made


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"available": "7"}, "data.available"),
        ({"available": True}, "data.available"),
        ({"available": 1.0}, "data.available"),
        ({"available": float("nan")}, "data.available"),
        ({"available": float("inf")}, "data.available"),
        ({"available": 2**63}, "data.available"),
        ({"available": -(2**63) - 1}, "data.available"),
        ({"title": None}, "data.title"),
        ({"title": b"bytes"}, "data.title"),
        ({"title": "half \ud800 a pair"}, "data.title"),
        ({"reason": "BOREDOM"}, "data.reason"),
        ({"changed_at": datetime(2026, 3, 14)}, "data.changed_at"),  # noqa: DTZ001  # naive on purpose
        ({"changed_at": "2026-03-14T09:26:53"}, "data.changed_at"),
        ({"changed_at": "yesterday"}, "data.changed_at"),
        ({"changed_at": datetime(9999, 12, 31, tzinfo=UTC)}, "data.changed_at"),
        ({"no_such_field": 1}, "data.no_such_field"),
        ({7: "a key that is no text"}, "data.int 7"),
    ],
)
def test_a_wrong_field_is_named(change: dict[Any, Any], field: str) -> None:
    """What does not fit the schema is refused with its path."""
    wrong = event()
    wrong.data.update(change)
    with pytest.raises(InputError) as caught:
        records().make(wrong)
    assert caught.value.field == field


def test_a_missing_field_is_named() -> None:
    """A field without a default must be there."""
    wrong = event()
    del wrong.data["sku"]
    with pytest.raises(InputError, match=r"data\.sku is missing"):
        records().make(wrong)


def test_a_structure_that_holds_itself_is_refused() -> None:
    """Recursion ends at the first field the schema does not know, and never overflows the stack."""
    wrong = event()
    wrong.data["title"] = wrong.data
    with pytest.raises(InputError, match=r"data\.title must be a text"):
        records().make(wrong)


def test_map_keys_must_be_texts() -> None:
    """Avro maps have text keys; a number is refused, not converted."""
    made = example_event("cart.item_added", "shop", clock=SystemClock())
    made.data["line"]["attributes"] = {1: "one"}
    with pytest.raises(InputError, match="a key"):
        records().make(made)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "a.b"}, "id"),
        ({"id": ""}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": "a\0"}, "id"),
        ({"id": 7}, "id"),
        ({"store_id": "../other"}, "store_id"),
        ({"occurred_at": datetime(2026, 3, 14)}, "occurred_at"),  # noqa: DTZ001  # naive on purpose
        ({"occurred_at": "2026-03-14T09:26:53Z"}, "occurred_at"),
        ({"data": [1, 2]}, "data"),
        ({"data": None}, "data"),
    ],
)
def test_a_wrong_envelope_is_named(change: dict[str, Any], field: str) -> None:
    """Ids, time and data are checked by kind."""
    with pytest.raises(InputError) as caught:
        records().make(replace(event(), **change))
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["order.creatd", "", "ORDER.CREATED", "hookline.events.orders", None, ["order.created"]])
def test_an_unknown_type_is_refused(name: Any) -> None:
    """No event makes a topic of its own; close names are suggested."""
    with pytest.raises(UnknownEventType) as caught:
        records().make(replace(event(), type=name))
    assert caught.value.remedy


@pytest.mark.parametrize("wrong", [None, {}, {"type": "order.created"}, "order.created", b"bytes"])
def test_only_events_are_taken(wrong: Any) -> None:
    """Another Python type is told which class is wanted."""
    with pytest.raises(InputError, match="publish takes an Event"):
        records().make(wrong)


def test_a_large_event_is_refused_with_its_size() -> None:
    """The encoded size counts, and is named with the limit."""
    with pytest.raises(PayloadTooLarge, match=r"The event has 1,\d\d\d bytes encoded, the limit is 1,024"):
        records(max_bytes=1_024).make(event(title="x" * 1_000))


@pytest.mark.parametrize("trace", ["x", TRACE.upper(), TRACE + "\n", TRACE + "-00", "00-0-0-0"])
def test_a_trace_that_is_none_is_refused(trace: str) -> None:
    """Only a W3C trace context goes into the record's header."""
    with pytest.raises(InputError, match="traceparent"):
        records().make(event(), trace)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 250, "a\n"])
def test_a_topic_that_kafka_would_not_take_is_refused(name: str) -> None:
    """Kafka's client checks no names, so a wrong prefix is caught here."""
    with pytest.raises(InputError, match="no topic name"):
        check_topic(name)


def test_a_wrong_prefix_is_caught_before_kafka() -> None:
    """A space in HOOKLINE_TOPIC_PREFIX ends in a clear error."""
    with pytest.raises(InputError, match="HOOKLINE_TOPIC_PREFIX"):
        records(prefix="my shop").make(event())
