"""A lane and the calls that tests make in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hookline.dispatcher.lanes import Lane, LaneConfig, Verdict
from hookline.kernel.config import load
from tests.dispatcher.fakes import FakeClock

GO, PROBE, QUEUE, SOON, PARK = Verdict.GO, Verdict.PROBE, Verdict.QUEUE, Verdict.SOON, Verdict.PARK


def made(clock: FakeClock | None = None, **changes: Any) -> tuple[Lane, FakeClock]:
    """Return a lane with the default settings, some of them changed."""
    clock = clock or FakeClock()
    return Lane(replace(load(LaneConfig, {}), **changes), clock), clock


def call(lane: Lane, ok: bool | None = True, elapsed_s: float = 0.01) -> Verdict:
    """Make one whole call if the lane lets one through."""
    verdict = lane.admit()
    if verdict in {GO, PROBE}:
        lane.began()
        lane.done(ok, elapsed_s, probe=verdict is PROBE)
    return verdict


def opened(lane: Lane) -> Lane:
    """Open a lane's breaker by failures in a row."""
    for _ in range(5):
        assert call(lane, ok=False) is GO
    assert lane.opened
    return lane


def enqueue(lane: Lane, count: int) -> None:
    """Have so many deliveries wait."""
    for number in range(count):
        lane.enqueue(number)
