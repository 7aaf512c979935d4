"""docs/events.md, made from the catalogue: every event type, its fields and an example, every shared type once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hookline.schemas.catalogue import EVENT_TYPES, EventType
from hookline.schemas.files import event_fields, shared
from hookline.schemas.topics import CATEGORIES

_HEAD: Final = (
    "# Events",
    "",
    "The types of event, what they hold, and an example of each. Receivers get them as JSON:",
    '`{"id", "type", "timestamp", "store_id", "data"}`; publishers give the same `data`.',
    "How they lie on Kafka stands in [schemas.md](schemas.md).",
    "",
    "Money is a whole number of minor units (cents) with its ISO 4217 currency, never a fraction.",
    "Times are RFC 3339 in UTC, dates `YYYY-MM-DD`.",
    "A field with a default may be left out by publishers; receivers always get it.",
    "Types in *italics* stand under [shared types](#shared-types).",
    "More fields and new symbols may come at any time: ignore what you do not know. An unknown symbol reads as the default.",
    "",
    "This page is made from the code: `hookline events types --reference > docs/events.md`.",
    "",
)
_WIDTH: Final = 120
_LOGICAL: Final = {"timestamp-micros": "time", "date": "date"}
_NAMES: Final = {"string": "text", "long": "whole number", "int": "whole number (32 bits)", "boolean": "true or false"}


def document() -> str:
    """Return docs/events.md."""
    lines = [*_HEAD, "| category | type | what happened |", "|---|---|---|"]
    lines += [f"| {kind.category} | [{kind.name}](#{_anchor(kind.name)}) | {kind.description} |" for kind in EVENT_TYPES.values()]
    for category in CATEGORIES:
        lines += ["", f"## {category.capitalize()}", f"Topic `<prefix>.events.{category}`."]
        for kind in EVENT_TYPES.values():
            if kind.category == category:
                lines += _event(kind)
    lines += ["", "## Shared types"]
    for schema in sorted(shared().values(), key=lambda schema: str(schema["name"])):
        lines += _shared(schema)
    return "\n".join(lines) + "\n"


def _event(kind: EventType) -> Iterator[str]:
    yield from ("", f"### {kind.name}", f"{kind.description} Events of one `{kind.entity_path}` keep their order on Kafka.", "")
    yield from _table(event_fields(kind.category, kind.name))
    yield from ("", "```json", _json(kind.example, ""), "```")


def _shared(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"### {schema['name']}", str(schema["doc"]))
    if schema["type"] == "enum":
        yield f"One of {', '.join(f'`{symbol}`' for symbol in schema['symbols'])}; default `{schema['default']}`."
        return
    yield ""
    yield from _table(schema["fields"])


def _table(fields: list[dict[str, Any]]) -> Iterator[str]:
    yield from ("| field | holds | default | meaning |", "|---|---|---|---|")
    for field in fields:
        default = f"`{json.dumps(field['default'])}`" if "default" in field else ""
        yield f"| `{field['name']}` | {_holds(field['type'])} | {default} | {field.get('doc', '')} |"


def _holds(kind: Any) -> str:  # noqa: ANN401  # an Avro schema is JSON
    if isinstance(kind, list):
        return f"{_holds(next(branch for branch in kind if branch != 'null'))} or null"
    if isinstance(kind, str):
        return f"*[{_short(kind)}](#{_anchor(_short(kind))})*" if kind in shared() else _NAMES[kind]
    match kind["type"]:
        case "array":
            return f"list of {_holds(kind['items'])}"
        case "map":
            return f"object, each value a {_holds(kind['values'])}"
    return _LOGICAL[kind["logicalType"]] if "logicalType" in kind else _holds(kind["type"])


def _json(value: Any, indent: str) -> str:  # noqa: ANN401  # JSON
    """Return JSON that a person can read: what fits on one line stays on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        parts = [f"{deeper}{json.dumps(name)}: {_json(part, deeper)}" for name, part in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + _json(part, deeper) for part in value) + f"\n{indent}]"


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _anchor(heading: str) -> str:
    return heading.lower().replace(".", "")
