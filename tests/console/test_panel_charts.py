"""The axis of a chart: of what is counted no line stands between whole numbers."""

from __future__ import annotations

import pytest

from hookline.console.panel.charts import Series, bars

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("most", "lines"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (2, ["0", "1", "2"]),
        (3, ["0", "1", "2", "3", "4", "5"]),
        (12, ["0", "5", "10", "15", "20"]),
        (21, ["0", "5", "10", "15", "20", "25"]),
        (900, ["0", "250", "500", "750", "1k"]),
    ],
)
def test_counts_have_whole_lines(most: int, lines: list[str]) -> None:
    """Half an attempt there is not."""
    assert [tick.text for tick in bars(["a"], [Series("Delivered", "good", [most])]).up] == lines


def test_times_may_have_parts() -> None:
    """Milliseconds do."""
    assert [tick.text for tick in bars(["a"], [Series("Median", "held", [4.2])]).up] == ["0", "1.25", "2.5", "3.75", "5"]
