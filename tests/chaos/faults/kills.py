"""Processes that die at random points, and are told to stop at random points."""

from __future__ import annotations

import random
from typing import ClassVar, Final

from tests.chaos.faults.brokers import away, back
from tests.chaos.faults.fault import Fault
from tests.chaos.faults.stops import Backlogged
from tests.chaos.world import CLICKHOUSE, KAFKA, SPARE, World

_ALIVE_S: Final = (0.3, 2.5)
_DOWN_S: Final = (0.0, 0.8)


class KillOften(Fault):
    """Kills processes of one kind, one after the other, each started again after a moment."""

    times: ClassVar[int] = 4
    wait_ready: ClassVar[bool] = False

    def victims(self, world: World) -> list[str]:
        """Return who may be killed."""
        raise NotImplementedError

    def inject(self, world: World, numbers: random.Random) -> None:
        """Kill, wait a moment, start, and again."""
        for _ in range(self.times):
            world.sleep(numbers.uniform(*_ALIVE_S))
            victim = numbers.choice(self.victims(world))
            world.kill(victim)
            world.sleep(numbers.uniform(*_DOWN_S))
            world.start(victim)
            if self.wait_ready:
                world.until_ready(victim)


class KillEach(Fault):
    """One after the other, while the one before is still on its way back."""

    name = "kill-each"
    what = "SIGKILL of each process but Kafka once, in random order, overlapping"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Kill and start each."""
        names = [CLICKHOUSE, "sink", "ingest", "console", *world.dispatchers, *_receivers(world)]
        numbers.shuffle(names)
        for name in names:
            world.sleep(numbers.uniform(0.1, 1.0))
            world.kill(name)
            world.sleep(numbers.uniform(0.0, 0.3))
            world.start(name)


class KillDispatchers(Backlogged, KillOften):
    """One of two, again and again, also before it has taken anything up, and with many calls waiting that nobody has made."""

    name = "kill-dispatcher"
    what = "SIGKILL of dispatchers at random points, with calls waiting too"
    times = 2

    def victims(self, world: World) -> list[str]:
        """Return the dispatchers that run."""
        return world.dispatchers

    def inject(self, world: World, numbers: random.Random) -> None:
        """Kill two, then two with calls waiting, then two more."""
        KillOften.inject(self, world, numbers)
        self.load_up(world, numbers)
        KillOften.inject(self, world, numbers)
        KillOften.inject(self, world, numbers)


class KillAllDispatchers(Fault):
    """Nobody is left to take over."""

    name = "kill-all-dispatchers"
    what = "SIGKILL of every dispatcher at the same moment"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Kill all, let the log grow, start them."""
        for _ in range(2):
            world.sleep(numbers.uniform(*_ALIVE_S))
            victims = world.dispatchers
            world.kill(*victims)
            world.sleep(numbers.uniform(0.5, 2.0))
            for name in victims:
                world.start(name)
            world.until_ready(*victims)


class KillIngest(KillOften):
    """Whoever publishes over HTTP sees connections break, and publishes again under the same id."""

    name = "kill-ingest"
    what = "SIGKILL of ingest at random points"
    wait_ready = True

    def victims(self, world: World) -> list[str]:  # noqa: ARG002
        """Return ingest."""
        return ["ingest"]


class KillConsole(KillOften):
    """The console takes events too."""

    name = "kill-console"
    what = "SIGKILL of the console at random points"
    times = 3
    wait_ready = True

    def victims(self, world: World) -> list[str]:  # noqa: ARG002
        """Return the console."""
        return ["console"]


class KillSink(KillOften):
    """Between intent, insert and commit."""

    name = "kill-sink"
    what = "SIGKILL of the sink at random points"
    times = 6
    wait_ready = True

    def victims(self, world: World) -> list[str]:  # noqa: ARG002
        """Return the sink."""
        return ["sink"]


class KillReceivers(KillOften):
    """Calls break off before and within their answers."""

    name = "kill-receiver"
    what = "SIGKILL of receivers at random points"
    times = 3

    def victims(self, world: World) -> list[str]:
        """Return the receivers."""
        return _receivers(world)


class KillAnybody(KillOften):
    """Two at a time, of any kind."""

    name = "kill-anybody"
    what = "SIGKILL of two processes of any kind at once (broker, ClickHouse, dispatchers, sink, ingest, console)"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Kill two, start them, wait until they work."""
        for _ in range(4):
            world.sleep(numbers.uniform(*_ALIVE_S))
            pair = numbers.sample([KAFKA, CLICKHOUSE, "sink", "ingest", "console", *world.dispatchers], 2)
            broker = away(world) if KAFKA in pair else None
            world.kill(*pair)
            world.sleep(numbers.uniform(*_DOWN_S))
            for name in sorted(pair, key=lambda name: name != KAFKA):
                world.start(name)
            if broker is not None:
                back(world, broker)
            world.until_ready(*pair)


class TermEverybody(Fault):
    """A rolling restart under load: everybody ends with status 0, in time."""

    name = "term-everybody"
    what = "SIGTERM of each process in turn at random points"

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop and start each but the broker and what is not ours."""
        names = ["sink", "ingest", "console", *world.dispatchers]
        numbers.shuffle(names)
        for name in names:
            world.sleep(numbers.uniform(0.2, 1.2))
            self._ends[name] = world.term(name)
            world.start(name)
            world.until_ready(name)

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Return who did not end with status 0."""
        return [f"{name} ended with status {code} on SIGTERM" for name, code in self._ends.items() if code]


class TermEarly(Fault):
    """A process that is told to stop while it still starts."""

    name = "term-at-start"
    what = "SIGTERM of dispatchers, sink, ingest and console within their first second"

    def __init__(self) -> None:
        self._ends: list[tuple[str, int]] = []

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop each once, start it, and stop it again at once."""
        for name in ("sink", "ingest", "console", world.dispatchers[0]):
            world.term(name)
            world.start(name)
            world.sleep(numbers.uniform(0.05, 1.0))
            self._ends.append((name, world.term(name)))
            world.start(name)
            world.until_ready(name)

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Return who neither ended with status 0 nor by the signal itself, before it listened for it."""
        return [f"{name} ended with status {code} on an early SIGTERM" for name, code in self._ends if code not in {0, -15}]


class RebalanceStorm(Fault):
    """Progress never stops, and hardly anything is repeated."""

    name = "rebalance-storm"
    what = "a third dispatcher joins, leaves and dies as fast as it can"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Start and end it for a while."""
        for number in range(8):
            world.start(SPARE)
            world.wait(lambda: not world.ready(SPARE), 5)
            world.sleep(numbers.uniform(0.0, 1.0))
            if number % 2:
                world.kill(SPARE)
            else:
                world.term(SPARE)
            world.sleep(numbers.uniform(0.1, 0.5))


def _receivers(world: World) -> list[str]:
    return [name for name in world.neighbours.children if name.startswith("receiver")]
