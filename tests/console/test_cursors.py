"""Cursors and a clock that is set back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hookline.console.http.cursors import Cursors
from hookline.console.http.problems import Code, Refused

pytestmark = pytest.mark.unit


class SetBack:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the wall time."""
        return self.at

    def monotonic(self) -> float:
        """Return the seconds."""
        return 0.0


@pytest.mark.parametrize("back_s", [60, 3_600, 86_400, 10**8])
def test_a_cursor_from_the_future_is_refused(back_s: int) -> None:
    """One that was sealed while the clock was ahead would else open for longer than a day: it opens when its time comes, for that day."""
    clock = SetBack()
    cursors = Cursors(b"k" * 32, clock)
    cursor = cursors.seal([1], {"store": "a"})
    sealed = clock.at
    clock.at -= timedelta(seconds=back_s)
    with pytest.raises(Refused) as refused:
        cursors.open(cursor, {"store": "a"})
    assert refused.value.problem is Code.CURSOR_INVALID
    clock.at = sealed
    assert cursors.open(cursor, {"store": "a"}) == [1]
