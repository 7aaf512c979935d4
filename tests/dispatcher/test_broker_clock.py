"""The brokers' time, whatever happens to this machine's clock."""

from __future__ import annotations

from datetime import datetime

import pytest

from hookline.dispatcher.broker_clock import BrokerClock
from tests.dispatcher.fakes import FakeClock

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("ahead_s", [-3_600.0, 3_600.0, 3 * 86_400.0])
def test_a_wrong_clock_is_corrected(ahead_s: float) -> None:
    """The brokers' stamps tell by how much our clock is off; slow acknowledgements do not."""
    clock = FakeClock()
    brokers = BrokerClock(clock)
    true = clock.at.timestamp()
    clock.move(0)
    clock.at = clock.at.fromtimestamp(true + ahead_s, clock.at.tzinfo)
    for took_s in (4.0, 0.05, 9.0):
        clock.move(took_s)
        true += took_s
        brokers.heard(int((true - took_s) * 1_000))
    assert abs(brokers.fast_s - ahead_s) < 0.1
    assert abs(brokers.now() - true) < 0.1


def test_no_datetime_is_made_to_tell_a_number() -> None:
    """It is asked for several times for each delivery."""

    class Quick(FakeClock):
        def now(self) -> datetime:
            raise AssertionError

    brokers = BrokerClock(Quick())
    assert brokers.now() == FakeClock().time()
    assert brokers.fast_s == 0


@pytest.mark.parametrize("jump_s", [-3_600.0, 3_600.0, 3 * 86_400.0])
def test_a_clock_that_jumps_is_noticed_at_once(jump_s: float) -> None:
    """Between two acknowledgements too: nothing grows older by it."""
    clock = FakeClock()
    brokers = BrokerClock(clock)
    for _ in range(3):
        clock.move(1)
        brokers.heard(int(clock.at.timestamp() * 1_000))
    true = clock.at.timestamp()
    clock.at = clock.at.fromtimestamp(true + jump_s, clock.at.tzinfo)
    assert abs(brokers.now() - true) < 0.1
    assert abs(brokers.fast_s - jump_s) < 0.1
    clock.at = clock.at.fromtimestamp(true, clock.at.tzinfo)
    assert brokers.fast_s == 0


def test_a_right_clock_is_left_alone() -> None:
    """Small differences, and a broker that takes its time now and then, change nothing."""
    clock = FakeClock()
    brokers = BrokerClock(clock)
    for took_s in (0.01, 1.5, 0.3, 60.0, 0.02):
        stamped = clock.at.timestamp()
        clock.move(took_s)
        brokers.heard(int(stamped * 1_000))
    assert brokers.fast_s == 0
    assert brokers.now() == clock.at.timestamp()


def test_a_clock_that_is_set_right_is_believed_again() -> None:
    """An old difference is forgotten within a minute or so."""
    clock = FakeClock()
    brokers = BrokerClock(clock)
    brokers.heard(int((clock.at.timestamp() - 3_600) * 1_000))
    assert brokers.fast_s > 3_000
    for _ in range(4):
        clock.move(31)
        brokers.heard(int(clock.at.timestamp() * 1_000))
    assert brokers.fast_s == 0
