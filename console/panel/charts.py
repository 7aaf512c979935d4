"""The geometry of charts: drawn as SVG by a template, so that a page needs no script and no style of its own for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 960
HALF: Final = 460
"""Of a chart that shares its row with another: texts are drawn in the same size."""
HEIGHT: Final = 180
_LEFT: Final = 44
_BOTTOM: Final = 22
_TOP: Final = 8
_FILLED: Final = 0.78
_LABEL_WIDTH: Final = 96
_STEPS: Final = (1, 2, 2.5, 5, 10)
_LINES: Final = 4
_COUNTS: Final = (4, 5, 2, 1)


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a stacked chart: `tone` is its class, `values` has one number for each label."""

    name: str
    tone: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Rect:
    """A part of a bar."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a place of an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart of stacked bars, with the numbers that it is made of as a table."""

    rects: Sequence[Rect]
    across: Sequence[Tick]
    up: Sequence[Tick]
    labels: Sequence[str]
    series: Sequence[Series]
    width: int
    height: int = HEIGHT
    left: int = _LEFT
    base: int = HEIGHT - _BOTTOM


def bars(labels: Sequence[str], series: Sequence[Series], width: int = WIDTH) -> Bars:
    """Return stacked bars, one for each label; of nothing but zeros the axis reaches to 1."""
    totals = [sum(one.values[at] for one in series) for at in range(len(labels))]
    most = ceiling(max(totals, default=0))
    room = HEIGHT - _TOP - _BOTTOM
    step = (width - _LEFT) / max(1, len(labels))
    rects = []
    for at, label in enumerate(labels):
        top = float(HEIGHT - _BOTTOM)
        for one in series:
            height = one.values[at] / most * room
            if height <= 0:
                continue
            top -= height
            title = f"{label}: {one.values[at]:,.0f} {one.name.lower()}"
            x = _LEFT + step * (at + (1 - _FILLED) / 2)
            rects.append(Rect(round(x, 1), round(top, 1), round(step * _FILLED, 1), round(height, 1), one.tone, title))
    whole = all(float(value).is_integer() for one in series for value in one.values)
    return Bars(rects, _across(labels, step, max(1, width // _LABEL_WIDTH)), _up(most, room, whole=whole), labels, series, width)


def ceiling(most: float) -> float:
    """Return the round number at or above the greatest value, at which the axis ends."""
    if most <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(most))
    return next(step * size for step in _STEPS if most <= step * size * (1 + 1e-9))


def short(value: float) -> str:
    """Return an axis' number: 1.2M, 40k, 250."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _across(labels: Sequence[str], step: float, most: int) -> list[Tick]:
    every = max(1, math.ceil(len(labels) / most))
    return [Tick(round(_LEFT + step * (at + 0.5), 1), label) for at, label in enumerate(labels) if at % every == 0]


def _up(most: float, room: int, *, whole: bool) -> list[Tick]:
    """Return the lines of the axis: four, or as many as stand at whole numbers where there are no others."""
    lines = next(count for count in _COUNTS if most % count == 0 or count == 1) if whole else _LINES if most >= _LINES else 1
    return [Tick(round(HEIGHT - _BOTTOM - room * line / lines, 1), short(round(most * line / lines, 3))) for line in range(lines + 1)]
