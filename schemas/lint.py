"""What our schemas must not hold, beyond what Avro allows.

Recursive types and lists of nothing let a few hostile bytes stall or crash fastavro; floats lose cents; a union of
two real types makes a field's type depend on its value.
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
    return hazards(schema) + _Lint().walk(schema, str(schema.get("name", "")))


def hazards(schema: Any) -> list[str]:  # noqa: ANN401  # an Avro schema is JSON
    """Return what in a schema, anyone's, would let hostile bytes stall or crash the decoder, each with its path."""
    return _Hazards().walk(schema, str(schema.get("name", "")) if isinstance(schema, dict) else "", ())


class _Hazards:
    """Types that hold themselves, and lists whose items take no bytes: ten bytes would ask for 2^63 of them.

    Names are compared without their namespace, which Avro lets a type inherit: better one schema too many refused.
    """

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}

    def walk(self, schema: Any, path: str, inside: tuple[str, ...]) -> list[str]:  # noqa: ANN401  # JSON
        if isinstance(schema, list):
            return [problem for branch in schema for problem in self.walk(branch, path, inside)]
        if isinstance(schema, str):
            return [f"{path}: {schema} holds itself: recursive types are not allowed"] if _short(schema) in inside else []
        if "name" in schema:
            self._named[_short(schema["name"])] = schema
        return self._parts(schema, path, inside)

    def _parts(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> list[str]:
        match schema["type"]:
            case "record":
                within = (*inside, _short(schema["name"]))
                fields = ((field["type"], f"{path}.{field['name']}") for field in schema["fields"])
                return [problem for kind, at in fields for problem in self.walk(kind, at, within)]
            case "array":
                empty = [f"{path}: a list of what takes no bytes may claim any length"] if self._empty(schema["items"]) else []
                return [*empty, *self.walk(schema["items"], f"{path}[]", inside)]
            case "map":
                return self.walk(schema["values"], f"{path}{{}}", inside)
            case kind:
                return self.walk(kind, path, inside) if isinstance(kind, dict | list) else []

    def _empty(self, schema: Any) -> bool:  # noqa: ANN401  # JSON
        """Tell whether a value of the type may take no bytes at all."""
        schema = self._named.get(_short(schema), schema) if isinstance(schema, str) else schema
        if isinstance(schema, dict):
            if schema["type"] == "record":
                return all(self._empty(field["type"]) for field in schema["fields"])
            return not schema["size"] if schema["type"] == "fixed" else self._empty(schema["type"])
        return bool(schema == "null")


class _Lint:
    def __init__(self) -> None:
        self._known: set[str] = set()

    def walk(self, schema: Any, path: str) -> list[str]:  # noqa: ANN401  # JSON
        if isinstance(schema, list):
            return self._union(schema, path)
        return self._reference(schema, path) if isinstance(schema, str) else self._parts(schema, path)

    def _parts(self, schema: Mapping[str, Any], path: str) -> list[str]:
        match schema["type"]:
            case "record":
                return self._record(schema, path)
            case "enum":
                return self._enum(schema, path)
            case "array":
                return self.walk(schema["items"], f"{path}[]")
            case "map":
                return self.walk(schema["values"], f"{path}{{}}")
            case kind:
                return _logical(schema, path) + self.walk(kind, path)

    def _reference(self, name: str, path: str) -> list[str]:
        return [] if name in _PRIMITIVES or name in self._known else [f"{path}: {name} is not defined"]

    def _union(self, branches: list[Any], path: str) -> list[str]:
        wrong = [] if len(branches) == _NULLABLE and branches[0] == "null" else [f"{path}: a union must be null and one other type"]
        return wrong + [problem for branch in branches for problem in self.walk(branch, path)]

    def _enum(self, schema: Mapping[str, Any], path: str) -> list[str]:
        self._known.add(full_name(schema))
        wrong = schema.get("default") not in schema["symbols"]
        return [f"{path}: the enum {schema['name']} needs a default, or old readers break on new symbols"] if wrong else []

    def _record(self, schema: Mapping[str, Any], path: str) -> list[str]:
        found = [] if schema.get("doc") else [f"{path}: the record has no doc"]
        if "namespace" not in schema:
            found.append(f"{path}: the record has no namespace")
        for field in schema["fields"]:
            at = f"{path}.{field['name']}"
            if _MONEY.search(field["name"]) and _plain(field["type"]) in {"float", "double"}:
                found.append(f"{at}: money is minor units in a long, never {_plain(field['type'])}")
            if isinstance(field["type"], list) and field.get("default", ...) is not None:
                found.append(f"{at}: an optional field needs the default null")
            found += self.walk(field["type"], at)
        self._known.add(full_name(schema))
        return found


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _plain(kind: Any) -> str:  # noqa: ANN401  # JSON
    if isinstance(kind, list):
        return _plain(next((branch for branch in kind if branch != "null"), "null"))
    return str(kind["type"]) if isinstance(kind, dict) else str(kind)


def _logical(schema: Mapping[str, Any], path: str) -> list[str]:
    name = schema.get("logicalType")
    return [] if _LOGICAL.get(str(name)) == schema["type"] else [f"{path}: the logical type {name} of {schema['type']} is not used here"]
