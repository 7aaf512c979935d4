"""Which record was being decoded when the process died: one that kills the decoder three times is a dead letter.

The marker lives in a memory-mapped file, so that writing it costs well under a microsecond and it outlives the
process (not the machine: that is no crash of the decoder).
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

_SIZE: Final = 512
CRASHES: Final = 3


class CrashMarker:
    """Marks the record in hand; counts, across restarts, how often each was in hand when the process died.

    `slot` tells the processes of one machine apart; the first free one is taken, so that a restarted dispatcher
    finds the marker of the one that died. Used from the event loop's thread only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._map: mmap.mmap | None = None
        self._lock: int | None = None
        self._deaths: Counter[str] = Counter()

    def open(self) -> None:
        """Take a slot, count what its last owner left, and start clean."""
        self._folder.mkdir(parents=True, exist_ok=True)
        slot = next(n for n in range(10_000) if self._take(n))
        path = self._folder / f"decoding.{slot}"
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(file, _SIZE)
        self._map = mmap.mmap(file, _SIZE)
        os.close(file)
        self._deaths = self._read_deaths()
        if self._map[0]:
            left = self._map[:].rstrip(b"\0").decode("utf-8", "replace")
            self._deaths[left] += 1
            self._write_deaths()
        self.clear()

    def close(self) -> None:
        """Give the slot back."""
        if self._map is not None:
            self.clear()
            self._map.close()
            self._map = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def mark(self, topic: str, partition: int, offset: int) -> bool:
        """Note the record in hand; return False when it has killed a process often enough and must not be decoded."""
        place = f"{topic}:{partition}:{offset}"
        if self._deaths and self._deaths[place] >= CRASHES:
            return False
        if self._map is not None:
            self._map[:] = place.encode()[:_SIZE].ljust(_SIZE, b"\0")
        return True

    def clear(self) -> None:
        """Nothing is in hand."""
        if self._map is not None:
            self._map[0:1] = b"\0"

    def _take(self, slot: int) -> bool:
        lock = os.open(self._folder / f"slot.{slot}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _read_deaths(self) -> Counter[str]:
        with suppress(OSError, ValueError):
            return Counter(json.loads((self._folder / "deaths.json").read_text()))
        return Counter()

    def _write_deaths(self) -> None:
        """Replace the file in one step; several slots share it, and a lost count costs one more crash at most."""
        path = self._folder / f"deaths.{os.getpid()}.json"
        path.write_text(json.dumps(dict(self._deaths.most_common(100))))
        path.replace(self._folder / "deaths.json")
