"""Answers from a moment ago: as fresh as the question is cheap, per store, and never of a failure."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.analytics.queries import Queries
from hookline.analytics.warehouse import Parameters, Rows
from hookline.console import log_access
from hookline.console.log_access import LogAccess
from hookline.kernel.errors import WarehouseUnavailable

pytestmark = pytest.mark.unit


class Clock:
    """A clock that is moved by hand, in place of the module `time`."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the clock by which answers are kept."""
    found = Clock()
    monkeypatch.setattr(log_access, "time", found)
    return found


class Slow:
    """A session that counts its questions and takes its time."""

    def __init__(self, clock: Clock, takes_s: float) -> None:
        self.clock = clock
        self.takes_s = takes_s
        self.asked: list[dict[str, Any]] = []
        self.down = False

    def run(self, name: str, parameters: Parameters) -> Rows:
        """Answer with how often it was asked."""
        if self.down:
            raise WarehouseUnavailable("down")
        self.clock.now_s += self.takes_s
        self.asked.append(dict(parameters))
        return [{"name": name, "count": len(self.asked)}]

    def close(self) -> None:
        """Nothing to close."""


def access(session: Queries) -> LogAccess:
    """Return a way to one session."""
    found = LogAccess(1)
    found.connect(lambda: session)
    return found


def test_a_costly_answer_is_kept_for_a_while(clock: Clock) -> None:
    """The same question at another time is not asked again; another store's is."""
    session = Slow(clock, 0.05)
    log = access(session)
    first = log.lately("waiting", {"store_id": "a", "since_us": 1})
    assert log.lately("waiting", {"store_id": "a", "since_us": 2}) == first
    assert log.lately("waiting", {"store_id": "b", "since_us": 2}) != first
    assert [one["store_id"] for one in session.asked] == ["a", "b"]


def test_a_cheap_answer_is_fresh(clock: Clock) -> None:
    """What takes next to nothing is asked again at once, or nearly."""
    session = Slow(clock, 0.001)
    log = access(session)
    log.lately("waiting", {"store_id": "a"})
    clock.now_s += 0.1
    assert log.lately("waiting", {"store_id": "a"})[0]["count"] == 2


def test_a_failure_is_not_kept(clock: Clock) -> None:
    """The next who asks is not told of it."""
    session = Slow(clock, 0.0)
    log = access(session)
    session.down = True
    with pytest.raises(WarehouseUnavailable):
        log.lately("waiting", {"store_id": "a"})
    session.down = False
    assert log.lately("waiting", {"store_id": "a"})
