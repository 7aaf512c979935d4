"""What our schemas must not hold, beyond what Avro allows.

Recursive types and `array<null>` let a few hostile bytes stall or crash fastavro; floats lose cents; a union of two
real types makes a field's type depend on its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from hookline.schemas.names import full_name

_MONEY: Final = re.compile(r"amount|price|total|tax|discount|cost|fee", re.IGNORECASE)
_PRIMITIVES: Final = frozenset({"string", "int", "long", "float", "double", "boolean", "bytes", "null"})
_LOGICAL: Final = {"timestamp-micros": "long", "date": "int"}
_NULLABLE: Final = 2


def lint(schema: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a record's schema, each with its path; an empty list means nothing."""
    return _Lint().walk(schema, str(schema.get("name", "")), ())


class _Lint:
    def __init__(self) -> None:
        self._known: set[str] = set()

    def walk(self, schema: Any, path: str, inside: tuple[str, ...]) -> list[str]:  # noqa: ANN401  # JSON
        if isinstance(schema, list):
            return self._union(schema, path, inside)
        if isinstance(schema, str):
            return self._reference(schema, path, inside)
        kind = schema["type"]
        match kind:
            case "record":
                return self._record(schema, path, inside)
            case "enum":
                self._known.add(full_name(schema))
                return []
            case "array" | "map":
                items = schema["items" if kind == "array" else "values"]
                empty = [f"{path}: an array of null lets 10 bytes ask for 2^63 items"] if items == "null" else []
                return empty + self.walk(items, f"{path}[]", inside)
            case _:
                return _logical(schema, path) + self.walk(kind, path, inside)

    def _reference(self, name: str, path: str, inside: tuple[str, ...]) -> list[str]:
        if name in inside:
            return [f"{path}: {name} holds itself: recursive types are not allowed"]
        return [] if name in _PRIMITIVES or name in self._known else [f"{path}: {name} is not defined"]

    def _union(self, branches: list[Any], path: str, inside: tuple[str, ...]) -> list[str]:
        wrong = [] if len(branches) == _NULLABLE and branches[0] == "null" else [f"{path}: a union must be null and one other type"]
        return wrong + [problem for branch in branches for problem in self.walk(branch, path, inside)]

    def _record(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> list[str]:
        name = full_name(schema)
        found = [] if schema.get("doc") else [f"{path}: the record has no doc"]
        for field in schema["fields"]:
            at = f"{path}.{field['name']}"
            if _MONEY.search(field["name"]) and _plain(field["type"]) in {"float", "double"}:
                found.append(f"{at}: money is minor units in a long, never {_plain(field['type'])}")
            if isinstance(field["type"], list) and field.get("default", ...) is not None:
                found.append(f"{at}: an optional field needs the default null")
            found += self.walk(field["type"], at, (*inside, name))
        self._known.add(name)
        return found


def _plain(kind: Any) -> str:  # noqa: ANN401  # JSON
    if isinstance(kind, list):
        return _plain(next((branch for branch in kind if branch != "null"), "null"))
    return str(kind["type"]) if isinstance(kind, dict) else str(kind)


def _logical(schema: Mapping[str, Any], path: str) -> list[str]:
    name = schema.get("logicalType")
    return [] if _LOGICAL.get(str(name)) == schema["type"] else [f"{path}: the logical type {name} of {schema['type']} is not used here"]
