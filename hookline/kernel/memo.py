"""What was made of texts, kept for the next time: as much as the texts' size allows, since what is made of a long one is large."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Memo(Generic[Made]):
    """`make(text)`, remembered for the newest texts that have `most` characters together; what it raises is not. Thread-safe."""

    def __init__(self, make: Callable[[str], Made], most: int) -> None:
        self._make = make
        self._most = most
        self._made: dict[str, Made] = {}
        self._size = 0
        self._lock = threading.Lock()

    def __call__(self, text: str) -> Made:
        """Return what is made of a text."""
        found = self._made.get(text)
        return found if found is not None else self._add(text)

    def _add(self, text: str) -> Made:
        made = self._make(text)
        with self._lock:
            if text not in self._made:
                self._made[text] = made
                self._size += len(text)
            while self._size > self._most and len(self._made) > 1:
                oldest = next(iter(self._made))
                del self._made[oldest]
                self._size -= len(oldest)
        return made
