"""Cursors: nothing that was not sealed for this list opens."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hookline.console.http.cursors import Cursors
from hookline.console.http.problems import Code, Refused
from tests.fuzz.effort import cpu_within, tries

pytestmark = pytest.mark.unit


class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        """Return the wall time."""
        return datetime(2026, 3, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        """Return the seconds."""
        return 0.0


CURSORS = Cursors(b"k" * 32, Still())
BOUNDS = st.fixed_dictionaries(
    {"store": st.text(max_size=5), "filters": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)}
)
POSITIONS = st.lists(st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1), max_size=4)


def refuses(text: str, bound: dict[str, Any]) -> None:
    """Open it, expecting the one refusal, soon."""
    with cpu_within(0.5), pytest.raises(Refused) as refused:
        CURSORS.open(text, bound)
    assert refused.value.problem is Code.CURSOR_INVALID


@tries(300)
@given(
    text=st.text(max_size=3_000) | st.binary(max_size=600).map(lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")), bound=BOUNDS
)
def test_made_up_cursors(text: str, bound: dict[str, Any]) -> None:
    """Text, or base64 of whatever: refused."""
    refuses(text, bound)


@tries(400)
@given(position=POSITIONS, bound=BOUNDS, start=st.integers(0, 500), length=st.integers(0, 6), put=st.text("ABCxyz019-_=+/ .", max_size=6))
def test_changed_cursors(position: list[Any], bound: dict[str, Any], start: int, length: int, put: str) -> None:
    """A real cursor with a place cut out or replaced: refused."""
    text = CURSORS.seal(position, bound)
    start %= len(text)
    changed = text[:start] + put + text[start + length :]
    assume(changed != text)
    refuses(changed, bound)


@tries(300)
@given(position=POSITIONS, bound=BOUNDS, other=BOUNDS)
def test_cursors_of_another_list(position: list[Any], bound: dict[str, Any], other: dict[str, Any]) -> None:
    """A real cursor, unchanged, opens for its own store and filters and for no others."""
    text = CURSORS.seal(position, bound)
    assert CURSORS.open(text, bound) == position
    if other != bound:
        refuses(text, other)


@tries(200)
@given(st.lists(POSITIONS, min_size=2, max_size=2, unique_by=repr), st.integers(1, 40))
def test_spliced_cursors(positions: list[list[Any]], at: int) -> None:
    """The tag of one before the position of another: refused."""
    one, other = (CURSORS.seal(position, {}) for position in positions)
    spliced = one[:at] + other[at:]
    assume(spliced not in {one, other})
    refuses(spliced, {})
