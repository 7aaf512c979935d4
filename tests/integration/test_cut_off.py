"""A dispatcher that reaches its receivers and not Kafka: it makes no call once another one may have its partitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import on_broker
from tests.integration.nameless import Door, WithSideDoor

pytestmark = [pytest.mark.kafka, pytest.mark.process, pytest.mark.timeout(240)]

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]
SESSION_S = 8.0
LEASE_S = 3.0
ATTEMPTS = "hookline_dispatcher_attempts_total"


@pytest.fixture
def two_ways(tmp_path: Path, kafka_environ: dict[str, str]) -> Iterator[tuple[Door, str, Pipeline]]:
    """Give a door, the address of the broker through it, and a pipeline that reaches the broker directly."""
    door = Door()
    broker = WithSideDoor(tmp_path / "broker", door)
    try:
        broker.start()
        with on_broker(broker, kafka_environ, tmp_path) as made:
            yield door, broker.side, made
    finally:
        door.cut = False
        door.close()
        broker.stop()


def test_who_does_not_reach_kafka_makes_no_call_that_another_one_makes(two_ways: tuple[Door, str, Pipeline], until: Until) -> None:
    """With hundreds of events in hand it stops before its session is over; the other one delivers them; it comes back as a member."""
    door, side, pipeline = two_ways
    # No parking: what is parked and not committed comes twice too, and hides what this is about.
    pipeline.environ |= {"HOOKLINE_LANE_CONCURRENCY": "4", "HOOKLINE_LANE_QUEUE": "5000", "HOOKLINE_LANE_WAIT_S": "300"}
    pipeline.environ["HOOKLINE_SESSION_TIMEOUT_MS"] = str(int(SESSION_S * 1_000))
    webhook = pipeline.create("hook")
    pipeline.receiver.delays["hook"] = 0.1
    cut_off = pipeline.start_dispatcher(KAFKA_BOOTSTRAP_SERVERS=side)
    until(lambda: pipeline.ready(cut_off), what="the dispatcher ready")
    events = pipeline.publish(count=1_000)
    until(lambda: pipeline.metric(cut_off, "hookline_dispatcher_pending_records") > 500, what="hundreds of events in hand")
    door.cut = True
    heir = pipeline.start_dispatcher()
    time.sleep(LEASE_S + 1.0)
    made = pipeline.metric(cut_off, ATTEMPTS)
    assert 0 < made < 800, "it had enough to do for much longer"
    until(lambda: pipeline.metric(heir, ATTEMPTS) > 200, timeout_s=60, what="calls of the other one")
    assert pipeline.metric(cut_off, ATTEMPTS) == made
    until(lambda: not pipeline.account("hook", webhook, events).lost, timeout_s=90, what="every event delivered")
    assert pipeline.metric(cut_off, ATTEMPTS) == made
    assert pipeline.account("hook", webhook, events).duplicates <= made
    door.cut = False
    until(lambda: pipeline.ready(cut_off), timeout_s=60, what="the first one back at work")
    time.sleep(1.5)
    assert pipeline.metric(cut_off, ATTEMPTS) == made, "what it had in hand is the other one's"
    more = pipeline.publish(count=50)
    until(lambda: not pipeline.account("hook", webhook, more).lost, timeout_s=60, what="the events of after")
    assert (cut_off.poll(), heir.poll()) == (None, None)
