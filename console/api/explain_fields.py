"""The fields that a filter names, and the values that an event has there: why a filter said no, at a glance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from hookline.webhooks.filter_syntax import LOOPS, Loop, Use, read

MOST_FIELDS: Final = 20
_MOST_ITEMS: Final = 5
_SHOWN: Final = 300
ITEMS: Final = -1
"""Stands in a path for every item of a list."""
Path: TypeAlias = tuple[str | int, ...]
# A step down from a value: a name that is no call, or an index that is written out.
_STEP: Final = re.compile(r"\s*(?:\.\s*([A-Za-z_]\w*)(?!\w*\s*\()|\[\s*(?:(\d+)|\"([^\"\\]*)\"|'([^'\\]*)')\s*\])", re.ASCII)
_LOOP: Final = re.compile(rf"\s*\.\s*(?:{'|'.join(sorted(LOOPS))})\s*\(\s*([A-Za-z_]\w*)\s*,", re.ASCII)


@dataclass(frozen=True, slots=True)
class Named:
    """A field as a filter names it, and its value in one event as JSON, cut; None: the event does not have it."""

    path: str
    value: str | None


def named_fields(text: str, context: Mapping[str, Any]) -> list[Named]:
    """Return the fields that a filter names, each once, in the order of their naming, with their values; at most 20.

    `text` is a filter that compiles. Items of a list are told as `lines[].sku`, by the values of the first five.
    """
    paths = dict.fromkeys(_paths(text))
    return [Named(_written(path), _shown(context, path)) for path in list(paths)[:MOST_FIELDS]]


def _paths(text: str) -> Iterator[Path]:
    ranges: dict[int, Path] = {}
    for use in read(text).uses:
        path, end = _walk(text, use.position - 1 + len(use.name), _root(use, ranges))
        loop = _LOOP.match(text, end)
        if loop is not None:
            ranges[loop.start(1) + 1] = (*path, ITEMS)
        yield path


def _root(use: Use, ranges: Mapping[int, Path]) -> Path:
    """Return what a name stands for: itself, or the items of the list that its loop runs over."""
    loop: Loop | None = use.loop
    while loop is not None:
        if loop.variable == use.name:
            return ranges.get(loop.position, (use.name,))
        loop = loop.outer
    return (use.name,)


def _walk(text: str, at: int, path: Path) -> tuple[Path, int]:
    while (step := _STEP.match(text, at)) is not None:
        name, index, *quoted = step.groups()
        path = (*path, int(index) if index is not None else next(part for part in (name, *quoted) if part is not None))
        at = step.end()
    return path, at


def _written(path: Path) -> str:
    found = ""
    for part in path:
        found += "[]" if part == ITEMS else f"[{part}]" if isinstance(part, int) else f".{part}" if found else part
    return found


def _shown(context: Mapping[str, Any], path: Path) -> str | None:
    found = list(_values(context, path))
    if not found:
        return None
    value = found[:_MOST_ITEMS] if ITEMS in path else found[0]
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _values(value: Any, path: Path) -> Iterator[Any]:  # noqa: ANN401  # JSON
    if not path:
        yield value
    else:
        for inner in _below(value, path[0]):
            yield from _values(inner, path[1:])


def _below(value: Any, step: str | int) -> list[Any]:  # noqa: ANN401  # JSON
    """Return what lies one step down: nothing, one value, or every item."""
    if isinstance(value, Mapping):
        return [value[step]] if step in value else []
    if not isinstance(value, list) or not isinstance(step, int):
        return []
    return value if step == ITEMS else value[step : step + 1]
