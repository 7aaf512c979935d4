"""Offsets: the commit position under every order of settling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.dispatcher.offsets import Offsets

pytestmark = pytest.mark.unit


def test_nothing_added_commits_nothing() -> None:
    """Before the first record there is no position."""
    assert Offsets().position is None


def test_position_is_the_lowest_unsettled() -> None:
    """A later record that settles first does not move the position."""
    offsets = Offsets()
    for offset in (5, 6, 9):
        assert offsets.add(offset)
    assert offsets.done(6)
    assert offsets.done(9)
    assert offsets.position == 5
    assert offsets.done(5)
    assert offsets.position == 10


def test_a_record_seen_again_is_not_taken_up_twice() -> None:
    """A record that Kafka hands out again, pending or settled, is refused."""
    offsets = Offsets()
    assert offsets.add(3)
    assert not offsets.add(3)
    assert offsets.done(3)
    assert not offsets.add(3)
    assert not offsets.add(2)
    assert offsets.position == 4


def test_settling_twice_counts_once() -> None:
    """The second acknowledgement of a record changes nothing."""
    offsets = Offsets()
    offsets.add(1)
    offsets.add(2)
    assert offsets.done(1)
    assert not offsets.done(1)
    assert (offsets.pending, offsets.position) == (1, 2)


@given(st.data())
def test_any_interleaving_keeps_the_promise(data: st.DataObject) -> None:
    """Whatever the order and the gaps: nothing unsettled lies below the position, which never goes back."""
    gaps = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=60))
    offsets, pending, settled, next_offset, before = Offsets(), set[int](), set[int](), 0, 0
    steps = data.draw(st.lists(st.booleans(), min_size=len(gaps), max_size=3 * len(gaps)))
    for add in steps:
        if add and gaps:
            next_offset += gaps.pop()
            assert offsets.add(next_offset)
            pending.add(next_offset)
        elif pending:
            one = data.draw(st.sampled_from(sorted(pending)))
            pending.remove(one)
            settled.add(one)
            assert offsets.done(one)
        position = offsets.position
        if position is None:
            assert not settled
            assert not pending
            continue
        assert position == (min(pending) if pending else next_offset + 1)
        assert all(offset >= position for offset in pending)
        assert position >= before
        before = position
    assert offsets.pending == len(pending)
