"""The budget of calls under way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.dispatcher.budget import Budget, Kind

pytestmark = pytest.mark.unit

FRESH, AGAIN = Kind.FRESH, Kind.AGAIN


def test_fresh_events_may_use_it_all_and_retries_their_share() -> None:
    """With room for 4, of them 2 for what is made again."""
    budget: Budget[str] = Budget(4, 2)
    assert [budget.take(AGAIN, "a") for _ in range(3)] == [True, True, False]
    assert [budget.take(FRESH, "f") for _ in range(3)] == [True, True, False]
    assert (budget.used, budget.waiting) == (4, 2)


def test_neither_kind_starves_the_other() -> None:
    """When both wait, free places go to them in turn."""
    budget: Budget[str] = Budget(2, 2)
    assert budget.take(FRESH, "x")
    assert budget.take(FRESH, "x")
    for number in range(3):
        budget.take(FRESH, f"f{number}")
        budget.take(AGAIN, f"a{number}")
    got = [budget.give(FRESH), budget.give(FRESH)]
    got += [budget.give(Kind.FRESH if str(one).startswith("f") else Kind.AGAIN) for one in got]
    assert got == ["f0", "a0", "f1", "a1"]


def test_order_within_a_kind_is_kept() -> None:
    """Who waits is served in the order of coming, and nobody overtakes."""
    budget: Budget[int] = Budget(1, 1)
    assert budget.take(FRESH, 0)
    for number in (1, 2, 3):
        assert not budget.take(FRESH, number)
    assert [budget.give(FRESH) for _ in range(4)] == [1, 2, 3, None]


def test_pressed_when_the_last_fifth_is_in_use() -> None:
    """Each kind is pressed by its own share and by the whole."""
    budget: Budget[int] = Budget(10, 5)
    for number in range(4):
        budget.take(AGAIN, number)
    assert budget.pressed(AGAIN)
    assert not budget.pressed(FRESH)
    for number in range(4):
        budget.take(FRESH, number)
    assert budget.pressed(FRESH)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([FRESH, AGAIN])), max_size=200))
def test_places_are_neither_lost_nor_doubled(steps: list[tuple[bool, Kind]]) -> None:
    """Under any order of taking and giving: the limits hold, and nobody waits while there is room for him."""
    budget: Budget[tuple[int, Kind]] = Budget(5, 2)
    running: list[tuple[int, Kind]] = []
    waiting: list[tuple[int, Kind]] = []
    for number, (take, kind) in enumerate(steps):
        if take:
            (running if budget.take(kind, (number, kind)) else waiting).append((number, kind))
        elif running:
            following = budget.give(running.pop(0)[1])
            if following is not None:
                waiting.remove(following)
                running.append(following)
        used = {k: sum(one[1] is k for one in running) for k in Kind}
        assert budget.used == len(running) <= 5
        assert used[AGAIN] <= 2
        assert budget.waiting == len(waiting)
        if len(running) < 5:
            assert all(one[1] is AGAIN for one in waiting)
            assert not waiting or used[AGAIN] == 2
