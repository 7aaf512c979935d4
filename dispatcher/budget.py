"""The calls that one dispatcher may have under way, shared between fresh events and what is made again. Pure state."""

from __future__ import annotations

import math
from collections import deque
from enum import IntEnum
from typing import Final, Generic, TypeVar

T = TypeVar("T")
_RESERVE: Final = 0.2


class Kind(IntEnum):
    """Whom a call is made for: a fresh event, or a retry, replay or test; an index, since hashing an enum is slow."""

    FRESH = 0
    AGAIN = 1


class Budget(Generic[T]):
    """`most` calls in all, of them `again` for what is made again; what finds no room waits in order of its coming.

    A free place goes to the two kinds in turn, so that neither starves the other.
    """

    def __init__(self, most: int, again: int) -> None:
        self._most = [most, again]
        self._used = [0, 0]
        self._all = most
        self._short_at = [_short_at(most), _short_at(again)]
        self._waiting: tuple[deque[T], deque[T]] = (deque(), deque())
        self._turn = [Kind.FRESH, Kind.AGAIN]

    @property
    def used(self) -> int:
        """Places taken."""
        return self._used[0] + self._used[1]

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting[0]) + len(self._waiting[1])

    def pressed(self, kind: Kind, *, mine: int = 0) -> bool:
        """Tell whether, but for `mine`, only the last fifth is left: it is kept for receivers that answer quickly."""
        used, short_at = self._used, self._short_at
        return used[0] + used[1] - mine >= short_at[0] or used[kind] - mine >= short_at[kind]

    def take(self, kind: Kind, one: T) -> bool:
        """Take a place and return True, or let `one` wait for it."""
        if self._room(kind) and not self._waiting[kind]:
            self._used[kind] += 1
            return True
        self._waiting[kind].append(one)
        return False

    def give(self, kind: Kind) -> T | None:
        """Give a place back; return the one that has it now, None when nobody waits for it."""
        self._used[kind] -= 1
        if not self.waiting:
            return None
        for turn in tuple(self._turn):
            if self._waiting[turn] and self._room(turn):
                self._used[turn] += 1
                self._turn.reverse()
                return self._waiting[turn].popleft()
        return None

    def _room(self, kind: Kind) -> bool:
        return self.used < self._all and self._used[kind] < self._most[kind]


def _short_at(most: int) -> float:
    """Return from how many places taken on only the reserve is left."""
    reserve = int(most * _RESERVE)
    return most - reserve if reserve else math.inf
