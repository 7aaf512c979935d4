"""The charts beside a result."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from benchmarks.plot import Chart, svg

pytestmark = pytest.mark.unit

NAMES = {"s": "http://www.w3.org/2000/svg"}


def _dots(text: str) -> list[tuple[float, float]]:
    return [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in ET.fromstring(text).iterfind("s:circle", NAMES)]


def test_points_lie_where_their_values_say() -> None:
    """Twice the value is twice as far from the axis."""
    dots = _dots(svg(Chart("t", "x", "y", {"a": [(0, 0), (50, 1), (100, 2)]})))
    assert dots[1][0] - dots[0][0] == pytest.approx(dots[2][0] - dots[1][0], abs=0.2)
    assert dots[0][1] - dots[1][1] == pytest.approx(dots[1][1] - dots[2][1], abs=0.2)
    assert dots[2][1] < dots[0][1]


def test_powers_of_ten_lie_evenly() -> None:
    """1, 10 and 100 webhooks are the same way apart."""
    dots = _dots(svg(Chart("t", "x", "y", {"a": [(1, 5), (10, 5), (100, 5)]}, powers=True)))
    assert dots[1][0] - dots[0][0] == pytest.approx(dots[2][0] - dots[1][0], abs=0.2)


def test_every_line_has_a_key_and_text_is_escaped() -> None:
    """A name with a < does not break the document."""
    text = svg(Chart("a < b", "x & y", "ms", {"p50": [(1, 2)], "p<99": [(1, 3)]}))
    words = [node.text for node in ET.fromstring(text).iterfind("s:text", NAMES)]
    assert {"a < b", "x & y", "● p50", "● p<99"} <= set(words)
    assert "prefers-color-scheme:dark" in text


def test_nothing_to_draw_is_an_error() -> None:
    """An empty chart would look like a measurement of nothing."""
    with pytest.raises(ValueError, match="nothing to draw"):
        svg(Chart("t", "x", "y", {"a": []}))


@pytest.mark.parametrize("points", [[(5.0, 0.0)], [(0.0, 0.0), (1.0, 0.0)]])
def test_a_single_or_flat_line_is_drawn(points: list[tuple[float, float]]) -> None:
    """No division by zero."""
    assert len(_dots(svg(Chart("t", "x", "y", {"a": points})))) == len(points)
