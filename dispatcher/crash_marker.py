"""Which record was being decoded when the process died: one that kills the decoder three times is a dead letter.

The marker lives in a memory-mapped file, so that writing it costs well under a microsecond and it outlives the
process (not the machine: that is no crash of the decoder).
"""

from __future__ import annotations

import json
import mmap
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

from hookline.dispatcher.slot import Slot

_SIZE: Final = 512
CRASHES: Final = 3


class CrashMarker:
    """Marks the record in hand; counts, across restarts, how often each was in hand when the process died.

    `slot`, taken before `open`, tells the processes of one machine apart: a restarted dispatcher finds the marker of the
    one that died in it. Used from the event loop's thread only.
    """

    def __init__(self, folder: Path, slot: Slot) -> None:
        self._folder = folder
        self._slot = slot
        self._map: mmap.mmap | None = None
        self._deaths: Counter[str] = Counter()
        self._partitions: dict[tuple[str, int], bytes] = {}

    def open(self) -> None:
        """Count what the slot's last owner left, and start clean."""
        path = self._folder / f"decoding.{self._slot.number}"
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(file, _SIZE)
        self._map = mmap.mmap(file, _SIZE)
        os.close(file)
        self._deaths = self._read_deaths()
        if self._map[0]:
            left = self._map[:].partition(b"\0")[0].decode("utf-8", "replace")
            self._deaths[left] += 1
            self._write_deaths()
        self.clear()

    def close(self) -> None:
        """Leave nothing in hand."""
        if self._map is not None:
            self.clear()
            self._map.close()
            self._map = None

    def mark(self, topic: str, partition: int, offset: int) -> bool:
        """Note the record in hand; return False when it has killed a process often enough and must not be decoded."""
        if self._deaths and self._deaths[f"{topic}:{partition}:{offset}"] >= CRASHES:
            return False
        if self._map is not None:
            mark = b"%b%d\0" % (self._partitions.get((topic, partition)) or self._partition(topic, partition), offset)
            self._map[: len(mark)] = mark  # what an older and longer one leaves stands behind the NUL
        return True

    def clear(self) -> None:
        """Nothing is in hand."""
        if self._map is not None:
            self._map[0] = 0

    def _partition(self, topic: str, partition: int) -> bytes:
        """Return how the mark of a partition's records begins; Kafka's names of topics are 249 characters at most, so that it fits."""
        found = self._partitions[topic, partition] = f"{topic}:{partition}:".encode()
        return found

    def _read_deaths(self) -> Counter[str]:
        with suppress(OSError, ValueError):
            return Counter(json.loads((self._folder / "deaths.json").read_text()))
        return Counter()

    def _write_deaths(self) -> None:
        """Replace the file in one step; several slots share it, and a lost count costs one more crash at most."""
        path = self._folder / f"deaths.{os.getpid()}.json"
        path.write_text(json.dumps(dict(self._deaths.most_common(100))))
        path.replace(self._folder / "deaths.json")
