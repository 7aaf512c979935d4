"""What tells whether those that a fault is not about noticed it."""

from __future__ import annotations

import pytest

from tests.chaos.faults.others import at_once, others_noticed
from tests.chaos.small import BEGAN, Small, delivery

pytestmark = pytest.mark.unit


@pytest.fixture
def small() -> Small:
    """Give a history of forty events, each delivered after ten milliseconds."""
    found = Small()
    for number in range(10, 40):
        found.one_more(number)
    return found


def test_nobody_noticed(small: Small) -> None:
    """All came at once; of the events outside the span nothing is asked."""
    assert others_noticed(small.history, BEGAN, BEGAN + 10, late_s=0.02) == []
    assert others_noticed(small.history, BEGAN + 2.95, BEGAN + 10) == [
        "only 10 deliveries to others are there to tell whether they noticed"
    ]


def test_one_that_came_late(small: Small) -> None:
    """The latest is named; one that never came is the latest."""
    [found] = others_noticed(small.history, BEGAN, BEGAN + 10, late_s=0.005)
    assert found == "40 of 40 deliveries to others were late, the latest came after 0.0 s"
    small.history.calls_of[delivery(3)].clear()
    assert others_noticed(small.history, BEGAN, BEGAN + 10) == ["1 of 40 deliveries to others were late, the latest came after inf s"]


def test_how_many_were_under_way_at_once() -> None:
    """What ends as another begins is not beside it."""
    assert at_once([]) == 0
    assert at_once([(0, 1), (1, 2), (2, 3)]) == 1
    assert at_once([(0, 5), (1, 2), (1.5, 3), (4, 6)]) == 3
