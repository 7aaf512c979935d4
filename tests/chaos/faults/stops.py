"""Processes that stand still, shorter and longer than their sessions, and wake up."""

from __future__ import annotations

import random
import time
from typing import Final

from hookline.kernel.clock import SystemClock
from hookline.schemas.catalogue import event_type
from hookline.schemas.events import example_event
from tests.chaos.cast import TWO
from tests.chaos.faults.fault import Fault
from tests.chaos.history import Kind, Publish, Role
from tests.chaos.load import TYPES
from tests.chaos.world import SESSION_S, World

_SLOW: Final = 2
_PARTITIONS: Final = 3
_EACH: Final = 6
_LEFT: Final = 60
_ALL: Final = len(TYPES) * _PARTITIONS * _EACH * _SLOW
_TIMEOUT_S: Final = 30.0  # longer than anybody is stopped: what is under way ends well, and makes room for what waits
_TAKE_OVER_S: Final = 20.0
_CALL_S: Final = 2.0


class Backlogged(Fault):
    """Dispatchers that have calls waiting when they are harmed: a zombie would make them at once, an early commit lose them."""

    term_waits_for = frozenset({Kind.FREEZE, Kind.KILL})

    def __init__(self) -> None:
        self._roles: list[Role] = []

    def load_up(self, world: World, numbers: random.Random) -> None:
        """Publish more for slow receivers than they take within a session, and wait until their calls are under way."""
        name = f"backlog-{numbers.getrandbits(24):06x}"
        for number in range(_SLOW):
            role = Role(name=f"{name}-{number}", store_id=name, types=TYPES, receiver=TWO, call_s=_CALL_S)
            self._roles.append(world.cast.engage(role, "tenth", timeout_s=_TIMEOUT_S))
        for type_name in TYPES:
            for partition in range(_PARTITIONS):
                self._publish(world, name, type_name, partition)
        world.sleep(numbers.uniform(0.7, 1.2))
        self._frozen_at = time.time()

    def _publish(self, world: World, store_id: str, type_name: str, partition: int) -> None:
        """Put some on one partition: whoever is stopped has its share of them."""
        made = [example_event(type_name, store_id, clock=SystemClock()) for _ in range(_EACH)]
        for event in made:
            world.history.publishes[event.id] = Publish(event.id, store_id, type_name, "raw", time.time())
        topic = world.topics.events(event_type(type_name).category)
        world.produce_together(topic, [world.codec.encode(event) for event in made], partition)

    def taken_over(self, world: World) -> None:
        """Wait until those that are awake have called all that the others had in hand."""
        world.wait(lambda: self._called(world) >= _ALL, _TAKE_OVER_S)

    def _called(self, world: World) -> int:
        world.look()
        mine = {role.name for role in self._roles}
        return len({call.delivery_id for call in world.history.calls if call.role in mine})

    def check(self, world: World) -> list[str]:
        """Require that there was something in hand that others had to call: else there was nothing to send."""
        mine = {role.name for role in self._roles}
        later = sum(1 for call in world.history.calls if call.role in mine and call.at > self._frozen_at)
        return [] if later >= _LEFT else [f"only {later} calls were left when the dispatchers were stopped"]

    def after(self, world: World) -> None:
        """Delete the webhooks."""
        for role in self._roles:
            world.cast.dismiss(role)


class FreezeDispatcher(Backlogged):
    """A zombie: when it wakes, others have its partitions, and it must not go on with what it had in hand."""

    name = "freeze-dispatcher"
    what = "SIGSTOP of a dispatcher with calls waiting for longer than its session: a zombie sends nothing"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop one, let the other take over, wake it."""
        name = numbers.choice(world.dispatchers)
        self.load_up(world, numbers)
        world.freeze(name)
        world.sleep(SESSION_S + numbers.uniform(1.5, 3.0))
        self.taken_over(world)
        world.thaw(name)
        world.sleep(1.0)


class FreezeBriefly(Fault):
    """Shorter than the session: nobody takes over, and nothing is repeated."""

    name = "freeze-briefly"
    what = "SIGSTOP of dispatchers for less than their session"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop and wake, a few times."""
        for _ in range(5):
            name = numbers.choice(world.dispatchers)
            world.freeze(name)
            world.sleep(numbers.uniform(0.2, SESSION_S / 3))
            world.thaw(name)
            world.sleep(numbers.uniform(0.1, 0.5))


class FreezeAllDispatchers(Backlogged):
    """Nobody takes over: each finds out by itself whether it is still a member."""

    name = "freeze-all-dispatchers"
    what = "SIGSTOP of every dispatcher with calls waiting for longer than their sessions"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop all, wake them one after the other."""
        victims = world.dispatchers
        self.load_up(world, numbers)
        for name in victims:
            world.freeze(name)
        world.sleep(SESSION_S + numbers.uniform(1.0, 3.0))
        for name in victims:
            world.thaw(name)
            self.taken_over(world)


class FreezeSink(Fault):
    """It wakes in the middle of a batch that nobody took over, or that a rebalance gave back."""

    name = "freeze-sink"
    what = "SIGSTOP of the sink for longer than its session"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop and wake it twice."""
        for _ in range(2):
            world.sleep(numbers.uniform(0.1, 1.0))
            world.freeze("sink")
            world.sleep(SESSION_S + numbers.uniform(0.5, 2.0))
            world.thaw("sink")


class FreezeDoors(Fault):
    """Requests hang, and are given up and sent again by their clients."""

    name = "freeze-doors"
    what = "SIGSTOP of ingest and console for longer than a client waits"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop both, wake both."""
        world.freeze("ingest")
        world.freeze("console")
        world.sleep(13.0 + numbers.uniform(0.0, 1.0))
        world.thaw("ingest")
        world.thaw("console")


class FreezeReceiver(Fault):
    """Connections are taken by the kernel and nobody answers: every call ends at its timeout, and is made again."""

    name = "freeze-receiver"
    what = "SIGSTOP of a receiver for longer than a call may take"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop one of the two, wake it."""
        name = numbers.choice([name for name in world.neighbours.children if name.startswith("receiver")])
        incident = world.freeze(name)
        world.sleep(11.0 + numbers.uniform(0.0, 1.0))
        world.thaw(name)
        world.sleep(1.0)
        # What lay in its sockets is read only now: it took those calls, and its callers had given them up.
        incident.until = world.history.incidents[-1].at + 1.0
