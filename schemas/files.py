"""The schema files: one per event type and per shared type, put together so that every schema stands alone.

`avro/common/` holds each shared type once (`Money`, `Line`, `Address` …); a schema names it in full, and its
definition takes the place of the first mention. What is registered needs no reference to any other schema.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final, TypeAlias

from hookline.schemas.names import full_name

Schema: TypeAlias = dict[str, Any]

_FOLDER: Final = resources.files("hookline.schemas")
_SUFFIX: Final = ".avsc"


def event_schema(category: str, name: str) -> Schema:
    """Return the whole schema of an event type."""
    return whole(_read(_FOLDER / "avro" / category / f"{name}{_SUFFIX}"), shared())


def event_fields(category: str, name: str) -> list[Schema]:
    """Return the fields of an event type's data as its file has them: shared types by name."""
    fields = _read(_FOLDER / "avro" / category / f"{name}{_SUFFIX}")["fields"]
    found: list[Schema] = next(field["type"]["fields"] for field in fields if field["name"] == "data")
    return found


def internal_schemas() -> list[Schema]:
    """Return the schemas of what Hookline's processes hand to each other."""
    return _all("internal")


def example(name: str) -> Schema:
    """Return the example of an event type."""
    return _read(_FOLDER / "examples" / f"{name}.json")


@cache
def shared() -> dict[str, Schema]:
    """Return the shared types by full name."""
    return {full_name(schema): schema for schema in _all("common")}


def whole(schema: Schema, types: dict[str, Schema]) -> Schema:
    """Return a schema with the definition of each shared type in the place of its first mention."""
    defined: set[str] = set()

    def filled(part: Any) -> Any:  # noqa: ANN401  # JSON
        if isinstance(part, list):
            return [filled(branch) for branch in part]
        if isinstance(part, dict):
            return {key: inside(key, value) for key, value in part.items()}
        if part in types and part not in defined:
            defined.add(part)
            return filled(types[part])
        return part

    def inside(key: str, value: Any) -> Any:  # noqa: ANN401  # JSON
        if key == "fields":
            return [{**field, "type": filled(field["type"])} for field in value]
        return filled(value) if key in {"type", "items", "values"} else value

    found: Schema = filled(schema)
    return found


def _all(folder: str) -> list[Schema]:
    entries = sorted((_FOLDER / "avro" / folder).iterdir(), key=lambda entry: entry.name)
    return [_read(entry) for entry in entries if entry.name.endswith(_SUFFIX)]


def _read(entry: Traversable) -> Schema:
    found: Schema = json.loads(entry.read_text("utf-8"))
    return found
