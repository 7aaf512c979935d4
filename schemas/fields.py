"""The fields of an Avro record as a list for people: where each stands, what it holds, whether it may be left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_LOGICAL: Final = {"timestamp-micros": "time, RFC 3339", "date": "date"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: `path` with `[]` behind lists, `holds` in words, `optional` when publishers may leave it out."""

    path: str
    holds: str
    meaning: str
    optional: bool


def fields_of(record: Mapping[str, Any]) -> Iterator[Field]:
    """Yield every field of a record in their order, each before those inside it."""
    yield from _fields(record, "", {})


def _fields(record: Mapping[str, Any], path: str, named: dict[str, Any]) -> Iterator[Field]:
    for field in record["fields"]:
        place = f"{path}{field['name']}"
        inner, suffix, holds = _content(field["type"], named)
        meaning = field.get("doc") or (inner or {}).get("doc", "")
        yield Field(path=place + suffix, holds=holds, meaning=meaning, optional="default" in field)
        if inner is not None:
            yield from _fields(inner, f"{place}{suffix}.", named)


def _content(schema: Any, named: dict[str, Any]) -> tuple[Mapping[str, Any] | None, str, str]:  # noqa: ANN401  # an Avro schema is JSON
    """Return (record inside or None, [] for a list, what a field of this schema holds)."""
    schema = named.get(schema, schema) if isinstance(schema, str) else schema
    if isinstance(schema, str):
        return None, "", schema
    if isinstance(schema, list):
        inner, suffix, holds = _content(next(branch for branch in schema if branch != "null"), named)
        return inner, suffix, f"{holds} or null"
    if "name" in schema:
        named[f"{schema['namespace']}.{schema['name']}"] = schema
    return _complex(schema, named)


def _complex(schema: Mapping[str, Any], named: dict[str, Any]) -> tuple[Mapping[str, Any] | None, str, str]:
    match schema["type"]:
        case "record":
            return schema, "", "object"
        case "enum":
            return None, "", f"one of {', '.join(schema['symbols'])}"
        case "array":
            inner, suffix, holds = _content(schema["items"], named)
            return inner, f"[]{suffix}", holds
        case "map":
            return None, "", f"object of {_content(schema['values'], named)[2]}"
    return None, "", _LOGICAL.get(str(schema.get("logicalType")), str(schema["type"]))
