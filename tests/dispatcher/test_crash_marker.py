"""A record that kills the decoder does not do so for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.dispatcher.crash_marker import CRASHES, CrashMarker

pytestmark = pytest.mark.unit


def die_with(folder: Path, offset: int) -> None:
    """Take a record in hand and end without clearing, as a crash does."""
    marker = CrashMarker(folder)
    marker.open()
    assert marker.mark("orders", 0, offset)
    marker.clear = lambda: None  # type: ignore[method-assign]  # a dead process clears nothing
    marker.close()


def test_the_third_death_refuses_the_record(tmp_path: Path) -> None:
    """After three deaths with the same record in hand it is refused; another one is not."""
    for _ in range(CRASHES):
        die_with(tmp_path, 7)
    marker = CrashMarker(tmp_path)
    marker.open()
    assert not marker.mark("orders", 0, 7)
    assert marker.mark("orders", 0, 8)
    marker.close()


def test_a_clean_end_counts_nothing(tmp_path: Path) -> None:
    """A record that was decoded and cleared leaves no trace."""
    for _ in range(CRASHES + 1):
        marker = CrashMarker(tmp_path)
        marker.open()
        assert marker.mark("orders", 0, 7)
        marker.clear()
        marker.close()


def test_two_processes_take_two_slots(tmp_path: Path) -> None:
    """A second marker beside a live one does not read its record as a death."""
    first, second = CrashMarker(tmp_path), CrashMarker(tmp_path)
    first.open()
    assert first.mark("orders", 0, 7)
    second.open()
    assert second.mark("orders", 0, 7)
    assert (tmp_path / "decoding.1").exists()
    second.close()
    first.close()
