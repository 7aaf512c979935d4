"""Builds of different age understand each other: Avro's resolution, through the codec, without a broker."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.kernel.errors import WireError
from hookline.schemas.catalogue import EVENT_TYPES, SCHEMAS, parsed
from hookline.schemas.events import Event, normalise
from hookline.schemas.names import full_name
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.unit

AT = datetime(2026, 3, 14, 9, 26, 53, 589793, UTC)


def example(name: str) -> Event:
    """Return the example event of a type."""
    return Event(id="evt_1", type=name, store_id="shop", occurred_at=AT, data=normalise(name, EVENT_TYPES[name].example))


def framed(number: int, schema: Any, datum: dict[str, Any]) -> bytes:
    """Return a record as another program writes it: by the documented format and fastavro alone."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(schema), datum)
    return struct.pack(">bI", 0, number) + out.getvalue()


def defined(schema: Any, name: str) -> dict[str, Any]:
    """Return the definition of a named type inside a schema, to be changed in place."""
    parts: list[Any] = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if part.get("name") == name and part["type"] in ("record", "enum"):
                return part
            parts += [field["type"] for field in part.get("fields", ())] + [part.get("type"), part.get("items"), part.get("values")]
        elif isinstance(part, list):
            parts += part
    raise KeyError(name)


def other_build(change: Callable[[dict[str, Any]], None], name: str = "order.created") -> dict[str, Any]:
    """Return the schema of a type as another build has it."""
    schema = deepcopy(dict(EVENT_TYPES[name].schema))
    change(schema)
    return schema


def written_by(registry_type: Any, schema: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> Event:
    """Return what this build reads of the example order, written by another build with its own schema."""
    event = example("order.created")
    data = deepcopy(event.data)
    change(data)
    datum = {"id": event.id, "store_id": event.store_id, "occurred_at": event.occurred_at, "data": data}
    return Codec(registry_type(schema)).decode(framed(1, schema, datum))


def test_an_old_reader_reads_a_new_writer(registry_type: Any) -> None:
    """A field that a newer build added is left out; everything else is there."""

    def add(schema: dict[str, Any]) -> None:
        defined(schema, "Order")["fields"].insert(0, {"name": "risk_score", "type": "int"})
        defined(schema, "Line")["fields"].append({"name": "bundle", "type": ["null", "string"], "default": None})

    def write(data: dict[str, Any]) -> None:
        data["order"]["risk_score"] = 7
        data["order"]["lines"][0]["bundle"] = "b1"

    assert written_by(registry_type, other_build(add), write) == example("order.created")


def test_a_new_reader_reads_an_old_writer(registry_type: Any) -> None:
    """A field that an older build did not write gets its default."""

    def drop(schema: dict[str, Any]) -> None:
        order, line = defined(schema, "Order"), defined(schema, "Line")
        order["fields"] = [field for field in order["fields"] if field["name"] != "prices_include_tax"]
        line["fields"] = [field for field in line["fields"] if field["name"] not in ("category_ids", "weight_g")]

    def write(data: dict[str, Any]) -> None:
        del data["order"]["prices_include_tax"]
        for line in data["order"]["lines"]:
            del line["category_ids"], line["weight_g"]

    found = written_by(registry_type, other_build(drop), write).data["order"]
    assert found["prices_include_tax"] is True
    assert [(line["category_ids"], line["weight_g"]) for line in found["lines"]] == [([], None)] * 2
    assert found["totals"] == example("order.created").data["order"]["totals"]


def test_a_new_symbol_becomes_the_default(registry_type: Any) -> None:
    """An enum symbol that this build does not know is read as UNKNOWN."""

    def add(schema: dict[str, Any]) -> None:
        defined(schema, "OrderStatus")["symbols"].append("ON_HOLD")

    def write(data: dict[str, Any]) -> None:
        data["order"]["status"] = "ON_HOLD"

    assert written_by(registry_type, other_build(add), write).data["order"]["status"] == "UNKNOWN"


def test_a_number_may_have_been_smaller(registry_type: Any) -> None:
    """An `int` of an older build is read as today's `long`."""

    def narrow(schema: dict[str, Any]) -> None:
        next(field for field in defined(schema, "Money")["fields"] if field["name"] == "amount_minor")["type"] = "int"

    assert written_by(registry_type, other_build(narrow), lambda _: None) == example("order.created")


def test_a_field_without_default_that_is_gone_is_a_wire_error(registry_type: Any) -> None:
    """What cannot be resolved is refused, not guessed: registration forbids such a change."""

    def drop(schema: dict[str, Any]) -> None:
        order = defined(schema, "Order")
        order["fields"] = [field for field in order["fields"] if field["name"] != "number"]

    with pytest.raises(WireError):
        written_by(registry_type, other_build(drop), lambda data: data["order"].pop("number"))


def test_both_ages_at_once(registry_type: Any, strategy_of: Callable[[Any], st.SearchStrategy[Any]]) -> None:
    """One codec reads events of an older, of its own and of a newer build in any order."""
    name = "newsletter.signed_up"
    own = dict(EVENT_TYPES[name].schema)
    newer = other_build(lambda s: defined(s, "NewsletterSignedUpData")["fields"].append({"name": "x", "type": "long"}), name)
    older = other_build(lambda s: defined(s, "NewsletterSignedUpData")["fields"].pop(), name)
    codec = Codec(registry_type(older, own, newer))
    data_schema = next(field["type"] for field in own["fields"] if field["name"] == "data")

    @settings(max_examples=50)
    @given(st.lists(st.tuples(st.sampled_from([1, 2, 3]), strategy_of(data_schema)), max_size=5))
    def reads(events: list[tuple[int, dict[str, Any]]]) -> None:
        for number, data in events:
            writer = [older, own, newer][number - 1]
            datum = {"id": "e", "store_id": "s", "occurred_at": AT, "data": {**data, "x": 5}}
            found = codec.decode(framed(number, writer, datum)).data
            assert found == (data | {"coupon_code": None} if number == 1 else data)

    reads()


WRONG_SCHEMAS = [
    {"type": "record", "name": "OrderPaid", "namespace": "hookline.orders", "fields": []},
    {**SCHEMAS["hookline.orders.OrderPaid"], "fields": [{"name": "id", "type": "long"}]},
]


@pytest.mark.parametrize("schema", WRONG_SCHEMAS)
def test_a_registry_that_answers_another_schema_breaks_nothing(registry_type: Any, schema: Any) -> None:
    """A wrong schema under a right name gives wire errors."""
    assert full_name(schema) == "hookline.orders.OrderPaid"
    value = Codec(registry_type(SCHEMAS["hookline.orders.OrderPaid"])).encode(example("order.paid"))
    with pytest.raises(WireError):
        Codec(registry_type(schema)).decode(value)
