"""SIGTERM at moments of their own choosing while something else is wrong; in the middle of any fault: `with_term.py`."""

from __future__ import annotations

import math
import random
from typing import Final

from tests.chaos.cast import TWO
from tests.chaos.faults.brokers import BrokerFault
from tests.chaos.faults.fault import Fault
from tests.chaos.faults.poison import HELD, PoisonFlood
from tests.chaos.history import Role
from tests.chaos.load import TYPES
from tests.chaos.world import KAFKA, World

_HANG_TIMEOUT_S: Final = 5.0
_MADE: Final = 40
_OTHERS: Final = ("sink", "ingest", "console")


class TermBrokerFrozen(BrokerFault):
    """Nothing can be committed or recorded for a while: they wait for it, and leave once Kafka answers, or at their deadlines."""

    name = "term-broker-frozen"
    what = "SIGTERM of a dispatcher, the sink, ingest and the console while Kafka stands still: they leave in time, nothing is lost"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop Kafka where it stands, tell four to stop, wake it some seconds later, start them."""
        names = ["sink", "ingest", "console", numbers.choice(world.dispatchers)]
        due_s = numbers.uniform(8.0, 12.0)
        self.away(world)
        world.freeze(KAFKA)
        world.sleep(numbers.uniform(0.5, 2.0))

        def wake(took_s: float) -> None:
            nonlocal due_s
            if took_s > due_s:
                due_s = math.inf
                world.thaw(KAFKA)

        self._ends = world.term_together(names, wake)
        if due_s < math.inf:
            world.thaw(KAFKA)
        for name in names:
            world.start(name)
        self.back(world)
        world.until_ready(*names)

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Require that each ended by itself."""
        return _late(self._ends)


class TermHanging(Fault):
    """Calls under way are waited for, those that wait in line are not begun."""

    name = "term-receivers-hang"
    what = "SIGTERM of both dispatchers, one after the other, while their calls hang: they leave in time, nothing is lost"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Have a receiver hang, stop and start one after the other."""
        name = f"hanging-{numbers.getrandbits(24):06x}"
        role = Role(name=name, store_id=name, types=TYPES, receiver=TWO, call_s=_HANG_TIMEOUT_S + 1)
        self._role = world.cast.engage(role, "hang", timeout_s=_HANG_TIMEOUT_S)
        world.library.publish(name, TYPES, _MADE, world.history)
        world.sleep(numbers.uniform(0.3, 1.5))
        self._ends: dict[str, tuple[int, float]] = {}
        for victim in world.dispatchers:
            self._ends |= world.term_together([victim])
            world.start(victim)
            world.until_ready(victim)

    def heal(self, world: World) -> None:
        """Have it answer."""
        world.cast.behave(self._role, "ok")

    def check(self, world: World) -> list[str]:
        """Require that each ended by itself, and that calls did hang."""
        hung = sum(1 for call in world.history.calls if call.role == self._role.name and call.status == 0)
        return _late(self._ends) + ([] if hung else ["no call hung"])

    def after(self, world: World) -> None:
        """Delete the webhook."""
        world.cast.dismiss(self._role)


class TermFlooded(PoisonFlood):
    """A dispatcher that buries poison, or holds its partition, leaves as any other; whoever comes next goes on with the flood."""

    name = "term-poison-flood"
    what = "SIGTERM of both dispatchers, the sink, ingest and the console amid a flood of undecodable records: they leave in time"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Flood a partition, tell all to stop a moment later, start them."""
        names = [*_OTHERS, *world.dispatchers]
        self.flood(world, numbers)
        world.sleep(numbers.uniform(0.0, 0.6))
        self._ends = world.term_together(names)
        for name in names:
            world.start(name)
        for name in names:
            world.until_ready_but(name, HELD)

    def check(self, world: World) -> list[str]:
        """Require that each ended by itself, and that all of the flood are letters in the end."""
        return _late(self._ends) + self.missing(world)


def _late(ends: dict[str, tuple[int, float]]) -> list[str]:
    return [f"{name} ended with status {code} {took_s:.1f} s after SIGTERM" for name, (code, took_s) in ends.items() if code]
