"""Processes that stand still, shorter and longer than their sessions, and wake up."""

from __future__ import annotations

import random

from tests.chaos.faults.fault import Fault
from tests.chaos.world import SESSION_S, World


class FreezeDispatcher(Fault):
    """A zombie: when it wakes, others have its partitions, and it must not go on with what it had in hand."""

    name = "freeze-dispatcher"
    what = "SIGSTOP of a dispatcher for longer than its session: a zombie sends nothing"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop one, let the other take over, wake it."""
        name = numbers.choice(world.dispatchers)
        world.sleep(numbers.uniform(0.2, 1.5))
        world.freeze(name)
        world.sleep(SESSION_S + numbers.uniform(1.5, 3.0))
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


class FreezeAllDispatchers(Fault):
    """Nobody takes over: each finds out by itself whether it is still a member."""

    name = "freeze-all-dispatchers"
    what = "SIGSTOP of every dispatcher for longer than their sessions"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop all, wake them one after the other."""
        victims = world.dispatchers
        for name in victims:
            world.freeze(name)
        world.sleep(SESSION_S + numbers.uniform(1.0, 3.0))
        for name in victims:
            world.thaw(name)
            world.sleep(numbers.uniform(0.0, 1.0))


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
