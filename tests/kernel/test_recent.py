"""What is kept for those used lately: its bound, who stays, who goes, what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.recent import Recent

pytestmark = pytest.mark.unit

MOST = 6


@given(st.lists(st.tuples(st.sampled_from(["get", "put", "forget"]), st.integers(0, 12)), max_size=200))
def test_it_keeps_within_its_bound_and_never_gives_what_was_not_put_last(steps: list[tuple[str, int]]) -> None:
    """Whatever is done, there are never more than `most`, the last half of them used is there, and each is what was put last."""
    recent: Recent[int, str] = Recent(MOST)
    last: dict[int, str] = {}
    used: list[int] = []
    for number, (what, key) in enumerate(steps):
        if what == "put":
            last[key] = f"{key} made in step {number}"
            recent.put(key, last[key])
        elif what == "forget":
            last.pop(key, None)
            recent.forget(key)
            assert recent.get(key) is None
        found = recent.get(key)
        assert found is None or found == last[key]
        used = [one for one in used if one != key] + ([key] if found is not None else [])
        assert len(recent) <= MOST
    for key in used[-MOST // 2 :]:
        assert recent.get(key) == last[key]


def test_one_in_use_stays_however_many_others_come() -> None:
    """What is asked for again and again is never dropped; of those that come once the last ones are kept."""
    recent: Recent[int, str] = Recent(MOST)
    recent.put(-1, "in use")
    for number in range(1_000):
        recent.put(number, "once")
        assert recent.get(-1) == "in use"
    assert len(recent) <= MOST
    assert recent.get(0) is None
    assert recent.get(999) == "once"


def test_an_old_one_is_replaced_not_kept_twice() -> None:
    """What is put anew takes the place of what was put before, in either generation."""
    recent: Recent[int, str] = Recent(MOST)
    for number in range(4):
        recent.put(number, "before")
    recent.put(0, "after")
    recent.put(3, "after")
    assert len(recent) == 4
    assert [recent.get(number) for number in range(4)] == ["after", "before", "before", "after"]
    recent.forget(0)
    assert recent.get(0) is None
