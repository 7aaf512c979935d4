"""Wall clocks that jump, forward and back, under a dispatcher or under all of Hookline; Kafka's and the receivers' are right."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from typing import ClassVar, Final

from tests.chaos.cast import TWO
from tests.chaos.faults.fault import Fault
from tests.chaos.history import History, Publish, Role, Tried
from tests.chaos.load import STORE, TYPES, HttpDoor
from tests.chaos.world import World

_HOUR_S: Final = 3_600.0
_JUMPS_S: Final = (_HOUR_S, -_HOUR_S, 3 * 24 * _HOUR_S, 0.0)
_EACH_S: Final = 2.5
_LATEST_S: Final = 3.0 + 4.0  # the longest tier of the world, and a busy machine
_MADE: Final = 12


class _ClockJump(Fault):
    """Receivers that look at the time refuse calls while it is off, and are called again; the others do not notice."""

    term_after_s = (0.8, 6.0)

    def victims(self, world: World, numbers: random.Random) -> list[str]:
        """Return whose clocks are set."""
        raise NotImplementedError

    def inject(self, world: World, numbers: random.Random) -> None:
        """Set the clocks an hour ahead, an hour behind, three days ahead, and right again."""
        victims = self._victims = self.victims(world, numbers)
        self._pids = [world.pid(name) for name in victims]
        self._began_at = time.time()
        name = f"strict-{numbers.getrandbits(24):06x}"
        self._strict = world.cast.engage(Role(name=name, store_id=name, types=TYPES, receiver=TWO, may_die=True), "strict")
        for jump_s in _JUMPS_S:
            for victim in victims:
                world.set_clock(victim, jump_s)
            world.library.publish(name, TYPES, _MADE, world.history)
            world.sleep(_EACH_S)

    def check(self, world: World) -> list[str]:
        """Require that the jumps were felt, that nothing waited for a clock, and that the strict were called anew."""
        history = world.history
        felt = {by_s for tried, by_s in history.shifted if tried.at > self._began_at}
        found = [f"no attempt was made with a clock {jump_s:+.0f} s off" for jump_s in self._due(world) if jump_s and jump_s not in felt]
        found += [] if felt else ["no attempt was made with a wrong clock"]
        late = [
            f"attempt {two.attempt} of {two.delivery_id} came {two.at - one.end:.1f} s after the one before"
            for one, two in self._late(history)
        ]
        mine = [call for call in history.calls if call.role == self._strict.name]
        refused = sum(1 for call in mine if call.late)
        return found + late[:3] + ([] if refused else ["no strict receiver met a wrong time"])

    def _due(self, world: World) -> tuple[float, ...]:
        """Return the jumps that must have been felt: of those whose clock was set, some may have been on their way back at one."""
        return _JUMPS_S if self._pids == [world.pid(name) for name in self._victims] else ()

    def _late(self, history: History) -> list[tuple[Tried, Tried]]:
        """Return the pairs of attempts of the round with more between them than any tier asks for; the strict have a breaker that opens."""
        strict = {call.delivery_id for call in history.calls if call.role == self._strict.name}
        recent = {t.delivery_id for t in history.attempts if t.at > self._began_at and t.attempt > 1} - strict
        tried = {delivery: sorted(history.tried_of[delivery], key=lambda t: t.at) for delivery in recent}
        return [(one, two) for mine in tried.values() for one, two in pairwise(mine) if one.attempt and two.at - one.end > _LATEST_S]

    def after(self, world: World) -> None:
        """Delete the webhook."""
        world.cast.dismiss(self._strict)


class ClockJumpDispatcher(_ClockJump):
    """One of two: its retries are due by the brokers' clock, its leases by the monotonic one."""

    name = "clock-jump-dispatcher"
    what = "a dispatcher's clock jumps an hour ahead, an hour behind, three days ahead, and back"

    def victims(self, world: World, numbers: random.Random) -> list[str]:
        """Return one of them."""
        return [numbers.choice(world.dispatchers)]


class ClockJumpAll(_ClockJump):
    """An event that is published again after a jump is still known to ingest, and is on Kafka once."""

    name = "clock-jump-all"
    what = "the clocks of dispatchers, sink, ingest and console jump together, and back; an event is published before and after each"
    term_spares = ("ingest",)  # what it knows of published events ends with its process
    _TIMES: ClassVar[int] = 3

    def victims(self, world: World, numbers: random.Random) -> list[str]:  # noqa: ARG002
        """Return all of Hookline's processes."""
        return ["sink", "ingest", "console", *world.dispatchers]

    def inject(self, world: World, numbers: random.Random) -> None:
        """Publish, jump, publish the same again."""
        door = HttpDoor(world.environ["HOOKLINE_INGEST_URL"], world.stack.api_key)
        self._published = [
            Publish(f"evt_again_{numbers.getrandbits(32):08x}", STORE, TYPES[0], "ingest", time.time()) for _ in range(self._TIMES)
        ]
        for publish in self._published:
            world.history.publishes[publish.event_id] = publish
            self._taken = door.send(publish)
            publish.confirmed_at = time.time() if self._taken else 0.0
        super().inject(world, numbers)
        self._again = [door.send(publish) for publish in self._published]
        door.close()

    def check(self, world: World) -> list[str]:
        """Require that the second publishing was taken and put nothing on Kafka."""
        counts = [world.history.copies_of[publish.event_id] for publish in self._published]
        found = [] if all(self._again) else ["an event that was published again after the jumps was refused"]
        found += [f"an event that was published before and after the jumps is on Kafka {count} times" for count in counts if count != 1]
        return super().check(world) + found
