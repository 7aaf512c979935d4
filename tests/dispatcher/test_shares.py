"""Shares: what an intake holds, under every order of taking up, settling and losing."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.dispatcher import metrics
from hookline.dispatcher.shares import Record, Shares, positions, tell_emptied, tell_holes
from tests.dispatcher.fake_kafka import message

pytestmark = pytest.mark.unit


def take_up(shares: Shares, offset: int, size: int = 10, partition: int = 0) -> Record:
    """Take a record up."""
    share = shares.get("t", partition) or shares.begin("t", partition)
    record = shares.take_up(share, message(b"x" * size, topic="t", partition=partition, offset=offset), offset)
    assert record is not None
    return record


def test_records_and_bytes_are_counted() -> None:
    """Taking up adds, settling subtracts, once."""
    shares = Shares()
    one, two = take_up(shares, 1, 100), take_up(shares, 2, 50)
    assert (shares.records, shares.bytes) == (2, 150)
    shares.settle(one)
    shares.settle(one)
    assert (shares.records, shares.bytes) == (1, 50)
    shares.settle(two)
    assert (shares.records, shares.bytes) == (0, 0)


def test_a_forgotten_share_counts_no_more() -> None:
    """What was under way of a lost partition leaves the counts at once, and changes nothing when it settles late."""
    shares = Shares()
    lost, kept = take_up(shares, 1, 100, partition=0), take_up(shares, 1, 10, partition=1)
    shares.end(("t", 0))
    assert (shares.records, shares.bytes, lost.share.open) == (1, 10, False)
    shares.settle(lost)
    shares.let_go(lost)
    assert (shares.records, shares.bytes) == (1, 10)
    assert kept.share.open


def test_a_new_assignment_is_a_new_share() -> None:
    """A late result of the old assignment does not move the new one's position."""
    shares = Shares()
    old = take_up(shares, 5)
    new = shares.begin("t", 0)
    again = shares.take_up(new, message(topic="t", offset=5), 5)
    assert again is not None
    shares.settle(old)
    assert new.offsets.position == 5
    shares.settle(again)
    assert new.offsets.position == 6


def test_what_is_let_go_keeps_its_offset() -> None:
    """A held record takes no room, yet the position stays before it."""
    shares = Shares()
    held, later = take_up(shares, 1), take_up(shares, 2)
    shares.let_go(held)
    shares.settle(later)
    assert (shares.records, held.share.offsets.position) == (0, 1)
    shares.end(("t", 0))
    assert shares.records == 0


def test_next_is_the_position_or_where_it_was_put_off() -> None:
    """Before anything is read there is no next; a partition put off has its next where it waits."""
    shares = Shares()
    share = shares.begin("t", 0)
    seen = [share.next]
    share.put_off, share.resume_at = 7, 1.0
    seen.append(share.next)
    record = shares.take_up(share, message(topic="t", offset=9), 9)
    assert record is not None
    seen.append(share.next)
    shares.settle(record)
    assert [*seen, share.next] == [None, 7, 9, 10]


@given(
    st.lists(st.tuples(st.sampled_from(["take", "settle", "let go", "lose", "begin"]), st.integers(0, 2), st.integers(0, 99)), max_size=150)
)
def test_the_counts_are_those_of_what_is_there(steps: list[tuple[str, int, int]]) -> None:
    """Under any interleaving the totals are the sums over the open shares, and never negative."""
    shares, records, next_offset, let_go = Shares(), [], 0, set()
    for what, partition, number in steps:
        if what == "take":
            next_offset += 1
            records.append(take_up(shares, next_offset, number, partition))
        elif what == "lose":
            shares.end(("t", partition))
        elif what == "begin":
            shares.begin("t", partition)
        elif records:
            record = records.pop(number % len(records))
            if what == "settle":
                shares.settle(record)
            elif record not in let_go:
                let_go.add(record)
                shares.let_go(record)
        held = [record for record in records if record.share.open]
        assert (shares.records, shares.bytes) == (len(held), sum(record.bytes for record in held))


def sent_on(topic: str, asked: int) -> None:
    """Have librdkafka say that a reader of partition 0 was sent on."""
    line = (
        f"OFFSET [x#consumer-1] [thrd:main]: {topic} [0]: offset reset (at offset {asked}) to offset BEGINNING: Broker: Offset out of range"
    )
    logging.getLogger("librdkafka").warning("%s", line)


def missed(source: str) -> float:
    """Return how many records were told to be missed."""
    return float(metrics.MISSED.labels(source)._value.get())


def test_where_nothing_is_left_the_loss_is_told_once_and_committed_behind() -> None:
    """By the low watermark; a record that is still under way keeps its place, and the next one that comes is taken up."""
    consumer: Any = SimpleNamespace(get_watermark_offsets=lambda _place, *, cached: (50, 50) if cached else None)
    shares = Shares()
    early = take_up(shares, 19)
    tell_emptied("emptied", consumer, shares)
    sent_on("t", 20)
    for _ in range(4):
        tell_emptied("emptied", consumer, shares)
    assert missed("emptied") == 30
    assert [place.offset for place in positions(shares)] == [19]
    shares.settle(early)
    assert [place.offset for place in positions(shares)] == [50]
    tell_holes("emptied", [message(topic="t", offset=50)])
    assert missed("emptied") == 30
    assert take_up(shares, 50).offset == 50


def test_a_hole_of_an_earlier_assignment_is_not_told_again() -> None:
    """The owner meanwhile has told it, and read on."""
    shares = Shares()
    shares.begin("t", 0)
    sent_on("t", 20)
    shares.begin("t", 0)
    tell_holes("again", [message(topic="t", offset=70)])
    assert missed("again") == 0
