"""The calls that one dispatcher may have under way, shared between fresh events and what is made again. Pure state."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final, Generic, TypeVar

T = TypeVar("T")
_RESERVE: Final = 0.2


class Kind(Enum):
    """Whom a call is made for: a fresh event, or a retry, replay or test."""

    FRESH = "fresh"
    AGAIN = "again"


class Budget(Generic[T]):
    """`most` calls in all, of them `again` for what is made again; what finds no room waits in order of its coming.

    A free place goes to the two kinds in turn, so that neither starves the other.
    """

    def __init__(self, most: int, again: int) -> None:
        self._most = {Kind.FRESH: most, Kind.AGAIN: again}
        self._used = {Kind.FRESH: 0, Kind.AGAIN: 0}
        self._all = most
        self._waiting: dict[Kind, deque[T]] = {Kind.FRESH: deque(), Kind.AGAIN: deque()}
        self._turn = [Kind.FRESH, Kind.AGAIN]

    @property
    def used(self) -> int:
        """Places taken."""
        return self._used[Kind.FRESH] + self._used[Kind.AGAIN]

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting[Kind.FRESH]) + len(self._waiting[Kind.AGAIN])

    def pressed(self, kind: Kind, *, mine: int = 0) -> bool:
        """Tell whether, but for `mine`, only the last fifth is left: it is kept for receivers that answer quickly."""
        return _short(self.used - mine, self._all) or _short(self._used[kind] - mine, self._most[kind])

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
        for turn in tuple(self._turn):
            if self._waiting[turn] and self._room(turn):
                self._used[turn] += 1
                self._turn.reverse()
                return self._waiting[turn].popleft()
        return None

    def _room(self, kind: Kind) -> bool:
        return self.used < self._all and self._used[kind] < self._most[kind]


def _short(used: int, most: int) -> bool:
    reserve = int(most * _RESERVE)
    return reserve > 0 and used >= most - reserve
