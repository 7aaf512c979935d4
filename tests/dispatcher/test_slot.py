"""Who follows a dispatcher knows under which id that one was a member."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.dispatcher.slot import Slot
from hookline.kernel.errors import ConfigError

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


@pytest.mark.parametrize("in_the_way", ["state", "state/decoding", "state/decoding/slot.0.lock/file"])
def test_a_folder_that_cannot_be_written_is_named_with_its_setting(in_the_way: str, tmp_path: Path) -> None:
    """The folder cannot be made, or the place in it not be opened: the setting, the folder and the reason, no stack."""
    (tmp_path / in_the_way).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / in_the_way).touch()
    with pytest.raises(ConfigError) as told:
        Slot(tmp_path / "state" / "decoding").take()
    assert f"HOOKLINE_STATE_DIR={tmp_path / 'state'} cannot be written: " in told.value.message
    assert "HOOKLINE_STATE_DIR" in told.value.remedy
