"""A record that kills the decoder does not do so for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.dispatcher.crash_marker import CRASHES
from tests.dispatcher.mortal import die_with, process

pytestmark = pytest.mark.unit


def test_the_third_death_refuses_the_record(tmp_path: Path) -> None:
    """After three deaths with the same record in hand it is refused; another one is not."""
    for _ in range(CRASHES):
        die_with(tmp_path, "orders", 7)
    with process(tmp_path) as marker:
        assert not marker.mark("orders", 0, 7)
        assert marker.mark("orders", 0, 8)


def test_a_mark_is_read_to_its_end_only(tmp_path: Path) -> None:
    """What a longer mark left behind a shorter one is no part of it."""
    for _ in range(CRASHES):
        with process(tmp_path) as marker:
            assert marker.mark("orders.with.a.long.name", 11, 123_456_789)
        die_with(tmp_path, "orders", 7)
    with process(tmp_path) as marker:
        assert not marker.mark("orders", 0, 7)
        assert marker.mark("orders.with.a.long.name", 11, 123_456_789)


def test_a_clean_end_counts_nothing(tmp_path: Path) -> None:
    """A record that was decoded and cleared leaves no trace."""
    for _ in range(CRASHES + 1):
        with process(tmp_path) as marker:
            assert marker.mark("orders", 0, 7)
            marker.clear()


def test_two_processes_take_two_slots(tmp_path: Path) -> None:
    """A second marker beside a live one does not read its record as a death."""
    with process(tmp_path) as first:
        assert first.mark("orders", 0, 7)
        with process(tmp_path) as second:
            assert second.mark("orders", 0, 7)
            assert (tmp_path / "decoding.1").exists()
