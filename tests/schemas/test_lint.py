"""The lint: what our schemas must not hold."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.lint import hazards, lint

pytestmark = pytest.mark.unit


def record(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a record's schema that is fine but for its fields."""
    return {"type": "record", "name": "R", "namespace": "t", "doc": "A record.", "fields": list(fields), **more}


def field(kind: Any, name: str = "f", **more: Any) -> dict[str, Any]:
    """Return a field."""
    return {"name": name, "type": kind, **more}


BAD = {
    "holds itself": record(field(["null", "t.R"], default=None)),
    "holds itself:deep": record(field(record(field({"type": "array", "items": "t.R"}), name="Inner"))),
    "holds itself:inherited namespace": record(
        field({"type": "record", "name": "In", "doc": "x", "namespace": "t", "fields": [field(["null", "In"], default=None)]})
    ),
    "any length": record(field({"type": "array", "items": "null"})),
    "any length:null spelt out": record(field({"type": "array", "items": {"type": "null"}})),
    "any length:empty record": record(field({"type": "array", "items": {**record(), "name": "Empty"}})),
    "any length:record of nulls": record(field({"type": "array", "items": {**record(field("null")), "name": "Nulls"}})),
    "any length:named before": record(
        field({**record(), "name": "Empty", "namespace": "t"}, name="a"), field({"type": "array", "items": "t.Empty"}, name="b")
    ),
    "any length:fixed of no bytes": record(field({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}})),
    "null and one other": record(field(["null", "string", "long"], default=None)),
    "null and one other:order": record(field(["string", "null"], default="")),
    "default null": record(field(["null", "string"])),
    "never double": record(field("double", name="total_amount")),
    "never float": record(field(["null", "float"], name="price", default=None)),
    "no doc": record(field("string"), doc=""),
    "no namespace": {"type": "record", "name": "R", "doc": "x", "fields": [field("string")]},
    "needs a default": record(field({"type": "enum", "name": "E", "namespace": "t", "symbols": ["A"]})),
    "not defined": record(field("t.Missing")),
    "is not used here": record(field({"type": "long", "logicalType": "timestamp-millis"})),
    "is not used here:decimal": record(field({"type": "bytes", "logicalType": "decimal", "precision": 4})),
}


@pytest.mark.parametrize("subject", SCHEMAS)
def test_our_schemas_are_clean(subject: str) -> None:
    """No schema of this build has anything to complain of."""
    assert lint(SCHEMAS[subject]) == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_schema_is_named_with_its_path(name: str) -> None:
    """Each thing that is not allowed is found, and the message begins with where it is."""
    said = name.partition(":")[0]
    found = [problem for problem in lint(BAD[name]) if said in problem]
    assert found, lint(BAD[name])
    assert all(problem.startswith("R") for problem in found)


@pytest.mark.parametrize("name", [n for n in BAD if n.startswith(("holds itself", "any length"))])
def test_what_stalls_the_decoder_is_a_hazard_in_anyones_schema(name: str) -> None:
    """Recursion and lists of nothing are found without the rules of style, which others need not follow."""
    assert hazards(BAD[name])


@pytest.mark.parametrize(
    "schema",
    [
        record(field({"type": "map", "values": "null"})),
        record(field({"type": "array", "items": ["null", "string"]})),
        record(field("double"), field(["string", "long", "null"], name="g"), doc=""),
        {"type": "array", "items": "string"},
        "string",
    ],
)
def test_odd_but_harmless_schemas_are_no_hazard(schema: Any) -> None:
    """What costs a byte per item, and mere taste, is no hazard."""
    assert hazards(schema) == []
