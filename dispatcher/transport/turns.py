"""Turns for what there are few of, so that nobody can take all: a group gets only a part of what is left.

Groups stand within each other, as names do. One that is alone gets its share; each further one gets the like part of what those before
it have left of all, and of each group around it; and one that has nothing yet gets one while any is left. So it takes many to take all.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

Path: TypeAlias = Sequence[tuple[Hashable, int]]
"""The groups that somebody belongs to, from the outermost on, each with the most that it gets; never empty."""


class Turns:
    """At most so many turns at once; on the event loop's thread."""

    def __init__(self, most: int) -> None:
        self._all: Final = _Group(None, most, None)

    @property
    def groups(self) -> int:
        """How many outermost groups have a turn, or wait for one."""
        return len(self._all.parts)

    @asynccontextmanager
    async def turn(self, path: Path) -> AsyncIterator[None]:
        """Wait for a turn, have it in the block, then give it back; of one group first come, first served, groups in turn."""
        group = self._all
        for key, most in path:
            group = group.part(key, most)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        group.wait(mine)
        self._go_on()
        try:
            await mine
            yield
        finally:
            if mine.cancelled() or not mine.done():
                group.leave_line(mine)
            else:
                group.give_back()
                self._go_on()

    def _go_on(self) -> None:
        while (found := self._all.admit()) is not None:
            found.set_result(None)


class _Group:
    """Those with one key in the group around them: `taken` turns, and who waits for one."""

    __slots__ = ("around", "key", "line", "most", "parts", "taken", "waiting")

    def __init__(self, key: Hashable, most: int, around: _Group | None) -> None:
        self.key, self.most, self.around = key, most, around
        self.taken = 0
        self.parts: dict[Hashable, _Group] = {}
        self.line: OrderedDict[Hashable, _Group] = OrderedDict()  # the parts in which somebody waits
        self.waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    def part(self, key: Hashable, most: int) -> _Group:
        found = self.parts.get((key, most))
        if found is None:
            found = self.parts[key, most] = _Group((key, most), most, self)
        return found

    def wait(self, turn: asyncio.Future[None]) -> None:
        self.waiting[turn] = None
        group = self
        while group.around is not None:
            group.around.line.setdefault(group.key, group)
            group = group.around

    def leave_line(self, turn: asyncio.Future[None]) -> None:
        self.waiting.pop(turn, None)
        self._tidy()

    def give_back(self) -> None:
        group: _Group | None = self
        while group is not None:
            group.taken -= 1
            group = group.around
        self._tidy()

    def admit(self) -> asyncio.Future[None] | None:
        """Count a turn for whoever may have the next one, and return whose it is; None when nobody may.

        Those passed over have turns already, so there are few of them however many wait.
        """
        if not self._may:
            return None
        found = next((turn for part in self.line.values() if (turn := part.admit()) is not None), None) or self._first()
        if found is not None:
            self.taken += 1
            self._step_back()
        return found

    def _first(self) -> asyncio.Future[None] | None:
        while self.waiting:
            found, _ = self.waiting.popitem(last=False)
            if not found.done():  # called off
                return found
        return None

    @property
    def _may(self) -> bool:
        """Tell whether one more may have a turn, as far as it is this group's matter: by what is left of each group around it."""
        if self.around is None:
            return self.taken < self.most
        around: _Group | None = self.around
        while around is not None:
            if self.taken * (around.most - self.most) >= self.most * (around.most - around.taken):
                return False
            around = around.around
        return True

    def _step_back(self) -> None:
        """Go to the end of the line, or out of it."""
        if self.around is None:
            return
        if self.line or self.waiting:
            self.around.line.move_to_end(self.key)
        else:
            self.around.line.pop(self.key, None)

    def _tidy(self) -> None:
        """Forget the groups that have nothing and nobody."""
        group = self
        while group.around is not None and not group.line and not group.waiting:
            group.around.line.pop(group.key, None)
            if not group.taken:
                group.around.parts.pop(group.key, None)
            group = group.around
