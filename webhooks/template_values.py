"""The value of a placeholder: a field of the event, taken from it directly, or CEL over no more than the fields that it names.

The CEL library copies what it is given, and again what an expression mentions: of a whole order that takes longer than
all the rest of a delivery. So each field that an expression names is handed over by itself, under a name of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import cel

from hookline.kernel.errors import FilterError, TemplateError
from hookline.webhooks.filter_cost import BUDGET, MOST_VALUES, size_of
from hookline.webhooks.filter_failures import why
from hookline.webhooks.filter_syntax import LOOPS, Loop, Syntax, Use
from hookline.webhooks.filters import RUN_TIME, Program, compile_program
from hookline.webhooks.template_formats import MissingValue

FIELDS: Final = ("id", "type", "timestamp", "store_id", "data")
MOST_MADE: Final = 1_048_576
"""Characters that formats may make in all for one event: some milliseconds, for as long nothing else is sent."""
Path: TypeAlias = tuple[str | int, ...]
# A step down from a value: a name that is no call, or an index that is written out.
_STEP: Final = re.compile(r"\s*(?:\.\s*([A-Za-z_]\w*)(?!\w*\s*\()|\[\s*(?:(\d{1,9})|\"([^\"\\]*)\"|'([^'\\]*)')\s*\])", re.ASCII)
_LOOP: Final = re.compile(rf"\s*\.\s*(?:{'|'.join(sorted(LOOPS))})\s*\(\s*([A-Za-z_]\w*)\s*,", re.ASCII)
_SIZE: Final = re.compile(r"\s*\.\s*size\s*\(\s*\)")
_NO_LIST: Final[Mapping[str | int, Any]] = {}
_SHORT: Final = 512
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


class Subject:
    """An event that a template is filled from, as its JSON says it, and what CEL and formats may still cost on it."""

    __slots__ = ("event", "known", "room", "units")

    def __init__(self, event: Mapping[str, Any]) -> None:
        self.event = event
        self.units = BUDGET
        self.room = MOST_MADE
        self.known: dict[str, Any] = {}  # values of placeholders that a template has more than once

    def spend(self, program: Program, values: Mapping[str, Any]) -> None:
        """Count what a program may cost with these values; raise `TemplateError` when it is too much for one event."""
        size = size_of(values)
        self.units -= program.cost.of(size)
        if size.values > MOST_VALUES or self.units < 0:
            raise TemplateError(f"the event is too large for what is asked of it: {size.values:,} values")

    def made(self, characters: int) -> None:
        """Count characters that formats and texts have made; raise `TemplateError` when they are too many for one event."""
        self.room -= characters
        if self.room < 0:
            raise TemplateError(f"the template makes more than {MOST_MADE:,} characters of this event, those that are cut away included")


class Field:
    """A field of the event, such as `data.order.number`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, subject: Subject) -> Any:  # noqa: ANN401  # JSON
        """Return its value; raise `MissingValue`."""
        return _taken(subject.event, self._path)


@dataclass(frozen=True, slots=True)
class _Part:
    """A field that an expression names: the name it is handed over under.

    `keys` are those that a loop needs of each item, None: all. `counted`: only its size is asked for.
    """

    name: str
    path: Path
    keys: tuple[str, ...] | None
    counted: bool

    def of(self, event: Mapping[str, Any]) -> Any:  # noqa: ANN401
        found = _taken(event, self.path)
        if self.counted and isinstance(found, str | list | dict):
            return len(found)
        if self.counted:
            raise TemplateError(f"{_written(self.path)} has no size")
        if self.keys is None or not isinstance(found, list):
            return found
        return [{key: item[key] for key in self.keys if key in item} if isinstance(item, dict) else item for item in found]


class Expression:
    """CEL over an event. `has(…)` asks about fields that may be absent, so it alone is asked with the event whole."""

    def __init__(self, text: str, made: Program) -> None:
        self._whole = made
        self._names = sorted({use.name for use in made.syntax.uses if use.name in FIELDS})
        self._fast = _by_parts(text, made)

    def of(self, subject: Subject) -> Any:  # noqa: ANN401
        """Return what it gives; raise `TemplateError`."""
        if self._fast is None:
            return _executed(self._whole, {name: subject.event[name] for name in self._names}, subject)
        program, parts = self._fast
        try:
            values = {part.name: part.of(subject.event) for part in parts}
        except MissingValue:  # it may not matter: the other side of ?: or || decides
            return _executed(self._whole, {name: subject.event[name] for name in self._names}, subject)
        return _executed(program, values, subject)


def compile_value(text: str) -> Field | Expression:
    """Return the compiled value of a placeholder; raise `TemplateError` with the position in it."""
    try:
        made = compile_program(text, FIELDS)
    except FilterError as error:  # the same words, of what it is here
        said = error.message.replace("The filter", "the placeholder", 1)
        raise TemplateError(said, remedy=error.remedy) from error
    uses = made.syntax.uses
    if len(uses) == 1:
        path, end = _walk(text, uses[0])
        if uses[0].position == 1 + len(text) - len(text.lstrip()) and not text[end:].strip():
            return Field(path)
    return Expression(text, made)


# ---- running ----


def _taken(event: Any, path: Path) -> Any:  # noqa: ANN401
    found = event
    try:
        for step in path:
            found = found[step] if type(step) is str or type(found) is list else _NO_LIST[step]
    except (KeyError, IndexError, TypeError) as error:
        raise MissingValue(f"the event has no {_written(path)}") from error
    return found


def _written(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _executed(program: Program, values: dict[str, Any], subject: Subject) -> Any:  # noqa: ANN401
    if program.syntax.loops or program.syntax.patterns or not all(map(_small, values.values())):
        subject.spend(program, values)
    try:
        return _sound(program.program.execute(values))
    except KeyError as error:
        raise MissingValue(f"the event has no field {error}") from error
    except RUN_TIME as error:
        raise TemplateError(why(error)) from error
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the evaluator is foreign, and a panic in its Rust is no `Exception`
        raise TemplateError(f"it failed: {type(error).__name__}") from error


def _small(value: Any) -> bool:  # noqa: ANN401
    """Tell whether a value may be handed over without counting what it costs."""
    kind = type(value)
    return kind in _SCALARS and (kind is not str or len(value) <= _SHORT)


def _sound(value: Any) -> Any:  # noqa: ANN401
    """Return a value; raise `ValueError` for numbers that JSON does not have, which would be sent as null."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("the number is infinite, or none")
    if isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            _sound(inner)
    return value


# ---- compiling ----


def _walk(text: str, use: Use) -> tuple[Path, int]:
    """Return the path that begins with a name, and where it ends in the text."""
    path: Path = (use.name,)
    at = use.position - 1 + len(use.name)
    while (step := _STEP.match(text, at)) is not None:
        name, index, *quoted = step.groups()
        path = (*path, int(index) if index is not None else next(part for part in (name, *quoted) if part is not None))
        at = step.end()
    return path, at


def _by_parts(text: str, made: Program) -> tuple[Program, list[_Part]] | None:
    """Return the same program over the fields that it names, each by itself; None where that could mean something else."""
    if any(call.text == "has" for call in made.syntax.calls):
        return None
    prefix = "part"
    while prefix in text:
        prefix += "_"
    parts: list[_Part] = []
    rewritten, done = "", 0
    for use in sorted((use for use in made.syntax.uses if _of_event(use)), key=lambda use: use.position):
        path, end = _walk(text, use)
        loop = _loop_at(text, end, made.syntax)
        keys, size = _keys(text, loop, made.syntax) if loop is not None else None, _SIZE.match(text, end)
        parts.append(_Part(f"{prefix}{len(parts)}", path, keys, size is not None))
        rewritten += text[done : use.position - 1] + parts[-1].name
        done = size.end() if size is not None else end
    try:
        return Program(cel.compile(rewritten + text[done:]), made.syntax, made.cost), parts
    except ValueError:
        return None


def _of_event(use: Use) -> bool:
    """Tell whether a name stands for a field of the event, and not for the item of a loop."""
    return use.name in FIELDS


def _loop_at(text: str, at: int, syntax: Syntax) -> Loop | None:
    found = _LOOP.match(text, at)
    return next((loop for loop in syntax.loops if loop.position == found.start(1) + 1), None) if found is not None else None


def _keys(text: str, loop: Loop, syntax: Syntax) -> tuple[str, ...] | None:
    """Return which keys of each item a loop looks at, None when that is not plain: the item itself is used, or named anew inside."""
    if loop.kind == "filter" or sum(one.variable == loop.variable for one in syntax.loops) > 1:
        return None
    keys = set()
    for use in syntax.uses:
        if use.name == loop.variable:
            path, _ = _walk(text, use)
            if len(path) == 1 or isinstance(path[1], int):
                return None
            keys.add(path[1])
    return tuple(sorted(keys))
