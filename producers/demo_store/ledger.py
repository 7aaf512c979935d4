"""The ledger: one line of JSON per event that is certainly published, so that a reconciliation can check each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from hookline.kernel.errors import InputError
from hookline.schemas.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event that was confirmed."""

    id: str
    type: str
    store_id: str


class Ledger:
    """Writes entries to a file; used from one thread. What `write` was given is in the file when it returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Begin an empty file; raise `InputError` when that cannot be."""
        try:
            self._file = self._path.open("wb")
        except OSError as error:
            raise InputError(
                f"The ledger {self._path} cannot be written: {error.strerror}", remedy="Give --ledger another file."
            ) from error

    def write(self, events: Iterable[Event]) -> None:
        """Add events; raise `InputError` when the disk is full."""
        if self._file is None:
            return
        lines = [orjson.dumps({"id": e.id, "type": e.type, "store_id": e.store_id}, option=orjson.OPT_APPEND_NEWLINE) for e in events]
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
        except OSError as error:
            raise InputError(f"The ledger {self._path} cannot be written: {error.strerror}", remedy="Make room on the disk.") from error

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read(path: Path) -> Iterator[Entry]:
    """Yield a ledger's entries; a last line that is still being written is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield Entry(**orjson.loads(line))
