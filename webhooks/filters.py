"""Filters in CEL: compiled when saved, refused with the parser's words and the position, asked per event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import cel

from hookline.kernel.errors import FilterError

MAX_BYTES: Final = 2_048
FIELDS: Final = ("type", "store_id", "data")
_FUNCTIONS: Final = frozenset(
    [
        "size",
        "has",
        "all",
        "exists",
        "exists_one",
        "map",
        "filter",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "int",
        "uint",
        "double",
        "string",
        "bool",
        "bytes",
        "type",
        "duration",
        "timestamp",
        "dyn",
        "getFullYear",
        "getMonth",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getHours",
        "getMinutes",
        "getSeconds",
        "getMilliseconds",
        "min",
        "max",
    ]
)
_POSITION: Final = re.compile(r"<input>:(\d+):(\d+): *([^\n]*)")
# The evaluator is a foreign library that may raise any of these on data a filter did not expect.
_RUN_TIME: Final = (ValueError, TypeError, KeyError, RuntimeError, IndexError, OverflowError, AttributeError, ZeroDivisionError)


class Filter:
    """A compiled filter; thread-safe."""

    def __init__(self, text: str, program: Any) -> None:  # noqa: ANN401  # the library has no types
        self.text = text
        self._program = program
        self._names = tuple(name for name in program.variables() if name in FIELDS)

    def matches(self, context: Mapping[str, Any]) -> bool:
        """Return whether an event is wanted; raise `FilterError` when the filter fails on it or says neither yes nor no."""
        try:
            found = self._program.execute({name: context[name] for name in self._names})
        except _RUN_TIME as error:
            raise FilterError(f"The filter failed on this event: {type(error).__name__}: {str(error)[:200]}") from error
        if not isinstance(found, bool):
            raise FilterError(f"The filter gave {type(found).__name__} instead of true or false")
        return found


@lru_cache(maxsize=10_000)
def compile_filter(text: str) -> Filter:
    """Return the compiled filter; raise `FilterError` with what is wrong and where."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise FilterError(f"The filter is longer than {MAX_BYTES} bytes")
    if not text.strip() or "\0" in text:
        raise FilterError("The filter is empty: leave it out to get every event", position=1)
    try:
        program = cel.compile(text)
    except ValueError as error:
        raise _refused(text, str(error)) from error
    _known_names(text, program)
    return Filter(text, program)


def _refused(text: str, words: str) -> FilterError:
    """Return the parser's complaint with its column, counted over line breaks."""
    found = _POSITION.search(words)
    if found is None:
        return FilterError(f"The filter is no CEL: {words[:200]}")
    line, column, said = int(found[1]), int(found[2]), found[3]
    before = sum(len(part) + 1 for part in text.split("\n")[: line - 1])
    position = before + column
    return FilterError(f"The filter is no CEL at position {position}: {said.strip()[:200]}", position=position)


def _known_names(text: str, program: Any) -> None:  # noqa: ANN401  # the library has no types
    for name in program.variables():
        if name not in FIELDS and not _bound(text, name):
            raise FilterError(f"The filter uses {name!r}, which is not there: use {', '.join(FIELDS)}", position=_column(text, name))
    for name in program.functions():
        if name[:1].isalpha() and name not in _FUNCTIONS:
            raise FilterError(f"The filter calls {name!r}, which is no function of CEL", position=_column(text, name))


def _bound(text: str, name: str) -> bool:
    """Tell whether a name is the variable of a macro such as `data.lines.exists(line, line.quantity > 2)`."""
    return re.search(rf"\.\s*(?:all|exists|exists_one|map|filter)\(\s*{re.escape(name)}\s*,", text) is not None


def _column(text: str, name: str) -> int:
    found = re.search(rf"(?<![\w.]){re.escape(name)}\b", text) or re.search(re.escape(name), text)
    return found.start() + 1 if found else 0
