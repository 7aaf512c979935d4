"""Processes that run out of something: files, memory, room for their logs."""

from __future__ import annotations

import random
import re
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from hookline.kernel.clock import SystemClock
from hookline.schemas.catalogue import event_type
from hookline.schemas.events import example_event
from tests.chaos.cast import TWO
from tests.chaos.faults.fault import Fault
from tests.chaos.history import Publish, Role
from tests.chaos.leaving import ANY
from tests.chaos.world import World

_ENDS: Final = ("status 75", "emory", "SIGABRT")
"""How one may end that has no memory."""
_STILL: Final = b"the event loop has stood still for 30 s"
"""What one says whose loop stood still, and that ended for it."""
_TYPES: Final = ("order.created", "cart.item_added")


class FewFiles(Fault):
    """Connections cannot be opened: that is our fault, not the receiver's, and is made good once there are files again."""

    name = "few-files"
    what = "dispatchers may open no more files (RLIMIT_NOFILE), and every call needs a connection of its own"
    # A loop that ends opens two files anew, which this limit forbids and one that was there all along would not.
    term_spares = (ANY,)
    _MADE: Final = 40

    def inject(self, world: World, numbers: random.Random) -> None:
        """Take the files away from all, make new connections necessary."""
        name = f"files-{numbers.getrandbits(24):06x}"
        self._role = world.cast.engage(Role(name=name, store_id=name, types=_TYPES, receiver=TWO), "closing")
        with _limited(resource.RLIMIT_NOFILE, {world.pid(name): 8 for name in world.dispatchers}):
            world.library.publish(name, _TYPES, self._MADE, world.history)
            world.sleep(numbers.uniform(2.0, 3.0))

    def check(self, world: World) -> list[str]:
        """Require that there were failures for want of files, and that they are called internal errors."""
        kinds = {t.kind for t in world.history.attempts if t.webhook_id == self._role.webhook_id}
        strange = kinds - {"", "internal_error"}
        found = [f"an attempt without files was recorded as {kind}" for kind in strange]
        return found if "internal_error" in kinds else [*found, "no attempt failed for want of files"]

    def after(self, world: World) -> None:
        """Delete the webhook."""
        world.cast.dismiss(self._role)


class LittleMemory(Fault):
    """Who gets no more memory fails or dies, and commits nothing that it has not done; whoever comes next does it."""

    name = "little-memory"
    what = "dispatchers get no memory beyond what they have (RLIMIT_AS), while 100 events of 200 kB come"
    deaths_of = "dispatcher"
    # CPython waits for ever for a thread that had no memory to begin (`Thread.start`); its supervisor kills it.
    term_spares = (ANY,)
    _MADE: Final = 100
    _LONG: Final = 200_000

    def inject(self, world: World, numbers: random.Random) -> None:
        """Start dispatchers that have nothing to spare, take the memory away, publish, give it back."""
        for name in world.dispatchers:
            world.term(name)
            world.start(name)
            world.until_ready(name)
        name = f"memory-{numbers.getrandbits(24):06x}"
        self._role = world.cast.engage(Role(name=name, store_id=name, types=_TYPES, receiver=TWO), "slow")
        self._known = len(world.history.deaths)
        self._logs = {name: _log_of(world, name).stat().st_size for name in world.dispatchers}
        pids = [world.pid(name) for name in world.dispatchers]
        with _limited(resource.RLIMIT_AS, {pid: psutil.Process(pid).memory_info().vms for pid in pids}):
            self._publish(world, name)
            world.sleep(numbers.uniform(3.0, 5.0))
        world.until_ready(*world.dispatchers)

    def check(self, world: World) -> list[str]:
        """Require that somebody felt it: said so, failed for it, or died of it; one whose loop stands still does half a minute later."""
        said = {name: _log_of(world, name).read_bytes()[size:] for name, size in self._logs.items()}
        still = [name for name, text in said.items() if _STILL in text]
        deaths = [(name, how) for _, name, how in world.history.deaths[self._known :]]
        self.deaths = sum(1 for name, how in deaths if name in still or any(word in how for word in _ENDS))
        kinds = {t.kind for t in world.history.attempts if t.webhook_id == self._role.webhook_id}
        felt = self.deaths or "internal_error" in kinds or any(re.search(rb"(?i)memory", text) for text in said.values())
        return [] if felt else ["nobody felt that there was no memory"]

    def _publish(self, world: World, store_id: str) -> None:
        type_name = _TYPES[0]
        made = [example_event(type_name, store_id, clock=SystemClock()) for _ in range(self._MADE)]
        for number, event in enumerate(made):
            event.data["note"] = "x" * self._LONG
            world.history.publishes[event.id] = Publish(event.id, store_id, type_name, "raw", time.time())
            topic = world.topics.events(event_type(type_name).category)
            world.produce_together(topic, [world.codec.encode(event)], number % 3)

    def after(self, world: World) -> None:
        """Delete the webhook."""
        world.cast.dismiss(self._role)


class LogsFull(Fault):
    """Nobody can write a line of log: everything else goes on."""

    name = "logs-full"
    what = "no log of dispatchers, sink, ingest and console may grow (RLIMIT_FSIZE)"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Set the limit to nothing, make them want to log, lift it."""
        names = ["sink", "ingest", "console", *world.dispatchers]
        for name in names:
            resource.prlimit(world.pid(name), resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        world.freeze(world.dispatchers[0])
        world.sleep(numbers.uniform(5.5, 7.0))
        world.thaw(world.dispatchers[0])
        world.sleep(1.0)
        for name in names:
            resource.prlimit(world.pid(name), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _log_of(world: World, name: str) -> Path:
    return world.folder / "state" / "logs" / f"{name}.log"


@contextmanager
def _limited(what: int, soft: Mapping[int, int]) -> Iterator[None]:
    """Bound a resource of processes for a while; who has ended meanwhile has been replaced by one without the bound."""
    before = {pid: resource.prlimit(pid, what) for pid in soft}
    for pid, most in soft.items():
        resource.prlimit(pid, what, (most, before[pid][1]))
    yield
    for pid, limit in before.items():
        with suppress(ProcessLookupError):
            resource.prlimit(pid, what, limit)
