"""SIGTERM while something else is wrong: everybody leaves in time, with status 0, and leaves nothing behind."""

from __future__ import annotations

import math
import random
from typing import Final

from tests.chaos.cast import TWO
from tests.chaos.faults.brokers import BrokerFault
from tests.chaos.faults.fault import Fault
from tests.chaos.history import Role
from tests.chaos.load import TYPES
from tests.chaos.world import CLICKHOUSE, KAFKA, World

_HANG_TIMEOUT_S: Final = 5.0
_MADE: Final = 40


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


class TermClickHouseAway(Fault):
    """The sink leaves with a batch that it has announced and cannot write: the next one writes it, once."""

    name = "term-clickhouse-away"
    what = "SIGTERM of the sink and the console while ClickHouse is down, then while it hangs: they leave in time, rows = attempts"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Take ClickHouse away, stop and start both; have it hang, and again."""
        self._ends: dict[str, tuple[int, float]] = {}
        world.kill(CLICKHOUSE)
        self._restart(world, numbers)
        world.start(CLICKHOUSE)
        world.until_ready(CLICKHOUSE)
        world.freeze(CLICKHOUSE)
        self._restart(world, numbers)
        world.thaw(CLICKHOUSE)
        world.until_ready("sink", "console")

    def _restart(self, world: World, numbers: random.Random) -> None:
        world.sleep(numbers.uniform(1.0, 2.0))
        world.until_listening("sink", "console")
        for name, end in world.term_together(["sink", "console"]).items():
            self._ends[name] = max(end, self._ends.get(name, (0, 0.0)), key=lambda found: (abs(found[0]), found[1]))
            world.start(name)
        world.sleep(1.0)

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Require that both ended by themselves, both times."""
        return _late(self._ends)


def _late(ends: dict[str, tuple[int, float]]) -> list[str]:
    return [f"{name} ended with status {code} {took_s:.1f} s after SIGTERM" for name, (code, took_s) in ends.items() if code]
