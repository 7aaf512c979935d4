"""What the sink holds of a partition: batches, announced ones, and records that come twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.analytics.shares import Share, announced, intent

pytestmark = pytest.mark.unit

Rig = Any  # the fixture's class stands in conftest.py
MUCH = 1 << 30


def _share(rig: Rig, *offsets: int, replay_to: int | None = None) -> Share:
    share = Share(0, known=True, replay_to=replay_to)
    share.add([rig.record(b"x", offset) for offset in offsets], 1.0)
    return share


def _offsets(messages: list[Any]) -> list[int]:
    return [message.offset() for message in messages]


@given(st.integers(0, 2**63 - 1))
def test_an_intent_reads_back(last: int) -> None:
    """What is announced is what is read."""
    assert announced(intent(last)) == last


@pytest.mark.parametrize("text", [None, "", "pending:", "pending:x", "pending:-1", "pending:1 ", "pending:²", "PENDING:1", "1"])
def test_other_metadata_announces_nothing(text: str | None) -> None:
    """Commits of other tools, and no commit at all, are no intent."""
    assert announced(text) is None


def test_nothing_is_written_before_the_intent_is_known(rig: Rig) -> None:
    """A partition whose committed offset was not read yet has no batch, whatever it holds."""
    share = _share(rig, 1, 2)
    share.known = False
    assert share.batch(10, MUCH) == []


def test_a_batch_is_the_oldest_records(rig: Rig) -> None:
    """At most as many as asked, in order; what is settled is forgotten and its bytes with it."""
    share = _share(rig, 1, 2, 5, 9)
    assert _offsets(share.batch(3, MUCH)) == [1, 2, 5]
    share.settle(3, 2.0)
    assert _offsets(share.batch(3, MUCH)) == [9]
    assert share.held_bytes == 1


@pytest.mark.parametrize(
    ("most_bytes", "expected"), [(1, [1]), (10, [1]), (11, [1, 2]), (29, [1, 2, 3]), (30, [1, 2, 3]), (MUCH, [1, 2, 3])]
)
def test_a_batch_ends_where_its_values_are_enough(rig: Rig, most_bytes: int, expected: list[int]) -> None:
    """Large answers make small batches, but never an empty one, however large its first record; an announced one stays whole."""
    share = Share(0, known=True)
    share.add([rig.record(b"x" * 10, offset) for offset in (1, 2, 3)], 1.0)
    assert _offsets(share.batch(10, most_bytes)) == expected
    share.replay_to = 3
    assert _offsets(share.batch(10, most_bytes)) == [1, 2, 3]


def test_an_announced_batch_waits_until_it_is_whole(rig: Rig) -> None:
    """It is written exactly as announced: not before its last record is there, and with none behind it."""
    share = _share(rig, 1, 2, replay_to=5)
    assert share.batch(10, MUCH) == []
    assert not share.replayable()
    share.add([rig.record(b"x", 5), rig.record(b"x", 6)], 1.0)
    assert share.replayable()
    assert _offsets(share.batch(10, MUCH)) == [1, 2, 5]
    assert _offsets(share.batch(1, MUCH)) == [1, 2, 5], "the usual size does not cut it"
    share.settle(3, 2.0)
    assert share.replay_to is None
    assert _offsets(share.batch(10, MUCH)) == [6]


def test_an_announced_batch_that_retention_took_is_given_up(rig: Rig) -> None:
    """When the first record that is left lies behind the batch, writing goes on from there."""
    share = _share(rig, 7, 8, replay_to=5)
    share.forget_lost_intent()
    assert _offsets(share.batch(10, MUCH)) == [7, 8]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it only makes records
@given(st.lists(st.tuples(st.lists(st.integers(0, 30), max_size=6), st.integers(0, 4)), max_size=12))
def test_records_that_come_twice_are_held_once(rig: Rig, steps: list[tuple[list[int], int]]) -> None:
    """However fetches overlap and batches settle between, each offset is handed out once, in order."""
    share, handed = Share(0, known=True), []
    for fetched, written in steps:
        share.add([rig.record(b"x", offset) for offset in sorted(set(fetched))], 1.0)
        batch = share.batch(written, MUCH) if written else []
        handed += _offsets(batch)
        share.settle(len(batch), 1.0)
    assert handed == sorted(set(handed))
