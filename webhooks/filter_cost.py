"""What asking a filter may cost at most: known before it is asked, so that no filter and no event stalls a dispatcher.

The CEL library has no limits of its own and copies generously: a mention of `data.order.number` copies all of
`data.order`, `filter(…)` copies its result for every item, `matches` compiles its pattern anew each time. So the cost
of a filter is a polynomial in the event's `Size`. One unit is a value copied once, 40 ns in a list of texts and 350 ns in
nested objects; the coefficients were measured on common-expression-language 0.10.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from hookline.webhooks.filter_syntax import Loop, Pattern, Syntax, Use

BUDGET: Final = 300_000
"""Units that one question may cost: about 100 ms at the very most, and far less in practice."""

MOST_VALUES: Final = 20_000
"""Values an event may hold to be filtered at all: handing them to the library takes 2 to 6 µs each."""

_STEP: Final = 3
_PATTERN: Final = 60
_SMALL_CLASS: Final = 80
_LARGE_CLASS: Final = 600
_TEXT_UNIT: Final = 512
_REPEATED: Final = re.compile(r"\{(\d*),?(\d*)\}")
_LARGE: Final = re.compile(r"\\[wWpPDS]|\[\^|\(\?i")
_SMALL: Final = re.compile(r"\\[ds]|\.")

Power: TypeAlias = tuple[int, int, int]
"""(power of `values`, power of `longest`, power of `widest`)."""

_ONCE: Final[Power] = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Size:
    """How large an event is: how many values it holds, the longest list or object, the values in the largest item of a list."""

    values: int
    longest: int
    widest: int


@dataclass(frozen=True, slots=True)
class Cost:
    """A filter's cost as a polynomial."""

    terms: tuple[tuple[Power, int], ...]

    def of(self, size: Size) -> int:
        """Return the units it may cost to ask about an event of this size."""
        return sum(factor * size.values**v * size.longest**n * size.widest**w for (v, n, w), factor in self.terms)


def cost_of(syntax: Syntax) -> Cost:
    """Return what a filter of this syntax may cost."""
    terms: Counter[Power] = Counter()
    mention = 1 + syntax.additions  # sums of texts copy what was added up so far
    for use in syntax.uses:
        terms[_reach(use)] += mention
    for loop in syntax.loops:
        terms[_turns(loop)] += _STEP
        if loop.kind in {"filter", "map"}:
            terms[_collected(loop, syntax)] += 1 + (loop.kind == "map") * sum(_within(use.loop, loop) for use in syntax.uses)
    for pattern in syntax.patterns:
        terms[_turns(pattern.loop)] += _weight(pattern)
    return Cost(tuple(sorted(terms.items())))


def size_of(data: Any) -> Size:  # noqa: ANN401  # JSON
    """Return the size of an event's data; long texts count as several values."""
    if isinstance(data, Mapping):
        inner = [size_of(value) for value in data.values()]
        return _sum(inner, widest=0, keys=sum(len(key) // _TEXT_UNIT for key in data))
    if isinstance(data, list):
        inner = [size_of(item) for item in data]
        return _sum(inner, widest=max((item.values for item in inner), default=0))
    return Size(1 + len(data) // _TEXT_UNIT if isinstance(data, str) else 1, 0, 0)


def _sum(inner: list[Size], *, widest: int, keys: int = 0) -> Size:
    return Size(
        1 + keys + sum(part.values for part in inner),
        max([len(inner), *(part.longest for part in inner)]),
        max([widest, *(part.widest for part in inner)]),
    )


def _times(power: Power, *, values: int = 0, longest: int = 0, widest: int = 0) -> Power:
    return power[0] + values, power[1] + longest, power[2] + widest


def _turns(loop: Loop | None) -> Power:
    """Return how often a loop's body is run: a loop over a part of the outer loop's item runs over each value once in all."""
    if loop is None:
        return _ONCE
    return _times(_base(loop), values=1) if _chained(loop) else _times(_turns(loop.outer), longest=1)


def _base(loop: Loop) -> Power:
    """Return how often the chain of loops that `loop` belongs to is begun."""
    return _base(loop.outer) if loop.outer is not None and _chained(loop) else _turns(loop.outer)


def _chained(loop: Loop) -> bool:
    return loop.outer is not None and loop.root == loop.outer.variable


def _reach(use: Use) -> Power:
    """Return how many values a mention copies in all."""
    if use.loop is None:
        return _times(_ONCE, values=1)
    if use.name == use.loop.variable:
        return _times(_base(use.loop), values=1)
    return _times(_turns(use.loop), widest=1) if use.name in _items(use.loop.outer) else _times(_turns(use.loop), values=1)


def _items(loop: Loop | None) -> set[str]:
    """Return the names that stand for items of a loop and of those around it."""
    return set() if loop is None else {loop.variable, *_items(loop.outer)}


def _collected(loop: Loop, syntax: Syntax) -> Power:
    """Return how many values `filter` and `map` copy while they collect: all so far, in every turn."""
    foreign = any(_within(use.loop, loop) and not _bound_within(use, loop) for use in syntax.uses)
    return _times(_turns(loop), values=1, longest=int(loop.kind == "map" and foreign))


def _within(inner: Loop | None, loop: Loop) -> bool:
    while inner is not None and inner is not loop:
        inner = inner.outer
    return inner is loop


def _bound_within(use: Use, loop: Loop) -> bool:
    """Tell whether a name stands for an item of `loop` or of a loop inside it."""
    at = use.loop
    while at is not None and _within(at, loop):
        if use.name == at.variable:
            return True
        at = at.outer
    return False


def _weight(pattern: Pattern) -> int:
    """Return what compiling a pattern may cost: classes of Unicode are large, and repetitions write them out."""
    text = pattern.literal
    times = 1
    for low, high in _REPEATED.findall(text):
        times = min(times * max(int(low or 0), int(high or 0), 1), BUDGET)
    return (_PATTERN + len(text) * 10 + _LARGE_CLASS * len(_LARGE.findall(text)) + _SMALL_CLASS * len(_SMALL.findall(text))) * times
