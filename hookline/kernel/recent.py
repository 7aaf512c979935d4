"""What was made for each of many, kept for those used lately: a bound that costs who is used often next to nothing."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The last `most` used at most, and half of `most` at least; one thread gets and puts, any thread forgets.

    Two generations: what is used moves to the young one, and when that is full it becomes the old one, whose rest is dropped.
    So a hit costs one look into a dict, where an order of use would have to be kept with each.
    """

    __slots__ = ("_full", "_old", "_young")

    def __init__(self, most: int) -> None:
        self._full: Final = max(1, most // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """Return what was put last, None when that was forgotten or not used lately."""
        found = self._young.get(key)
        if found is None and (found := self._old.pop(key, None)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, made: V) -> None:
        """Keep what was made."""
        if len(self._young) >= self._full and key not in self._young:
            self._old, self._young = self._young, {}
        self._old.pop(key, None)
        self._young[key] = made

    def forget(self, key: K) -> None:
        """Drop one; it may come back when another thread uses it in the same moment, so whoever gets it looks whether it still holds."""
        self._young.pop(key, None)
        self._old.pop(key, None)
