"""JSON Schema (draft 7) of what receivers get, made from the Avro schemas: every shared type once, every event type's body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from hookline.schemas.catalogue import EventType
from hookline.schemas.files import event_fields, shared

Schema: TypeAlias = dict[str, Any]

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "string", "format": "date-time"}
_LOGICAL: Final[Mapping[str, Schema]] = {"timestamp-micros": _TIME, "date": {"type": "string", "format": "date"}}
_PRIMITIVES: Final[Mapping[str, Schema]] = {
    "string": _TEXT,
    "int": {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number"},
    "double": {"type": "number"},
    "boolean": {"type": "boolean"},
}


def shared_types(prefix: str) -> dict[str, Schema]:
    """Return the types that several events use, by short name; `prefix` and such a name make a `$ref`."""
    return {str(schema["name"]): _named(schema, prefix) for schema in shared().values()}


def body_schema(kind: EventType, prefix: str) -> Schema:
    """Return the schema of an event's body as receivers get it; it refers to `shared_types` of the same prefix.

    Every field is there, also one that a publisher may leave out. Fields and symbols that are not named here may come.
    """
    fields = {
        "id": {**_TEXT, "description": "the event's id, unique within the store"},
        "type": {"type": "string", "const": kind.name},
        "timestamp": {**_TIME, "description": "when it happened, by the store's clock"},
        "store_id": _TEXT,
        "data": _object(event_fields(kind.category, kind.name), prefix),
    }
    return {"type": "object", "description": kind.description, "properties": fields, "required": list(fields)}


def _named(schema: Mapping[str, Any], prefix: str) -> Schema:
    text = {"description": str(schema["doc"])}
    if schema["type"] == "enum":
        # Open, as the events are: a receiver that validates must take a symbol that came later.
        return {**text, "type": "string", "anyOf": [{"enum": list(schema["symbols"])}, _TEXT]}
    return {**text, **_object(schema["fields"], prefix)}


def _object(fields: Iterable[Mapping[str, Any]], prefix: str) -> Schema:
    properties = {str(field["name"]): _described(_shape(field["type"], prefix), field.get("doc", "")) for field in fields}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _described(shape: Schema, text: str) -> Schema:
    if not text:
        return shape
    return {"allOf": [shape], "description": text} if "$ref" in shape else {**shape, "description": text}


def _shape(kind: Any, prefix: str) -> Schema:  # noqa: ANN401  # an Avro schema is JSON
    if isinstance(kind, list):
        return {"oneOf": [{"type": "null"}, _shape(next(branch for branch in kind if branch != "null"), prefix)]}
    if isinstance(kind, str):
        return {"$ref": prefix + kind.rpartition(".")[2]} if kind in shared() else dict(_PRIMITIVES[kind])
    match kind["type"]:
        case "array":
            return {"type": "array", "items": _shape(kind["items"], prefix)}
        case "map":
            return {"type": "object", "additionalProperties": _shape(kind["values"], prefix)}
    return dict(_LOGICAL[kind["logicalType"]]) if "logicalType" in kind else _shape(kind["type"], prefix)
