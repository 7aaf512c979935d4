"""Backward compatibility: whether a schema reads what an older one wrote, by Avro 1.12's "Schema Resolution"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from hookline.schemas.names import full_name

Schema: TypeAlias = Any
Named: TypeAlias = dict[str, Schema]

_PROMOTIONS: Final[Mapping[str, frozenset[str]]] = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}
_NAMED: Final = frozenset({"record", "enum", "fixed"})
_COMPLEX: Final = _NAMED | {"array", "map"}


def check(new: Schema, old: Schema) -> list[str]:
    """Return what keeps `new` from reading records of `old`, each with its path; an empty list means compatible."""
    return _Comparison(_names(new), _names(old)).problems(new, old, "")


def _names(schema: Schema, found: Named | None = None) -> Named:
    """Return every named type of a schema by full name."""
    found = {} if found is None else found
    if isinstance(schema, list):
        inner: list[Schema] = schema
    elif isinstance(schema, dict):
        if schema["type"] in _NAMED:
            found[full_name(schema)] = schema
        inner = [field["type"] for field in schema.get("fields", ())]
        inner += [schema[part] for part in ("items", "values", "type") if isinstance(schema.get(part), dict | list)]
    else:
        inner = []
    for part in inner:
        _names(part, found)
    return found


class _Comparison:
    """One comparison; named types of both sides are looked up, pairs under way are taken as compatible."""

    def __init__(self, new: Named, old: Named) -> None:
        self._new = new
        self._old = old

    def problems(self, new: Schema, old: Schema, path: str) -> list[str]:
        new, old = self._resolved(new, self._new), self._resolved(old, self._old)
        if isinstance(old, list):
            return [problem for branch in old for problem in self.problems(new, branch, path)]
        if isinstance(new, list):
            fits = any(not self.problems(branch, old, path) for branch in new)
            return [] if fits else [f"{path or 'the record'}: {_kind(old)} is no longer one of {', '.join(map(_kind, new))}"]
        return self._plain(new, old, path)

    def _resolved(self, schema: Schema, named: Named) -> Schema:
        if isinstance(schema, str):
            return named.get(schema, schema)
        if isinstance(schema, dict) and schema["type"] not in _COMPLEX:
            return self._resolved(schema["type"], named)
        return schema

    def _plain(self, new: Schema, old: Schema, path: str) -> list[str]:
        kind, was = _kind(new), _kind(old)
        if kind != was:
            return [] if kind in _PROMOTIONS.get(was, frozenset()) else [f"{path or 'the record'}: {was} became {kind}"]
        match kind:
            case "record":
                return self._record(new, old, path)
            case "enum":
                return _enum(new, old, path)
            case "array":
                return self.problems(new["items"], old["items"], f"{path}[]")
            case "map":
                return self.problems(new["values"], old["values"], f"{path}{{}}")
            case _:
                return []

    def _record(self, new: Schema, old: Schema, path: str) -> list[str]:
        if new["name"] != old["name"] and full_name(old) not in new.get("aliases", ()):
            return [f"{path or 'the record'}: {full_name(old)} was renamed to {full_name(new)} without an alias"]
        before = {field["name"]: field for field in old["fields"]}
        found: list[str] = []
        for field in new["fields"]:
            at = f"{path}.{field['name']}" if path else field["name"]
            known = next((before[name] for name in (field["name"], *field.get("aliases", ())) if name in before), None)
            if known is not None:
                found += self.problems(field["type"], known["type"], at)
            elif "default" not in field:
                found.append(f"{at}: a new field needs a default")
        return found


def _enum(new: Schema, old: Schema, path: str) -> list[str]:
    gone = [symbol for symbol in old["symbols"] if symbol not in new["symbols"]]
    return [f"{path}: the symbols {', '.join(gone)} are gone and there is no default"] if gone and "default" not in new else []


def _kind(schema: Schema) -> str:
    if isinstance(schema, list):
        return "union"
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)
