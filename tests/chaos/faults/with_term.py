"""Any fault with SIGTERM in the middle of it."""

from __future__ import annotations

import random

from tests.chaos.faults.fault import Fault
from tests.chaos.leaving import ANY, OTHERS
from tests.chaos.world import DISPATCHERS, World

SUFFIX = "+term"


class WithTerm(Fault):
    """Plays a fault, and tells the sink, ingest, the console and a dispatcher to stop while it is on: all leave by themselves."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self.name = f"{fault.name}{SUFFIX}"
        self.what = f"the same, with SIGTERM of a dispatcher, the sink, ingest and the console in the middle of it: {fault.what}"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Inject the fault; the signal comes meanwhile, at its end at the latest."""
        fault = self._fault
        own = random.Random(numbers.getrandbits(64))
        names = [*OTHERS, *(DISPATCHERS[:2] if fault.term_all else [ANY])]
        self._names = [name for name in names if name not in fault.term_spares]
        world.leaving.arm(own, own.uniform(*fault.term_after_s), self._names, fault.term_waits_for)
        fault.inject(world, numbers)
        world.leaving.fire()
        self._fetch()

    def heal(self, world: World) -> None:
        """Heal the fault, and wait until all have left."""
        self._fault.heal(world)
        world.wait(lambda: world.leaving.over)
        self.told = [end.name for end in world.leaving.ends]
        self._fetch()

    def _fetch(self) -> None:
        fault = self._fault
        self.deaths, self.deaths_of, self.ended_at = fault.deaths, fault.deaths_of, fault.ended_at

    def check(self, world: World) -> list[str]:
        """Require what the fault does, and that whoever was told left by itself, in time, with status 0."""
        found = [end.wrong for end in world.leaving.ends if end.wrong]
        found += [f"{name} was not told to stop: it could not hear" for name in world.leaving.pending]
        found += self._fault.check(world)
        self._fetch()
        return found

    def after(self, world: World) -> None:
        """Clear away what the fault left."""
        self._fault.after(world)
