"""Lanes as many: how little room each takes, what they share, which are forgotten."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.dispatcher.lanes import Lane, LaneConfig, Lanes, _Window
from hookline.kernel.config import load
from tests.dispatcher.fakes import FakeClock
from tests.dispatcher.lane_calls import GO, call, made, opened

pytestmark = pytest.mark.unit


def test_a_lane_called_now_and_then_is_small() -> None:
    """A lane takes no room for a queue and a history that it does not have: a dispatcher has one for each webhook."""
    count, clock = 1_000, FakeClock()
    tracemalloc.start()
    try:
        lanes = [made(clock)[0] for _ in range(10)]  # what all share
        before = tracemalloc.get_traced_memory()[0]
        config = load(LaneConfig, {})
        lanes += [Lane(config, clock) for _ in range(count)]
        for lane in lanes:
            call(lane)
        assert (tracemalloc.get_traced_memory()[0] - before) / count < 400
    finally:
        tracemalloc.stop()


def test_the_queue_goes_when_the_last_call_has_ended() -> None:
    """A lane that was busy once is as small as before; what still waits is kept."""
    lane, _ = made(concurrency=1)
    nobody = lane.queue
    assert lane.admit() is GO
    lane.began()
    lane.enqueue("one")
    lane.done(True, 0.01)
    assert list(lane.queue) == ["one"]
    assert lane.next() is GO
    lane.queue.popleft()
    lane.began()
    lane.done(True, 0.01)
    assert lane.queue is nobody


def test_nothing_is_put_into_the_queue_that_all_lanes_share() -> None:
    """Lanes without waiting deliveries share one empty queue: who would fill it past `enqueue` is told so."""
    lane, other = made()[0], made()[0]
    with pytest.raises(TypeError, match="enqueue"):
        lane.queue.append("one")
    with pytest.raises(TypeError, match="enqueue"):
        lane.queue.extend(["one"])
    lane.enqueue("one")
    assert (len(lane.queue), len(other.queue)) == (1, 0)


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=60))
def test_the_window_is_a_count_of_what_was_lately(calls: list[tuple[float, bool]]) -> None:
    """Its totals are those of the twelfths of the window that are not over, whenever the calls came."""
    window, now, seen = _Window(120.0), 0.0, list[tuple[int, bool]]()
    for later_s, ok in calls:
        now += later_s
        window.add(now, ok=ok)
        seen.append((int(now / 10), ok))
        recent = [good for slot, good in seen if slot > int(now / 10) - 12]
        assert window.totals(now) == (len(recent), sum(recent))
    assert window.totals(now + 200) == (0, 0)


def test_idle_lanes_are_forgotten_and_the_others_kept() -> None:
    """Beyond twenty thousand lanes those without calls, queue or trouble go; an open breaker stays until it is long past."""
    clock = FakeClock()
    lanes = Lanes(load(LaneConfig, {}), clock)
    busy, open_one = lanes.lane("busy"), opened(lanes.lane("open"))
    assert busy.admit() is GO
    for number in range(20_001):
        call(lanes.lane(f"wh_{number}"))
    assert lanes.lane("busy") is busy
    assert lanes.lane("open") is open_one
    assert sum(lanes.states().values()) < 20_000
    assert lanes.states()["open"] == 1
    clock.move(3_600)
    assert open_one.idle
    assert not busy.idle


def test_states_are_counted() -> None:
    """Closed, open and half open lanes are told apart."""
    clock = FakeClock()
    lanes = Lanes(load(LaneConfig, {}), clock)
    lanes.lane("fine")
    opened(lanes.lane("one"))
    clock.move(181)
    opened(lanes.lane("two"))
    assert lanes.states() == {"closed": 1, "open": 1, "half_open": 1}
