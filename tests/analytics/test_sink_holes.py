"""What retention took of the attempts topic before the sink read it: told once, by whoever has the partition, and gone on behind."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from hookline.analytics import metrics
from hookline.analytics import sink as sinks
from hookline.kernel import kafka
from tests.analytics.test_lease import Scene

pytestmark = pytest.mark.unit

Rig = Any  # the fixture's class stands in conftest.py


class Emptied(Scene):
    """A sink whose partition has nothing left to read; `look`: once round its loop."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig)
        self.low = 50
        group: Any = self.group
        group.get_watermark_offsets = lambda _place, *, cached: (self.low, 50) if cached else None
        group.position = lambda places: [TopicPartition(place.topic, place.partition, 3) for place in places]
        self.before = metrics.MISSED._value.get()

    @property
    def missed(self) -> float:
        """How many records were told to be missed."""
        return float(metrics.MISSED._value.get() - self.before)

    def look(self) -> None:
        """Poll, and look."""
        group: Any = self.group
        self.sink._take(group, 0)
        self.sink._tell_emptied(group)


@pytest.fixture
def emptied(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Emptied:
    """Give a sink that looks in each round."""
    monkeypatch.setattr(sinks, "_LOOK_S", 0.0)
    return Emptied(rig)


def sent_on(asked: int) -> None:
    """Have librdkafka say that the sink was sent on."""
    line = (
        f"OFFSET [x#consumer-1] [thrd:main]: test.attempts [0]: offset reset (at offset {asked}) to offset BEGINNING: Offset out of range"
    )
    logging.getLogger("librdkafka").warning("%s", line)


def test_a_watermark_of_before_is_waited_for(emptied: Emptied) -> None:
    """A sink that was reading has the one of its last fetch: the loss is told once the next one has come."""
    emptied.write()
    emptied.low = 0
    sent_on(3)
    for _ in range(3):
        emptied.look()
    assert emptied.missed == 0
    emptied.low = 50
    for _ in range(3):
        emptied.look()
    assert emptied.missed == 47


def test_what_another_client_was_sent_on_from_sets_nothing_back(emptied: Emptied) -> None:
    """Its line names the same partition; what lies before where this one stands was never missed by it."""
    emptied.write()
    emptied.low = 2
    sent_on(1)
    before = list(emptied.group.commits)
    for _ in range(3):
        emptied.look()
    assert (emptied.missed, emptied.group.commits) == (0, before)


def test_where_nothing_is_left_the_loss_is_told_once_and_committed_behind(emptied: Emptied) -> None:
    """Not before what is held is written: the commit would pass over it."""
    sent_on(3)
    for _ in range(3):
        emptied.look()
    assert (emptied.missed, emptied.group.commits) == (0, [])
    emptied.write()
    for _ in range(3):
        emptied.look()
    assert emptied.missed == 47
    assert emptied.group.commits[1:] == [(3, ""), (50, "")]


@pytest.mark.parametrize(("name", "value"), [("known", False), ("replay_to", 9)])
def test_before_the_last_owners_intent_is_carried_out_nothing_is_committed(emptied: Emptied, name: str, value: Any) -> None:
    """It stands in the metadata of the offset, and may be unknown yet."""
    emptied.share.messages.clear()
    setattr(emptied.share, name, value)
    sent_on(3)
    for _ in range(3):
        emptied.look()
    assert (emptied.missed, emptied.group.commits) == (0, [])


def test_a_hole_of_an_earlier_assignment_is_not_told_again(emptied: Emptied, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner meanwhile has told it, and read on."""
    sent_on(3)
    group: Any = emptied.group
    emptied.sink._on_assign(group, [TopicPartition("test.attempts", 0)])
    record = dataclasses.replace(rig.record(b"x", 70), name="test.attempts")
    assert record.topic() == "test.attempts"
    monkeypatch.setattr(kafka, "fetch", lambda *_: [record])
    emptied.look()
    assert emptied.missed == 0
