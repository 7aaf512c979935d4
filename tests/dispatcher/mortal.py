"""Processes that hold a place on this machine for a while, and die or end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hookline.dispatcher.crash_marker import CrashMarker
from hookline.dispatcher.slot import Slot


@contextmanager
def process(folder: Path) -> Iterator[CrashMarker]:
    """Give the marker of a process that has just started; it ends cleanly."""
    slot = Slot(folder)
    slot.take()
    marker = CrashMarker(folder, slot)
    marker.open()
    yield marker
    marker.close()
    slot.release()


def die_with(folder: Path, topic: str, offset: int) -> None:
    """Take a record in hand and end without clearing, as a crash does."""
    with process(folder) as marker:
        assert marker.mark(topic, 0, offset)
        marker.clear = lambda: None  # type: ignore[method-assign]  # a dead process clears nothing
