"""Who follows a dispatcher knows under which id that one was a member."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.dispatcher.slot import Slot

pytestmark = pytest.mark.unit


def taken(folder: Path) -> Slot:
    """Return the place of a process that has just started."""
    slot = Slot(folder)
    slot.take()
    return slot


def test_the_first_one_follows_nobody(tmp_path: Path) -> None:
    """A place that nobody had before remembers nothing."""
    assert taken(tmp_path).former == ""


def test_who_follows_knows_the_last_id(tmp_path: Path) -> None:
    """Each new id replaces the one before, whatever their lengths."""
    died = taken(tmp_path)
    for member in ("hookline-a-long-one", "hookline-b", "hookline-b"):
        died.note(member)
    died.release()
    follower = taken(tmp_path)
    assert (follower.number, follower.former) == (died.number, "hookline-b")


def test_who_never_joined_passes_on_what_it_found(tmp_path: Path) -> None:
    """A process that dies while it waits says nothing about the member that died before it."""
    died = taken(tmp_path)
    died.note("hookline-a")
    died.release()
    waiting = taken(tmp_path)
    waiting.note("")
    waiting.release()
    assert taken(tmp_path).former == "hookline-a"


def test_places_of_the_living_are_not_taken(tmp_path: Path) -> None:
    """A second process has a place of its own, and not the first one's memory."""
    first = taken(tmp_path)
    first.note("hookline-a")
    second = taken(tmp_path)
    assert (first.number, second.number, second.former) == (0, 1, "")
