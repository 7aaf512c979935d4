"""What a fault is."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

from tests.chaos.history import Kind
from tests.chaos.world import World

_LEFT_S: Final = 75.0
"""Longer than any supervisor waits for anybody."""


class Fault(ABC):
    """One way to do harm: `inject` under load, `heal`, and then everything must recover; one object per round.

    `deaths`: how many deaths of processes it brings about that nobody kills, known once `check` is done. `ended_at`: when it
    was over, wall seconds; 0: once it was healed. `check` returns what is wrong beside the invariants.

    Of its round with SIGTERM: `term_after_s` between which seconds the signal comes, counted from the beginning of `inject`, or
    from the first harm of a kind that `term_waits_for` names, where what comes before is preparation. `term_spares`: who is
    left alone. `term_all`: both dispatchers get it at the same moment, not one. `told`: who got it and has left by itself.
    """

    name: str
    what: str
    term_after_s: ClassVar[tuple[float, float]] = (0.3, 2.5)
    term_waits_for: ClassVar[frozenset[Kind]] = frozenset()
    term_spares: ClassVar[tuple[str, ...]] = ()
    term_all: ClassVar[bool] = False
    told: Sequence[str] = ()
    deaths: int = 0
    deaths_of: str = ""
    ended_at: float = 0.0

    @abstractmethod
    def inject(self, world: World, numbers: random.Random) -> None:
        """Do it, and let it be for as long as it is to last."""

    def heal(self, world: World) -> None:  # noqa: B027  # most faults heal within `inject`
        """Undo it."""

    def check(self, world: World) -> list[str]:  # noqa: ARG002  # for those who have something to say
        """Return what is wrong, once everything has settled."""
        return []

    def after(self, world: World) -> None:  # noqa: B027  # most leave nothing behind
        """Clear away what it left, once all is checked."""


def until_left(world: World) -> None:
    """Keep the harm up until all have left that were told to stop meanwhile, or their supervisors' patience is over."""
    world.wait(lambda: world.leaving.over, _LEFT_S)
