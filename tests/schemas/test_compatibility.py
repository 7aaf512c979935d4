"""Compatibility: which changes of a schema old and new builds survive."""

from __future__ import annotations

import io
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.errors import Incompatible
from hookline.schemas import registration
from hookline.schemas.catalogue import EVENT_TYPES, SCHEMAS, parsed
from hookline.schemas.compatibility import check
from hookline.schemas.registration import problems, reader_first, register_all

pytestmark = pytest.mark.unit

BASE: dict[str, Any] = {
    "type": "record",
    "name": "R",
    "namespace": "t",
    "doc": "A record.",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "count", "type": "int"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "kind", "type": {"type": "enum", "name": "K", "namespace": "t", "symbols": ["A", "B"], "default": "A"}},
        {"name": "strict", "type": {"type": "enum", "name": "S", "namespace": "t", "symbols": ["A", "B"]}},
        {"name": "maybe", "type": ["null", "string"], "default": None},
        {"name": "list", "type": {"type": "array", "items": "int"}, "default": []},
        {"name": "map", "type": {"type": "map", "values": "int"}, "default": {}},
        {
            "name": "inner",
            "type": {"type": "record", "name": "I", "namespace": "t", "doc": "x", "fields": [{"name": "n", "type": "int"}]},
        },
        {"name": "again", "type": "t.I"},
    ],
}


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a field of a schema."""
    return next(f for f in schema["fields"] if f["name"] == name)


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return BASE after a change."""
    schema = deepcopy(BASE)
    change(schema)
    return schema


def without(name: str) -> Callable[[dict[str, Any]], None]:
    """Return the change that removes a field."""

    def change(schema: dict[str, Any]) -> None:
        schema["fields"] = [f for f in schema["fields"] if f["name"] != name]

    return change


def typed(name: str, kind: Any) -> Callable[[dict[str, Any]], None]:
    """Return the change that gives a field another type."""
    return lambda schema: field(schema, name).update(type=kind)


# change, does the new schema read old records, do old readers read new records
CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], bool, bool]] = {
    "nothing": (lambda s: None, True, True),  # noqa: ARG005  # a change of nothing
    "docs and order of keys": (lambda s: s.update(doc="Another text."), True, True),
    "order of fields": (lambda s: s["fields"].append(s["fields"].pop(0)), True, True),
    "field added with default": (lambda s: s["fields"].append({"name": "x", "type": "int", "default": 1}), True, True),
    "field added without default": (lambda s: s["fields"].append({"name": "x", "type": "int"}), False, True),
    "field with default removed": (without("maybe"), True, True),
    "field without default removed": (without("text"), True, False),
    "int became long": (typed("count", "long"), True, False),
    "int became double": (typed("count", "double"), True, False),
    "int became string": (typed("count", "string"), False, False),
    "string became bytes": (typed("text", "bytes"), True, True),
    "string became nullable": (typed("text", ["null", "string"]), True, False),
    "nullable became plain": (lambda s: field(s, "maybe").update(type="string", default=""), False, True),
    "items promoted": (typed("list", {"type": "array", "items": "long"}), True, False),
    "items changed": (typed("list", {"type": "array", "items": "string"}), False, False),
    "values promoted": (typed("map", {"type": "map", "values": "double"}), True, False),
    "list became map": (typed("list", {"type": "map", "values": "int"}), False, False),
    "time became a plain number": (typed("at", "long"), False, False),
    "number became a date": (typed("count", {"type": "int", "logicalType": "date"}), False, False),
    "symbol added, with default": (lambda s: field(s, "kind")["type"]["symbols"].append("C"), True, True),
    "symbol added, without default": (lambda s: field(s, "strict")["type"]["symbols"].append("C"), True, False),
    "symbol removed, with default": (lambda s: field(s, "kind")["type"]["symbols"].remove("B"), True, True),
    "symbol removed, without default": (lambda s: field(s, "strict")["type"]["symbols"].remove("B"), False, True),
    "enum became string": (typed("kind", "string"), False, False),
    "record renamed": (lambda s: s.update(name="Q"), False, False),
    "record renamed with alias": (lambda s: s.update(name="Q", aliases=["t.R"]), True, False),
    "field renamed": (lambda s: field(s, "text").update(name="words"), False, False),
    "field renamed with alias": (lambda s: field(s, "text").update(name="words", aliases=["text"]), True, False),
    "inner field added": (lambda s: field(s, "inner")["type"]["fields"].append({"name": "m", "type": "int"}), False, True),
    "inner field promoted": (lambda s: field(s, "inner")["type"]["fields"][0].update(type="long"), True, False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_judged_in_both_directions(name: str) -> None:
    """Each kind of change is allowed or refused as Avro's resolution, and the meaning of times, demand."""
    change, backward, forward = CHANGES[name]
    new = changed(change)
    assert (check(new, BASE) == []) is backward, check(new, BASE)
    assert (check(BASE, new) == []) is forward, check(BASE, new)


ALLOWED = [name for name, (_, backward, forward) in CHANGES.items() if backward or forward]


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_can_be_read(name: str) -> None:
    """The judgement holds for the library that reads: records of one side decode with the schema of the other."""
    change, backward, forward = CHANGES[name]
    new = changed(change)
    if backward:
        fastavro.schemaless_reader(io.BytesIO(_written(BASE)), parsed(BASE), parsed(new))
    if forward:
        fastavro.schemaless_reader(io.BytesIO(_written(new)), parsed(new), parsed(BASE))


def _written(schema: dict[str, Any]) -> bytes:
    value: dict[str, Any] = {"words": "a", "count": 1, "at": 0, "kind": "A", "strict": "A", "maybe": "m", "x": 1}
    value |= {"list": [1], "map": {"a": 1}, "inner": {"n": 1, "m": 2}, "again": {"n": 1, "m": 2}}
    value["text"] = b"a" if {"name": "text", "type": "bytes"} in schema["fields"] else "a"
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(schema), {f["name"]: value[f["name"]] for f in schema["fields"]})
    return out.getvalue()


def test_a_problem_names_its_path() -> None:
    """A problem deep inside says where it is."""
    new = changed(lambda s: field(s, "inner")["type"]["fields"][0].update(type="string"))
    assert check(new, BASE) == ["inner.n: int cannot be read as string"]


def test_recursive_schemas_of_others_end() -> None:
    """A comparison ends although a type holds itself."""
    tree: dict[str, Any] = {"type": "record", "name": "T", "fields": [{"name": "next", "type": ["null", "T"]}]}
    assert check(tree, deepcopy(tree)) == []


@given(st.sampled_from(sorted(SCHEMAS)), st.sampled_from(sorted(SCHEMAS)))
def test_a_schema_reads_itself_and_no_other(one: str, other: str) -> None:
    """Every schema of this build is compatible with itself and with no other."""
    assert (check(SCHEMAS[one], SCHEMAS[other]) == []) is (one == other)


# ---- registering ----


def test_registering_is_idempotent_and_keeps_ids(registry_type: Any) -> None:
    """The first run registers everything, the second changes nothing and gives the same ids."""
    registry = registry_type()
    first, second = register_all(registry), register_all(registry)
    assert [r.subject for r in first] == list(SCHEMAS)
    assert all(r.new for r in first)
    assert not any(r.new for r in second)
    assert [(r.subject, r.id) for r in first] == [(r.subject, r.id) for r in second]
    assert len(registry.entries) == len(SCHEMAS)


def older(name: str, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Return a type's schema as an older build had it."""
    schema = deepcopy(dict(EVENT_TYPES[name].schema))
    change(next(f["type"] for f in schema["fields"] if f["name"] == "data"))
    return schema


def test_an_incompatible_build_registers_nothing(registry_type: Any) -> None:
    """When one schema cannot read what its predecessor wrote, none is registered, and all problems are named."""
    registry = registry_type(
        older("order.paid", lambda data: field(data, "order_id").update(type="long")),
        older("newsletter.signed_up", lambda data: field(data, "email").update(type="bytes")),
    )
    with pytest.raises(Incompatible) as refused:
        register_all(registry)
    assert "hookline.orders.OrderPaid, version 1: data.order_id: long cannot be read as string" in refused.value.message
    assert len(registry.entries) == 2


def test_every_registered_version_must_be_readable(registry_type: Any) -> None:
    """A build that reads the last version but not the one before is refused: old records may still be there."""
    registry = registry_type(
        older("order.paid", lambda data: field(data, "order_id").update(type="long")), SCHEMAS["hookline.orders.OrderPaid"]
    )
    assert [p for p in problems(registry) if "version 1" in p]
    assert not [p for p in problems(registry) if "version 2" in p]


def test_what_running_builds_cannot_read_is_told(registry_type: Any) -> None:
    """A promotion is allowed, and the order of upgrading is told."""
    registry = registry_type(older("product.inventory_changed", lambda data: field(data, "delta").update(type="int")))
    assert problems(registry) == []
    assert reader_first(registry) == ["hookline.products.ProductInventoryChanged: data.delta: long cannot be read as int"]
    registration.register_all(registry)
    assert reader_first(registry) == []
