"""Small SVG charts of a result, readable on light and dark ground: lines through points, axes from zero or by powers of ten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from benchmarks.repeats import shown

Point: TypeAlias = tuple[float, float]
_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 44, 56
_COLOURS = ("#3b7dd8", "#c8641b", "#2f9e6e", "#a04fbf")
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.title{font-weight:600}.grid{stroke:#8885;stroke-width:1}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn: `lines` by name, each with its points (x, y), y >= 0; `powers`: the x axis by powers of ten, x > 0."""

    title: str
    x: str
    y: str
    lines: dict[str, Sequence[Point]]
    powers: bool = False


def svg(chart: Chart) -> str:
    """Return the chart as an SVG document; raise `ValueError` when there is no point."""
    points = [point for line in chart.lines.values() for point in line]
    if not points:
        raise ValueError(f"{chart.title}: nothing to draw")
    top = _round_up(max(y for _, y in points))
    parts = [_grid(chart, [x for x, _ in points], top)]
    for number, (name, line) in enumerate(chart.lines.items()):
        parts.append(_line(name, [_place(chart, points, top, point) for point in line], number))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(chart.title)}">'
    return f"{head}<style>{_STYLE}</style>{''.join(parts)}</svg>\n"


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _along(chart: Chart, xs: Sequence[float], x: float) -> float:
    scaled = [math.log10(value) for value in (*xs, x)] if chart.powers else [0.0, *xs, x]
    low, high = min(scaled), max(scaled)
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((scaled[-1] - low) / (high - low) if high > low else 0.5)


def _up(top: float, y: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * y / top


def _place(chart: Chart, points: Sequence[Point], top: float, point: Point) -> Point:
    return _along(chart, [x for x, _ in points], point[0]), _up(top, point[1])


def _grid(chart: Chart, xs: Sequence[float], top: float) -> str:
    parts = [f'<text class="title" x="{_LEFT}" y="18">{escape(chart.title)}</text>']
    for step in range(5):
        at = _up(top, top * step / 4)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{_tick(top * step / 4)}</text>')
    under = _HEIGHT - _BOTTOM + 18
    parts += [f'<text x="{_along(chart, xs, x):.1f}" y="{under}" text-anchor="middle">{_tick(x)}</text>' for x in sorted(set(xs))]
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 14}" text-anchor="end">{escape(chart.x)}</text>')
    parts.append(f'<text x="8" y="{_TOP - 10}">{escape(chart.y)}</text>')
    return "".join(parts)


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else shown(value)


def _line(name: str, places: Sequence[Point], number: int) -> str:
    colour = _COLOURS[number % len(_COLOURS)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places)
    key = f'<text x="{_LEFT + 110 * number}" y="{_HEIGHT - 14}" style="fill:{colour}">● {escape(name)}</text>'
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}{key}'
