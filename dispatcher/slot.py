"""A process's place on its machine, taken again by the one that follows it, with what the last one left there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from hookline.kernel.config import STATE_DIR
from hookline.kernel.errors import ConfigError

_MOST: Final = 512


class Slot:
    """The first place that no live process of this machine holds; its file has the id under which its owner is a member.

    `folder` lies in the state folder. Used from the event loop's thread only. A file in the page cache outlives the process, though not
    the machine.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._written = ""
        self.number = 0
        self.former = ""

    def take(self) -> None:
        """Take a place; `former` is then the id of the last member that was here, empty where there was none.

        Raises `ConfigError` when the folder cannot be made, or nothing be written in it.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self.number = next(n for n in range(10_000) if self._lock(n))
        except OSError as error:
            raise ConfigError(
                f"{STATE_DIR}={self._folder.parent} cannot be written: {error.strerror or error}",
                remedy=f"Set {STATE_DIR} to a folder that this process may write.",
            ) from error
        self.former = os.pread(self._file or 0, _MOST, 0).decode("utf-8", "replace")

    def note(self, member: str) -> None:
        """Write the id that this process has in its group now; empty: it has none yet, and its predecessor's stays."""
        if self._file is not None and member and member != self._written:
            self._written = member
            os.ftruncate(self._file, os.pwrite(self._file, member.encode()[:_MOST], 0))

    def release(self) -> None:
        """Give the place back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, number: int) -> bool:
        file = os.open(self._folder / f"slot.{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True
