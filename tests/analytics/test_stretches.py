"""Rows come newest first, each once, whatever the stretches; and few stretches are needed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.analytics.stretches import Bounds, Stretches

pytestmark = pytest.mark.unit

HOUR_US = 3_600_000_000
MONTH_H = 31 * 24
NOW_US = MONTH_H * HOUR_US


class Log:
    """A log in memory that notes what it is asked."""

    def __init__(self, ages_h: list[float]) -> None:
        self.rows: list[dict[str, Any]] = [{"attempted_at_us": NOW_US - int(age * HOUR_US)} for age in sorted(ages_h)]
        self.asked: list[float] = []
        self.bounded: list[float] = []

    def ask(self, since_us: int, until_us: int, most: int) -> list[dict[str, Any]]:
        """Return the newest rows of a stretch."""
        assert since_us <= until_us
        self.asked.append(round((until_us - since_us) / HOUR_US, 2))
        return [row for row in self.rows if since_us <= row["attempted_at_us"] <= until_us][:most]

    def bounds(self, since_us: int, until_us: int) -> Bounds:
        """Return where rows are."""
        assert since_us <= until_us
        self.bounded.append(round((until_us - since_us) / HOUR_US, 2))
        times = [row["attempted_at_us"] for row in self.rows if since_us <= row["attempted_at_us"] <= until_us]
        return Bounds(len(times), min(times, default=0), max(times, default=0))


@given(
    ages_h=st.lists(st.floats(0, MONTH_H - 1), max_size=40, unique_by=lambda age: int(age * HOUR_US)),
    batches=st.lists(st.integers(1, 12), min_size=40, max_size=40),
    bounded=st.booleans(),
)
def test_every_row_comes_once_newest_first(ages_h: list[float], batches: list[int], bounded: bool) -> None:
    """Batch after batch, each behind the last row of the one before, as the rows lie; a short batch is the last one."""
    log = Log(ages_h)
    stretches, until_us, found = Stretches(log.ask, 0, log.bounds if bounded else None), NOW_US, []
    for most in batches:
        rows = stretches.rows(until_us, most)
        found += rows
        if len(rows) < most:
            break
        until_us = rows[-1]["attempted_at_us"] - 1
    assert found == log.rows
    assert len(log.bounded) <= bounded


def test_where_nothing_fits_the_rest_is_counted_and_not_read() -> None:
    """The first hour has none, and neither has the month."""
    log = Log([])
    assert Stretches(log.ask, 0, log.bounds).rows(NOW_US, 50) == []
    assert (log.asked, log.bounded) == ([1.0], [MONTH_H - 1])


def test_a_few_rows_of_long_ago_are_found_at_once() -> None:
    """Nothing is read but the hours between the oldest and the newest of them."""
    log = Log([400.0, 401.5, 402.0])
    assert Stretches(log.ask, 0, log.bounds).rows(NOW_US, 50) == log.rows
    assert log.asked == [1.0, 2.0]


def test_a_page_with_rows_is_not_counted() -> None:
    """Counting is for where the newest hour has nothing."""
    log = Log([number / 100 for number in range(10_000)])
    Stretches(log.ask, 0, log.bounds).rows(NOW_US, 50)
    assert log.bounded == []


def test_a_busy_log_is_asked_for_an_hour() -> None:
    """Whatever else there is."""
    log = Log([number / 100 for number in range(10_000)])
    assert len(Stretches(log.ask, 0).rows(NOW_US, 50)) == 50
    assert log.asked == [1.0]


def test_a_stretch_is_as_long_as_the_rows_let_expect() -> None:
    """Two rows in the first hour: the day before it is read, then the six hours that the ten still missing take, and not a month."""
    log = Log([0.25 + number / 2 for number in range(1_000)])
    assert len(Stretches(log.ask, 0).rows(NOW_US, 60)) == 60
    assert log.asked[0] == 1.0
    assert log.asked[1:] == [24.0, pytest.approx(1.25 * 10 / 2, abs=0.5)]


def test_a_log_that_began_just_now_is_read_to_its_end_at_once() -> None:
    """Many rows within the hour and none before: the month behind them is three questions, not one for each hour of it."""
    log = Log([number / 40 for number in range(28)])
    assert len(Stretches(log.ask, 0).rows(NOW_US, 30)) == 28
    assert len(log.asked) <= 5
    assert sum(log.asked) == pytest.approx(MONTH_H, abs=0.01)


def test_no_time_is_read_twice() -> None:
    """Where there is nothing: an hour, a day, the rest; together exactly the span."""
    log = Log([])
    assert Stretches(log.ask, 0).rows(NOW_US, 50) == []
    assert log.asked[:2] == [1.0, 24.0]
    assert len(log.asked) <= 4
    assert sum(log.asked) == pytest.approx(MONTH_H, abs=0.01)


def test_an_end_before_the_beginning_asks_nothing() -> None:
    """As when the last batch ended with the oldest row."""
    log = Log([1])
    assert Stretches(log.ask, NOW_US).rows(NOW_US - 1, 5) == []
    assert log.asked == []
