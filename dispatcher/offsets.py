"""Which offsets of one partition are settled, and so how far its commit may move. Pure; tested by random interleavings."""

from __future__ import annotations

from collections import deque


class Offsets:
    """The records of one partition under one assignment: added before hand-out, done when durable.

    `position` is the lowest unsettled offset, or the one after the last added; None before the first. Offsets may
    have gaps (compaction, transaction markers). Not thread-safe: the poll thread owns it.
    """

    __slots__ = ("_ahead", "_last", "_pending")

    def __init__(self) -> None:
        self._pending: set[int] = set()
        self._ahead: deque[int] = deque()  # from the position on, ascending: `add` takes no others
        self._last: int | None = None

    def add(self, offset: int) -> bool:
        """Take up an offset before handing it out; return False for one that is at or below the last taken up."""
        if self._last is not None and offset <= self._last:
            return False
        self._last = offset
        self._pending.add(offset)
        self._ahead.append(offset)
        return True

    def done(self, offset: int) -> bool:
        """Settle an offset; return False when it was not pending."""
        if offset not in self._pending:
            return False
        self._pending.remove(offset)
        while self._ahead and self._ahead[0] not in self._pending:
            self._ahead.popleft()
        return True

    @property
    def position(self) -> int | None:
        """The offset to commit: all below it are settled."""
        if self._ahead:
            return self._ahead[0]
        return None if self._last is None else self._last + 1

    @property
    def ahead(self) -> int:
        """How many were taken up from the position on: so many would be made again after a crash, at most."""
        return len(self._ahead)

    @property
    def pending(self) -> int:
        """How many are handed out and not settled."""
        return len(self._pending)
