"""Filters in CEL: compiled when saved, refused with what is wrong and the position, asked per event."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import NoneType
from typing import Any, Final

import cel

from hookline.kernel.errors import FilterError
from hookline.kernel.memo import Memo
from hookline.schemas.catalogue import event_type
from hookline.webhooks.filter_cost import BUDGET, MOST_VALUES, Cost, Size, cost_of, size_of
from hookline.webhooks.filter_failures import why
from hookline.webhooks.filter_hints import fault_of
from hookline.webhooks.filter_syntax import LOOPS, Pattern, Syntax, Use, read

MAX_BYTES: Final = 2_048
_KEPT: Final = 2**20
"""Characters of filters that are kept compiled, at up to 40 bytes each."""
FIELDS: Final = ("type", "store_id", "data")
FUNCTIONS: Final = frozenset(
    {
        *LOOPS,
        *("size", "has", "contains", "startsWith", "endsWith", "matches"),
        *("int", "uint", "double", "string", "bytes", "type", "duration", "timestamp", "dyn"),
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    }
)
"""The functions that the library has; any other would fail on every event."""

_SMALL_EVENT: Final = Size(values=100, longest=20, widest=20)
_KINDS: Final[Mapping[type, tuple[str, str]]] = {
    **dict.fromkeys((int, float), ("a number", "> 100")),
    str: ("a text", "== 'DE'"),
    bytes: ("bytes", "== b''"),
    list: ("a list", ".size() > 0"),
    dict: ("an object", "!= null"),
    datetime: ("a time", "> timestamp('2026-01-01T00:00:00Z')"),
    timedelta: ("a duration", "> duration('1h')"),
    NoneType: ("null", "== null"),
}
"""What a filter may give in place of true or false, in words, and a comparison that would make it a condition."""
# The evaluator is a foreign library that may raise any of these on data a filter did not expect.
RUN_TIME: Final = (ValueError, TypeError, KeyError, RuntimeError, IndexError, OverflowError, AttributeError, ZeroDivisionError)


class Facts:
    """What filters are asked about: `type`, `store_id` and `data` of one event, made ready once for all of them."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        self.size = size_of(context["data"])
        self._context = context
        self._made: dict[bool, Any] = {}

    def of(self, *, with_data: bool) -> Any:  # noqa: ANN401  # the library has no types
        """Return the library's form of the event; the data, which takes longest, only for who asks for it."""
        if with_data not in self._made:
            names = FIELDS if with_data else ("type", "store_id")
            self._made[with_data] = cel.Context(variables={name: self._context[name] for name in names})
        return self._made[with_data]


class Filter:
    """A compiled filter; thread-safe."""

    def __init__(self, text: str, program: Any, cost: Cost, *, with_data: bool) -> None:  # noqa: ANN401  # the library has no types
        self.text = text
        self._program = program
        self._cost = cost
        self._with_data = with_data

    def matches(self, facts: Facts) -> bool:
        """Return whether an event is wanted; raise `FilterError` when the filter fails on it or says neither yes nor no.

        An event so large that the answer could take long is not asked about, which is a `FilterError` too.
        """
        if self._with_data and (facts.size.values > MOST_VALUES or self._cost.of(facts.size) > BUDGET):
            raise FilterError(f"The event is too large for this filter: it has {facts.size.values:,} values")
        try:
            found = self._program.execute(facts.of(with_data=self._with_data))
        except KeyError as error:
            name = str(error).strip("'")
            raise MissingField(f"The event has no field {error}", name=name, position=_column(self.text, name)) from error
        except RUN_TIME as error:
            raise FilterError(f"The filter failed on this event: {why(error)}") from error
        if not isinstance(found, bool):
            raise NotYesOrNo(found, sure=found is not None or not self._with_data)
        return found


class MissingField(FilterError):
    """The event lacks a field that the filter names: `has(…)` asks for those that may be absent."""

    def __init__(self, message: str, *, name: str, position: int = 0) -> None:
        super().__init__(message, position=position)
        self.name = name


class NotYesOrNo(FilterError):
    """The filter gave something other than true or false; `sure`: not only because a field of the event was null."""

    def __init__(self, found: object, *, sure: bool) -> None:
        self.gave, self.compared = _KINDS.get(type(found), (type(found).__name__, "!= null"))
        super().__init__(f"The filter gave {self.gave} instead of true or false")
        self.sure = sure


def _compiled(text: str) -> Filter:
    if not text.strip() or "\0" in text:
        raise FilterError("The filter is empty: leave it out to get every event", position=1)
    made = compile_program(text, FIELDS)
    return Filter(text, made.program, made.cost, with_data=any(use.name == "data" for use in made.syntax.uses))


compile_filter: Final = Memo(_compiled, _KEPT)
"""Returns the compiled filter; raises `FilterError` with what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Program:
    """A text of CEL that compiles and whose cost is bounded: the library's form of it, what it is made of, what it may cost."""

    program: Any
    syntax: Syntax
    cost: Cost


def compile_program(text: str, fields: Collection[str]) -> Program:
    """Return a text compiled, which may name these fields of an event; raise `FilterError` with what is wrong and where."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise FilterError(f"The filter is longer than {MAX_BYTES} bytes")
    try:
        program = cel.compile(text)
    except ValueError as error:
        raise _refused(text, str(error)) from error
    syntax = read(text)
    _known_names(syntax, fields)
    cost = cost_of(syntax)
    if cost.of(_SMALL_EVENT) > BUDGET:
        raise FilterError("The filter is too costly: nest fewer loops, make patterns shorter", position=_costly(syntax))
    for pattern in syntax.patterns:
        _compilable(pattern)
    return Program(program, syntax, cost)


def check_examples(text: str, event_types: Iterable[str]) -> None:
    """Refuse what no example of these event types bears out.

    Raises `MissingField` when each of them lacks a field that the filter names (it is misspelt), `FilterError` when the filter
    gives something other than true or false for one of them. A filter that fails otherwise may still fit real events.
    """
    found, missing, kinds = compile_filter(text), dict[str, MissingField](), [event_type(name) for name in event_types]
    for kind in kinds:
        try:
            found.matches(Facts({"type": kind.name, "store_id": "example", "data": kind.example}))
        except MissingField as error:
            missing[kind.name] = error
        except NotYesOrNo as error:
            if error.sure:
                raise _no_condition(kind.name, error) from error
        except FilterError:
            continue
    if missing and len(missing) == len(kinds):
        raise _misspelt(missing)


def _no_condition(name: str, error: NotYesOrNo) -> FilterError:
    said = f"The filter gives {error.gave} for events of {name}, not true or false"
    return FilterError(f"{said}: compare it with something, such as {error.compared}")


def _misspelt(missing: Mapping[str, MissingField]) -> MissingField:
    """Return one refusal that says of each field which types lack it."""
    types: dict[str, list[str]] = {}
    for name, error in missing.items():
        types.setdefault(error.name, []).append(name)
    parts = [f"{field!r}, which events of {', '.join(names)} do not have there" for field, names in types.items()]
    first = next(iter(missing.values()))
    said = f"The filter names {', and '.join(parts)}; ask has(…) for what may be absent"
    return MissingField(said, name=first.name, position=first.position)


def _refused(text: str, words: str) -> FilterError:
    """Return the parser's complaint in plain words, with its column counted over line breaks."""
    position, hint = fault_of(text, words)
    where = f" at position {position}" if position else ""
    return FilterError(f"The filter is no CEL{where}: {hint}", position=position)


def _known_names(syntax: Syntax, fields: Collection[str]) -> None:
    for loop in syntax.loops:
        if loop.variable in fields:
            raise FilterError(f"{loop.variable!r} is taken: call the items of the loop differently", position=loop.position)
    for use in syntax.uses:
        if use.name not in {*fields, *_variables(use)}:
            raise FilterError(f"The filter uses {use.name!r}, which is not there: use {', '.join(fields)}", position=use.position)
    for call in syntax.calls:
        if call.text not in FUNCTIONS:
            raise FilterError(f"The filter calls {call.text!r}, which is no function of CEL here", position=call.position)


def _variables(use: Use) -> Iterator[str]:
    loop = use.loop
    while loop is not None:
        yield loop.variable
        loop = loop.outer


def _compilable(pattern: Pattern) -> None:
    """Raise `FilterError` for a pattern that is no regular expression, instead of failing on every event."""
    try:
        cel.compile(f"''.matches({pattern.literal})").execute({})
    except RUN_TIME as error:
        raise FilterError(f"The pattern {pattern.literal[:40]} is no regular expression", position=pattern.position) from error


def _costly(syntax: Syntax) -> int:
    """Return where the deepest loop or the first pattern stands."""
    return max((loop.position for loop in syntax.loops), default=0) or max((pattern.position for pattern in syntax.patterns), default=1)


def _column(text: str, name: str) -> int:
    found = re.search(rf"\b{re.escape(name)}\b", text)
    return found.start() + 1 if found else 0
