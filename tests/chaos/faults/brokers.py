"""The broker: killed, stopped, away, slow, and with a full disk."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from typing import Final

from tests.chaos.faults.fault import Fault
from tests.chaos.history import Incident, Kind
from tests.chaos.world import KAFKA, SESSION_S, World

_BACK_S: Final = 1.0
_CALM_S: Final = 2.5
"""What is called longer before and after a fault than a commit takes must not come again: without it there is nothing to say that of."""
_SLICES_S: Final = 1.0
"""A commit and the confirmation that it waits for take a slice of a slow Kafka each."""


def away(world: World) -> Incident:
    """Note that the broker goes now: what is called until it is back is committed by nobody."""
    return world.did(Kind.AWAY, KAFKA)


def back(world: World, incident: Incident) -> None:
    """Wait until it answers again, and until the dispatchers are members again."""
    world.until_broker()
    incident.back = time.time() if incident.what is Kind.AWAY else 0.0
    world.until_ready(*world.dispatchers)
    incident.until = time.time() + _BACK_S


class BrokerFault(Fault):
    """Notes when the broker was away, and has some time without it before and after."""

    term_waits_for = frozenset({Kind.AWAY, Kind.SLOW})
    _incident: Incident | None = None

    def away(self, world: World, what: Kind = Kind.AWAY) -> None:
        """Note that the broker goes now, or gets slow."""
        if self._incident is None:
            world.sleep(_CALM_S)
        self._incident = world.did(what, KAFKA)
        self._incident.lag_s = _SLICES_S if what is Kind.SLOW else 0.0

    def back(self, world: World) -> None:
        """Wait until it answers again, and until the dispatchers are members again."""
        if self._incident is not None:
            self.ended_at = time.time()
            back(world, self._incident)

    def heal(self, world: World) -> None:
        """Let it be for a while."""
        world.sleep(_CALM_S)


class KillBroker(BrokerFault):
    """What Kafka acknowledged is there when it is back."""

    name = "kill-broker"
    what = "SIGKILL of Kafka at random points"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Kill it three times."""
        for _ in range(3):
            world.sleep(numbers.uniform(0.5, 2.0))
            self.away(world)
            world.kill(KAFKA)
            world.sleep(numbers.uniform(0.0, 2.0))
            world.start(KAFKA)
            self.back(world)


class StopBroker(BrokerFault):
    """A clean stop, long enough for sessions to end and publishers to be told to come back."""

    name = "stop-broker"
    what = "Kafka stopped for 15 s: publishers get 503 with Retry-After, and nothing that got 202 is lost"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop it, wait, start it."""
        self.away(world)
        self._before = dict(world.ingest.answers)
        world.term(KAFKA)
        world.sleep(15.0 + numbers.uniform(0.0, 1.0))
        world.start(KAFKA)
        self.back(world)

    def check(self, world: World) -> list[str]:
        """Require that ingest said 503 meanwhile, and when to come back."""
        refused = world.ingest.answers.get(503, 0) - self._before.get(503, 0)
        silent = world.ingest.without_advice + world.console.without_advice
        found = [] if refused else [f"ingest never answered 503 while Kafka was away: {world.ingest.answers}"]
        return found + ([f"{silent} answers 503 had no Retry-After"] if silent else [])


class FreezeBroker(BrokerFault):
    """Connections stay open and nobody answers, for longer than a session."""

    name = "freeze-broker"
    what = "SIGSTOP of Kafka for longer than sessions and ingest's patience"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop it where it stands."""
        self.away(world)
        world.freeze(KAFKA)
        world.sleep(SESSION_S * 2 + numbers.uniform(0.0, 2.0))
        world.thaw(KAFKA)
        self.back(world)


class SlowBroker(BrokerFault):
    """It runs a quarter of the time, in slices: everything goes on, only slowly."""

    name = "slow-broker"
    what = "Kafka gets a quarter of the time, in slices of 0.4 s"
    _SLICES: Final = 20
    _MOST: Final = 190  # of those that leave meanwhile, nobody may take longer

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop and wake it again and again."""
        self.away(world, Kind.SLOW)
        pid = world.pid(KAFKA)
        slices = 0
        while slices < self._SLICES or (slices < self._MOST and not world.leaving.over):
            os.kill(pid, signal.SIGSTOP)
            world.sleep(0.3)
            os.kill(pid, signal.SIGCONT)
            world.sleep(numbers.uniform(0.05, 0.15))
            slices += 1
        self.back(world)


class BrokerDiskFull(BrokerFault):
    """Kafka cannot append, gives its log folder up and ends; with room again it comes back with all that it acknowledged."""

    name = "broker-disk-full"
    what = "no byte more may be written by Kafka (RLIMIT_FSIZE), which ends it; then there is room again"
    _FEW: Final = 4_096

    def inject(self, world: World, numbers: random.Random) -> None:
        """Let it write no file beyond a few KiB until it has ended; start it without that limit."""
        self.away(world)
        pid = world.pid(KAFKA)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (self._FEW, resource.RLIM_INFINITY))
        ended = world.wait(lambda: world.of(KAFKA).pid(KAFKA) != pid, 20)
        self.deaths, self.deaths_of = int(ended), KAFKA
        if not ended:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        world.sleep(numbers.uniform(0.0, 1.0))
        self.back(world)
