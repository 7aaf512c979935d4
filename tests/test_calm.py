"""A failure in a calm moment counts at once; one while the process stood still does not, and not for ever."""

from __future__ import annotations

import time

import pytest

from tests.calm import Gaps, calmly, calmly_async

pytestmark = pytest.mark.unit


class Attempt:
    """An attempt that succeeds at last, or never."""

    def __init__(self, failures: int) -> None:
        self.made, self._failures = 0, failures

    def __call__(self) -> None:
        """Make it."""
        self.made += 1
        assert self.made > self._failures, f"attempt {self.made}"

    async def later(self) -> None:
        """Make it in a loop."""
        self()


@pytest.mark.parametrize(("still", "failures", "made"), [(False, 1, 1), (True, 1, 2), (True, 9, 3)])
async def test_what_is_made_again(still: bool, failures: int, made: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what failed while the process stood still, and at most as often as is said."""
    monkeypatch.setattr(Gaps, "disturbed", lambda _self: still)
    plain, later = Attempt(failures), Attempt(failures)
    if still and failures < 3:
        calmly(plain, tries=3)
        await calmly_async(later.later, tries=3)
    else:
        with pytest.raises(AssertionError, match=f"attempt {made}"):
            calmly(plain, tries=3)
        with pytest.raises(AssertionError, match=f"attempt {made}"):
            await calmly_async(later.later, tries=3)
    assert (plain.made, later.made) == (made, made)


def test_a_process_that_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock has jumped between two looks at it: that is a gap. A thread that waits in its own code is none."""
    with Gaps() as gaps:
        time.sleep(0.05)
    real, jumped = time.monotonic, list[float]()
    with Gaps() as still:
        monkeypatch.setattr("tests.calm.time", type("Clock", (), {"monotonic": lambda: real() + len(jumped)}))
        time.sleep(0.05)
        jumped.append(1.0)
        time.sleep(0.05)
    assert still.disturbed()
    assert gaps._longest_s < still._longest_s
