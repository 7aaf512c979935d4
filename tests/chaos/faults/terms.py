"""SIGTERM while something else is wrong: everybody leaves in time, with status 0, and leaves nothing behind."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from typing import Final

from tests.chaos.cast import TWO
from tests.chaos.faults.brokers import BrokerFault, slow_down
from tests.chaos.faults.fault import Fault
from tests.chaos.faults.poison import HELD, PoisonFlood
from tests.chaos.faults.receivers import BadManners
from tests.chaos.history import Kind, Role
from tests.chaos.load import TYPES
from tests.chaos.world import CLICKHOUSE, KAFKA, SPARE, World

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
        self._ends = _worse(self._ends, world.term_together(["sink", "console"]))
        for name in ("sink", "console"):
            world.start(name)
        world.sleep(1.0)

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Require that both ended by themselves, both times."""
        return _late(self._ends)


class TermBrokerSlow(BrokerFault):
    """What they wait for comes late, and comes."""

    name = "term-broker-slow"
    what = "SIGTERM of a dispatcher, the sink, ingest and the console while Kafka gets a quarter of the time: they leave in time"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Slow Kafka down, tell four to stop, let it run when they have."""
        names = [*_OTHERS, numbers.choice(world.dispatchers)]
        self.away(world, Kind.SLOW)
        pid, began, lasting_s = world.pid(KAFKA), time.monotonic(), numbers.uniform(1.0, 2.0)
        while (passed_s := time.monotonic() - began) < lasting_s:
            slow_down(pid, passed_s)
            world.sleep(0.05)
        try:
            self._ends = world.term_together(names, lambda took_s: slow_down(pid, took_s))
        finally:
            os.kill(pid, signal.SIGCONT)
        _start(world, names)
        self.back(world)

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Require that each ended by itself."""
        return _late(self._ends)


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


class TermInStorm(Fault):
    """Whoever joins, leaves or dies meanwhile, they leave in time."""

    name = "term-rebalance-storm"
    what = "SIGTERM of a dispatcher, the sink, ingest and the console while a third dispatcher joins and dies: they leave in time"
    _TIMES: Final = 3

    def inject(self, world: World, numbers: random.Random) -> None:
        """Start the third, tell four to stop while it joins, kill it while they come back."""
        self._ends: dict[str, tuple[int, float]] = {}
        for _ in range(self._TIMES):
            names = [*_OTHERS, numbers.choice([name for name in world.dispatchers if name != SPARE])]
            world.start(SPARE)
            world.sleep(numbers.uniform(0.5, 2.0))
            self._ends = _worse(self._ends, world.term_together(names))
            for name in names:
                world.start(name)
            world.sleep(numbers.uniform(0.0, 1.0))
            world.kill(SPARE)
            world.until_ready(*names)

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Require that each ended by itself, every time."""
        return _late(self._ends)


class TermBadManners(BadManners):
    """A call ends at its receiver's answer or at its timeout, whatever the receiver does, and so does the wait for it."""

    name = "term-bad-manners"
    what = "SIGTERM of both dispatchers, the sink, ingest and the console while receivers drip, reset, talk garbage and never end"
    manners = ("drip-head", "drip-body", "continues", "reset-in-head", "garbage", "endless-head", "endless-body")
    lasting_s = 0.0

    def inject(self, world: World, numbers: random.Random) -> None:
        """Have calls of every kind under way, tell all to stop, start them."""
        super().inject(world, numbers)
        world.sleep(numbers.uniform(0.3, 1.5))
        names = [*_OTHERS, *world.dispatchers]
        self._ends = world.term_together(names)
        _start(world, names)

    def check(self, world: World) -> list[str]:
        """Require that each ended by itself, and that each attempt was recorded for what it was."""
        return _late(self._ends) + super().check(world)


def _start(world: World, names: list[str]) -> None:
    for name in names:
        world.start(name)
    world.until_ready(*names)


def _worse(one: dict[str, tuple[int, float]], other: dict[str, tuple[int, float]]) -> dict[str, tuple[int, float]]:
    """Return of each process the end that was worse: first by its status, then by its time."""
    nothing = (0, 0.0)
    pairs = {name: (one.get(name, nothing), other.get(name, nothing)) for name in {*one, *other}}
    return {name: max(pair, key=lambda end: (abs(end[0]), end[1])) for name, pair in pairs.items()}


def _late(ends: dict[str, tuple[int, float]]) -> list[str]:
    return [f"{name} ended with status {code} {took_s:.1f} s after SIGTERM" for name, (code, took_s) in ends.items() if code]
