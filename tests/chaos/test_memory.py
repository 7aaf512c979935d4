"""A peak is seen after it was given back."""

from __future__ import annotations

import mmap
import os

import pytest

from tests.chaos.memory import grown, watch

pytestmark = pytest.mark.unit


def test_what_was_held_and_given_back_is_seen() -> None:
    """Fifty megabytes for a moment are; of a process that is new since nothing is said."""
    before = watch([os.getpid()])
    assert grown(before, [os.getpid()], 30.0) == []
    with mmap.mmap(-1, 50_000_000) as held:
        for at in range(0, len(held), mmap.PAGESIZE):
            held[at] = 1
    [found] = grown(before, [os.getpid(), 1], 30.0)
    assert found.startswith((f"process {os.getpid()} held 4", f"process {os.getpid()} held 5"))
    assert grown(watch([os.getpid()]), [os.getpid()], 30.0) == []
