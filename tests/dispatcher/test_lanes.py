"""Lanes: places, queue, pace, rate, breaker, under a clock that stands still."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dispatcher.lane_calls import GO, PARK, PROBE, QUEUE, SOON, call, enqueue, made, opened

pytestmark = pytest.mark.unit


# ---- places and queue ----


def test_no_more_calls_than_places() -> None:
    """After `concurrency` calls the next ones queue, and after `queue` of those they are to come again soon."""
    lane, _ = made(concurrency=3, queue=2)
    assert [lane.admit() for _ in range(3)] == [GO, GO, GO]
    for _ in range(2):
        assert lane.admit() is QUEUE
        lane.enqueue("one")
    assert lane.admit() is SOON


def test_a_place_given_back_goes_to_the_head_of_the_queue() -> None:
    """While somebody waits, who comes new does not overtake."""
    lane, _ = made(concurrency=1)
    assert lane.admit() is GO
    lane.enqueue("first")
    lane.leave()
    assert lane.admit() is QUEUE
    assert lane.next() is GO


def test_a_queue_of_none() -> None:
    """With a queue of 0 there is nothing between a place and the retry topic."""
    lane, _ = made(concurrency=1, queue=0)
    assert (lane.admit(), lane.admit()) == (GO, SOON)


def test_the_queue_is_as_long_as_the_receiver_is_quick() -> None:
    """A quick receiver has its whole queue; of a slow one as many wait as it is likely to take in `wait_s`, one round at least."""
    quick, _ = made(concurrency=4, queue=1_000, wait_s=5)
    call(quick, elapsed_s=0.9)
    slow, _ = made(concurrency=4, queue=1_000, wait_s=5)
    call(slow, elapsed_s=2)
    slowest, _ = made(concurrency=4, queue=1_000, wait_s=5)
    call(slowest, elapsed_s=20)
    for lane, room, then in ((quick, 1_000, SOON), (slow, 10, PARK), (slowest, 4, PARK)):
        assert [lane.admit() for _ in range(4)] == [GO] * 4
        enqueue(lane, room - 1)
        assert lane.admit() is QUEUE
        lane.enqueue("last")
        assert lane.admit() is then
        assert lane.surplus() == 0


def test_a_receiver_that_falls_silent_loses_its_queue() -> None:
    """Without an answer for seconds most of the queue is surplus, though every answer before was quick."""
    lane, clock = made(concurrency=2, queue=100, wait_s=5)
    call(lane, elapsed_s=0.01)
    for _ in range(2):
        assert lane.admit() is GO
        lane.began()
    enqueue(lane, 50)
    clock.move(2.9)
    assert lane.surplus() == 0
    clock.move(2.1)
    assert lane.surplus() == 48
    lane.done(True, 5.0)
    assert lane.surplus() < 48  # it speaks again


def test_a_call_that_waits_for_the_budget_is_no_silence_of_the_receiver() -> None:
    """A place taken without a call under way says nothing about the receiver's pace."""
    lane, clock = made(concurrency=1, queue=100)
    assert lane.admit() is GO
    enqueue(lane, 50)
    clock.move(60)
    assert lane.surplus() == 0


# ---- pressed ----


def test_under_pressure_slow_receivers_wait_in_kafka() -> None:
    """When room is short a slow receiver gets neither a place nor a queue, a quick one both."""
    slow, _ = made(concurrency=2)
    call(slow, elapsed_s=3)
    assert slow.admit(pressed=True) is PARK
    assert slow.admit() is GO
    enqueue(slow, 3)
    assert slow.surplus(pressed=True) == 3
    quick, _ = made(concurrency=2)
    call(quick, elapsed_s=0.01)
    assert [quick.admit(pressed=True) for _ in range(3)] == [GO, GO, QUEUE]


def test_under_pressure_an_unknown_receiver_gets_a_first_call_and_little_more() -> None:
    """A receiver that has not answered yet gets a call at a time; once it has, and quickly, it gets its places."""
    lane, _ = made(concurrency=8)
    assert [lane.admit(pressed=True) for _ in range(2)] == [GO, QUEUE]
    lane.enqueue("one")
    assert lane.next(pressed=True) is QUEUE
    lane.began()
    lane.done(True, 0.01)
    assert [lane.next(pressed=True) for _ in range(3)] == [GO, GO, GO]


# ---- rate and rest ----


def test_a_rate_lets_a_second_of_calls_through_then_paces() -> None:
    """With a rate of 10, a burst of about 10 goes at once and 10 a second after."""
    lane, clock = made(concurrency=1_000, rate=10.0)
    burst = sum(call(lane) is GO for _ in range(50))
    assert 10 <= burst <= 11
    made_in_5_s = 0
    for _ in range(50):
        clock.move(0.1)
        made_in_5_s += call(lane) is GO
    assert 48 <= made_in_5_s <= 52


def test_a_rate_bounds_the_queue() -> None:
    """No more may wait than the rate lets through in `wait_s`."""
    lane, _ = made(concurrency=100, rate=2.0, wait_s=5)
    while lane.admit() is GO:
        pass
    enqueue(lane, 9)
    assert lane.admit() is QUEUE
    lane.enqueue(9)
    assert lane.admit() is SOON


def test_a_short_rest_queues_and_a_long_one_parks() -> None:
    """A receiver that asked to be left alone gets no call meanwhile; what comes waits, in the lane if that is soon enough."""
    lane, clock = made()
    lane.rest(2)
    assert lane.admit() is QUEUE
    lane.enqueue("one")
    assert lane.next() is QUEUE
    clock.move(2.1)
    assert lane.next() is GO
    lane.queue.clear()
    lane.rest(60)
    assert lane.admit() is PARK


def test_a_rest_is_no_longer_than_the_breaker_would_be_open() -> None:
    """A receiver cannot put its own lane away for a day."""
    lane, clock = made(open_s=180)
    lane.rest(86_400)
    clock.move(181)
    assert lane.admit() is GO


# ---- breaker ----


def test_failures_in_a_row_open_it() -> None:
    """Four failures and a success do nothing; five failures open it, and everything is parked."""
    lane, _ = made()
    for _ in range(4):
        call(lane, ok=False)
    call(lane)
    for _ in range(4):
        call(lane, ok=False)
    assert not lane.opened
    call(lane, ok=False)
    assert (lane.state, lane.admit(), lane.next()) == ("open", PARK, PARK)


def test_a_low_rate_of_success_opens_it() -> None:
    """Below 90 % of at least 100 calls it opens; with fewer calls it does not."""
    lane, _ = made(straight=1_000)
    for number in range(99):
        call(lane, ok=number % 5 != 0)
    assert not lane.opened
    call(lane, ok=False)
    assert lane.opened


def test_only_the_window_counts() -> None:
    """Failures from before the window are forgotten."""
    lane, clock = made(straight=1_000, window_s=120)
    for _ in range(90):
        call(lane, ok=False)
    clock.move(130)
    for _ in range(110):
        call(lane)
    assert not lane.opened


def test_our_own_faults_do_not_count() -> None:
    """A call that says nothing about the receiver neither opens the breaker nor ends a row of failures."""
    lane, _ = made()
    for _ in range(200):
        call(lane, ok=None)
    assert not lane.opened
    for _ in range(4):
        call(lane, ok=False)
    call(lane, ok=None)
    call(lane, ok=False)
    assert lane.opened


def test_one_probe_after_the_open_time() -> None:
    """After `open_s` one call goes through; while it is under way the others are parked; its success closes the breaker."""
    lane, clock = made(open_s=180)
    opened(lane)
    clock.move(179)
    assert lane.admit() is PARK
    clock.move(2)
    assert lane.state == "half_open"
    assert (lane.admit(), lane.admit(), lane.next()) == (PROBE, PARK, PARK)
    lane.began()
    lane.done(True, 0.01, probe=True)
    assert (lane.state, lane.admit()) == ("closed", GO)


def test_a_failed_probe_opens_it_again() -> None:
    """The next probe waits for the whole open time."""
    lane, clock = made(open_s=180)
    opened(lane)
    clock.move(181)
    assert call(lane, ok=False) is PROBE
    clock.move(179)
    assert lane.admit() is PARK
    clock.move(2)
    assert call(lane) is PROBE
    assert not lane.opened


@pytest.mark.parametrize("how", ["left", "our fault"])
def test_a_probe_that_tells_nothing_lets_the_next_one_try(how: str) -> None:
    """A probe that was not made, or failed by our own fault, leaves the breaker half open, not stuck."""
    lane, clock = made(open_s=180)
    opened(lane)
    clock.move(181)
    assert lane.admit() is PROBE
    if how == "left":
        lane.leave(probe=True)
    else:
        lane.began()
        lane.done(None, 0.0, probe=True)
    assert lane.state == "half_open"
    assert lane.admit() is PROBE


def test_an_older_call_is_not_taken_for_the_probe() -> None:
    """A call from before the breaker opened that fails during the probe changes nothing; one that succeeds closes it."""
    lane, clock = made(open_s=1)
    for _ in range(2):
        assert lane.admit() is GO
        lane.began()
    opened(lane)
    clock.move(2)
    assert lane.admit() is PROBE
    lane.began()
    lane.done(False, 5.0)
    assert lane.admit() is PARK  # the probe is still out
    lane.done(True, 5.0)
    assert lane.state == "closed"


def test_a_lane_closed_again_counts_anew() -> None:
    """What failed before does not open it again at the first failure."""
    lane, clock = made(open_s=1)
    opened(lane)
    clock.move(2)
    call(lane)
    for _ in range(4):
        assert call(lane, ok=False) is GO
    assert not lane.opened


@given(st.lists(st.tuples(st.sampled_from(["admit", "done", "fail", "none", "leave", "tick"]), st.floats(0, 300)), max_size=150))
def test_places_never_leak(steps: list[tuple[str, float]]) -> None:
    """Whatever happens in whatever order: never more calls than places, one probe at a time, and never stuck for good."""
    lane, clock = made(concurrency=3, queue=2, straight=2, open_s=10)
    out: list[bool] = []
    for what, seconds in steps:
        if what == "admit":
            verdict = lane.admit()
            if verdict in {GO, PROBE}:
                lane.began()
                out.append(verdict is PROBE)
        elif what == "tick":
            clock.move(seconds)
        elif out:
            probe = out.pop(0)
            if what == "leave":
                lane.done(None, 0.0, probe=probe)
            else:
                lane.done({"done": True, "fail": False, "none": None}[what], seconds, probe=probe)
        assert len(out) <= 3 + 1  # a probe may come on top of calls from before the breaker opened
        assert sum(out) <= 1
    for probe in out:
        lane.done(None, 0.0, probe=probe)
    clock.move(1_000)
    assert lane.admit() in {GO, PROBE}
