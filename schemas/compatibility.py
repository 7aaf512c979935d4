"""Whether a schema reads what another one wrote, by Avro 1.12's "Schema Resolution".

`check(new, old)` tells whether new readers read old records (BACKWARD); with the two exchanged, whether old readers
read new records (FORWARD), as dispatchers must that are still running when producers are upgraded.
"""

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
_ROOT: Final = "the record"


def check(reader: Schema, writer: Schema) -> list[str]:
    """Return what keeps `reader` from reading records of `writer`, each with its path; an empty list means compatible."""
    return _Comparison(_names(reader), _names(writer)).problems(reader, writer, "")


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
    """One comparison; named types of both sides are looked up, and a pair of records is compared once."""

    def __init__(self, reader: Named, writer: Named) -> None:
        self._reader = reader
        self._writer = writer
        self._compared: set[tuple[str, str]] = set()

    def problems(self, reader: Schema, writer: Schema, path: str) -> list[str]:
        reader, writer = _resolved(reader, self._reader), _resolved(writer, self._writer)
        if isinstance(writer, list):
            return [problem for branch in writer for problem in self.problems(reader, branch, path)]
        if isinstance(reader, list):
            return self._one_of(reader, writer, path)
        return self._plain(reader, writer, path)

    def _one_of(self, branches: list[Schema], writer: Schema, path: str) -> list[str]:
        same = [branch for branch in branches if _called(_resolved(branch, self._reader)) == _called(writer)]
        if same:
            return self.problems(same[0], writer, path)
        fits = any(not self.problems(branch, writer, path) for branch in branches)
        shown = ", ".join(_kind(_resolved(branch, self._reader)) for branch in branches)
        return [] if fits else [f"{path or _ROOT}: {_kind(writer)} cannot be read as {shown}"]

    def _plain(self, reader: Schema, writer: Schema, path: str) -> list[str]:
        kind, was = _kind(reader), _kind(writer)
        if kind != was and kind not in _PROMOTIONS.get(was, frozenset()):
            return [f"{path or _ROOT}: {was} cannot be read as {kind}"]
        match kind:
            case "record":
                return self._record(reader, writer, path)
            case "enum":
                return _enum(reader, writer, path)
            case "array":
                return self.problems(reader["items"], writer["items"], f"{path}[]")
            case "map":
                return self.problems(reader["values"], writer["values"], f"{path}{{}}")
            case _:
                return _meaning(reader, writer, path)

    def _record(self, reader: Schema, writer: Schema, path: str) -> list[str]:
        pair = (full_name(reader), full_name(writer))
        if reader["name"] != writer["name"] and pair[1] not in reader.get("aliases", ()):
            return [f"{path or _ROOT}: {pair[1]} is called {pair[0]} without an alias"]
        if pair in self._compared:
            return []
        self._compared.add(pair)
        written = {field["name"]: field for field in writer["fields"]}
        found: list[str] = []
        for field in reader["fields"]:
            at = f"{path}.{field['name']}" if path else field["name"]
            known = next((written[name] for name in (field["name"], *field.get("aliases", ())) if name in written), None)
            if known is not None:
                found += self.problems(field["type"], known["type"], at)
            elif "default" not in field:
                found.append(f"{at}: a field that the other does not write needs a default")
        return found


def _resolved(schema: Schema, named: Named) -> Schema:
    """Return the definition behind a name, and behind `{"type": …}` around a type."""
    if isinstance(schema, str):
        return named.get(schema, schema)
    if isinstance(schema, dict) and schema["type"] not in _COMPLEX and "logicalType" not in schema:
        return _resolved(schema["type"], named)
    return schema


def _enum(reader: Schema, writer: Schema, path: str) -> list[str]:
    unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
    if not unknown or "default" in reader:
        return []
    return [f"{path}: the symbols {', '.join(unknown)} are unknown and there is no default"]


def _meaning(reader: Schema, writer: Schema, path: str) -> list[str]:
    """Compare logical types and sizes: Avro reads microseconds as a plain number, but nobody means that."""
    now, was = (_sense(schema) for schema in (reader, writer))
    return [] if now == was else [f"{path or _ROOT}: {was} became {now}"]


def _sense(schema: Schema) -> str:
    if not isinstance(schema, dict):
        return "a plain value"
    return str(schema.get("logicalType") or schema.get("size") or "a plain value")


def _called(schema: Schema) -> str:
    """Return what tells a union's branches apart: the name of a named type, the kind of others."""
    return full_name(schema) if isinstance(schema, dict) and schema["type"] in _NAMED else _kind(schema)


def _kind(schema: Schema) -> str:
    if isinstance(schema, list):
        return "union"
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)
