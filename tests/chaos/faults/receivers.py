"""Receivers that answer as none should, many that are dead, one that recovers with much waiting for it."""

from __future__ import annotations

import random
import time
from typing import ClassVar, Final

from hookline.local.kafka_broker import free_port
from hookline.schemas.records import delivery_id
from hookline.webhooks.model import State
from tests.chaos.cast import TWO
from tests.chaos.faults.fault import Fault
from tests.chaos.faults.others import at_once, others_noticed
from tests.chaos.history import Role
from tests.chaos.load import TYPES
from tests.chaos.memory import grown, peak_mb, watch
from tests.chaos.world import World

_TIMEOUT_S: Final = 5.0
_TYPES: Final = ("order.created", "cart.item_added")
_RESET: Final = {(0, "connection_reset")}
_TAKEN: Final = {(200, "")}
_LATE: Final = {(0, "timeout")}
_NO_HTTP: Final = {(0, "protocol_error")}
_MEANT: Final = {
    "hang": _LATE,
    "drip-head": _LATE,
    "drip-body": _TAKEN,
    "continues": _LATE | _NO_HTTP,
    "reset": _RESET,
    "reset-in-head": _RESET,
    "reset-in-body": _TAKEN,
    "garbage": _NO_HTTP,
    "broken-body": _TAKEN,
    "endless-head": _NO_HTTP,
    "endless-body": _TAKEN,
    "redirect": {(code, "http_status") for code in (301, 302, 303, 307, 308)},
    "gone": {(410, "http_status"), (410, "gone")},
    "impatient": {(429, "http_status")} | _NO_HTTP,  # a header of 10 kB is none that we read
}
"""Manner → (status, error kind) of the attempts that may come of it."""
_MOST_MB: Final = 400.0


class BadManners(Fault):
    """Webhooks of stores of their own, each at a receiver with one bad manner; then all behave, and everything arrives."""

    manners: ClassVar[tuple[str, ...]]
    lasting_s: ClassVar[float] = 8.0
    events: ClassVar[int] = 12
    may_die: ClassVar[bool] = False
    may_wait: ClassVar[bool] = False
    term_all = True

    def __init__(self) -> None:
        self._roles: dict[str, Role] = {}
        self._mended_at = 0.0

    def inject(self, world: World, numbers: random.Random) -> None:
        """Create the webhooks, publish for each, let it last."""
        for manner in self.manners:
            name = f"{manner}-{numbers.getrandbits(24):06x}"
            role = Role(name=name, store_id=name, types=_TYPES, receiver=TWO, call_s=_TIMEOUT_S + 1)
            role.may_die, role.may_wait, role.may_skip = self.may_die, self.may_wait, manner == "gone"
            self._roles[manner] = world.cast.engage(role, manner, timeout_s=_TIMEOUT_S)
            world.library.publish(name, _TYPES, self.events, world.history)
        world.sleep(self.lasting_s)

    def heal(self, world: World) -> None:
        """Have all behave."""
        self._mended_at = time.time()
        for role in self._roles.values():
            world.cast.behave(role, "ok")

    def check(self, world: World) -> list[str]:
        """Require that each attempt was recorded for what it was, and that memory stayed bounded."""
        found = []
        for manner, role in self._roles.items():
            mine = [t for t in world.history.attempts if t.webhook_id == role.webhook_id and t.attempt and t.end < self._mended_at]
            strange = sorted({(t.status, t.kind) for t in mine} - _MEANT[manner])
            found += [f"{manner} was recorded as {pair}" for pair in strange]
            found += [] if mine else [f"nobody was called with {manner}"]
        return found + _heavy(world)

    def after(self, world: World) -> None:
        """Delete the webhooks."""
        for role in self._roles.values():
            world.cast.dismiss(role)


class Hanging(BadManners):
    """Every call ends at its total timeout."""

    name = "receivers-hang"
    what = "receivers that never answer, drip their head or their body a byte at a time, send 100 Continue for ever"
    manners = ("hang", "drip-head", "drip-body", "continues")


class Breaking(BadManners):
    """A status that was sent counts, whatever follows; else the attempt failed."""

    name = "receivers-break"
    what = "receivers that reset before, in and after the head, answer garbage, break off their body"
    manners = ("reset", "reset-in-head", "reset-in-body", "garbage", "broken-body")
    lasting_s = 5.0


class Endless(BadManners):
    """Not read to its end: memory stays flat."""

    name = "receivers-endless"
    what = "receivers with endless heads and endless bodies"
    manners = ("endless-head", "endless-body")
    lasting_s = 5.0
    _FLAT_MB: Final = 60.0
    """Less than one endless body, of which 131 MB are sent."""

    def inject(self, world: World, numbers: random.Random) -> None:
        """Note the memory before."""
        self._before_mb = watch(world.pid(name) for name in world.dispatchers)
        super().inject(world, numbers)

    def check(self, world: World) -> list[str]:
        """Require that no dispatcher has grown by what it was sent."""
        return super().check(world) + grown(self._before_mb, map(world.pid, world.dispatchers), self._FLAT_MB)


class Redirecting(BadManners):
    """Never followed: neither inside nor to a trap on this machine."""

    name = "receivers-redirect"
    what = "redirects to the metadata address and to a trap: nobody goes there"
    manners = ("redirect",)
    lasting_s = 4.0


class Gone(BadManners):
    """The webhook is disabled, and what it did not get is a dead letter or an explained skip."""

    name = "receivers-gone"
    what = "receivers that answer 410: the webhook is disabled, and hardly called again"
    manners = ("gone",)
    lasting_s = 3.0
    may_die = True
    _KNOWN_S: Final = 2.0
    """After which every dispatcher knows."""

    def inject(self, world: World, numbers: random.Random) -> None:
        """Publish again once it must be known."""
        super().inject(world, numbers)
        world.library.publish(self._roles["gone"].store_id, _TYPES, self.events, world.history)
        world.sleep(self.lasting_s)

    def check(self, world: World) -> list[str]:
        """Require that it is disabled, and was not called again once that was known."""
        role = self._roles["gone"]
        state = world.cast.state(role)
        found = [] if state is State.DISABLED else [f"the webhook is {state} after 410"]
        calls = [call.at for call in world.history.calls if call.role == role.name]
        later = [at for at in calls if at > min(calls, default=0.0) + self._KNOWN_S]
        return super().check(world) + found + ([f"it was called {len(later)} times after it was gone"] if later else [])


class Impatient(BadManners):
    """Sense is obeyed within its bounds, nonsense counts as nothing; nobody crashes."""

    name = "receivers-impatient"
    what = "429 with Retry-After of 5, nonsense, negative, of 20 and of 10,000 digits, of the year 9999"
    manners = ("impatient",)
    lasting_s = 5.0
    events = 30
    may_wait = True
    may_die = True


class DeadWebhooks(Fault):
    """Thousands of webhooks whose receivers are gone: everything for them ends as dead letters, and nobody else notices."""

    name = "dead-webhooks"
    what = "2,000 webhooks of 50 stores dead at once"
    _STORES: Final = 50
    _EACH: Final = 10  # as many as a store may have for one type

    def __init__(self) -> None:
        self._roles: list[Role] = []

    def inject(self, world: World, numbers: random.Random) -> None:
        """Create them at a port where nobody listens, and publish for all of them."""
        run = f"dead-{numbers.getrandbits(24):06x}"
        self._roles = [
            Role(name=f"dead-{store}-{kind}-{number}", store_id=f"{run}-{store}", types=(kind,), may_die=True, call_s=4.0)
            for store in range(self._STORES)
            for kind in TYPES
            for number in range(self._EACH)
        ]
        world.cast.engage_many(self._roles, f"http://127.0.0.1:{free_port()}/")
        self._dead_at = time.time()
        for store in range(self._STORES):
            world.library.publish(f"{run}-{store}", TYPES, len(TYPES), world.history)
        world.sleep(6.0)
        self._until = time.time()

    def check(self, world: World) -> list[str]:
        """Require that all were tried and failed to connect, that memory stayed bounded, and that others got theirs as ever."""
        mine = {role.webhook_id for role in self._roles}
        tried = [t for t in world.history.attempts if t.webhook_id in mine]
        strange = {t.kind for t in tried} - {"connect_error", "expired"}
        missed = len(mine) - len({t.webhook_id for t in tried})
        found = [f"{missed} dead webhooks were never tried"] if missed else []
        found += [f"attempts at dead webhooks were recorded as {kind!r}" for kind in sorted(strange)] + _heavy(world)
        return found + others_noticed(world.history, self._dead_at, self._until)

    def after(self, world: World) -> None:
        """Delete them."""
        world.cast.dismiss_many(self._roles)


class Recovering(Fault):
    """All that waited for a receiver is due at once when it answers again: it gets as much at once as ever, and others theirs."""

    name = "receivers-recover"
    what = "3,000 deliveries for a receiver that was down, all due when it recovers: no more calls at once than ever, others do not notice"
    _MADE: Final = 3_000
    _FEWEST: Final = 100  # the others wait in their line, and in the topic
    _AT_ONCE: Final = 8  # HOOKLINE_LANE_CONCURRENCY
    _DOWN_S: Final = 5.0

    def inject(self, world: World, numbers: random.Random) -> None:
        """Publish while it fails every call, have it recover, and watch for as long again."""
        name = f"recovers-{numbers.getrandbits(24):06x}"
        self._role = world.cast.engage(Role(name=name, store_id=name, types=TYPES, receiver=TWO), "error")
        self._began_at = time.time()
        world.library.publish(name, TYPES, self._MADE, world.history)
        world.sleep(self._DOWN_S)
        world.look()
        self._waiting = self._put_aside(world)
        self.ended_at = time.time()
        world.cast.behave(self._role, "ok")
        world.sleep(self._DOWN_S)

    def _put_aside(self, world: World) -> int:
        """Return how many have a record on a retry topic: no more than are in hand may have none."""
        history, role = world.history, self._role
        mine = [p.event_id for p in list(history.publishes.values()) if p.store_id == role.store_id]
        return sum(1 for event_id in mine if history.waits.get(delivery_id(role.store_id, event_id, role.webhook_id)))

    def check(self, world: World) -> list[str]:
        """Require that they had waited, how many calls were under way at once, and that others got theirs as ever."""
        found = [] if self._waiting >= self._FEWEST else [f"only {self._waiting} of {self._MADE} had been put aside when it recovered"]
        mine = [t for t in world.history.attempts if t.webhook_id == self._role.webhook_id and t.attempt]
        for process in {tried.process for tried in mine}:
            most = at_once([(t.at, t.end) for t in mine if t.process == process])
            found += [f"process {process} had {most} calls to it under way at once"] if most > self._AT_ONCE else []
        return found + others_noticed(world.history, self._began_at, self.ended_at + self._DOWN_S)

    def after(self, world: World) -> None:
        """Delete the webhook."""
        world.cast.dismiss(self._role)


def _heavy(world: World) -> list[str]:
    peaks = {name: peak_mb(world.pid(name)) for name in world.dispatchers}
    return [f"{name} held {mb:.0f} MB, more than {_MOST_MB:.0f}" for name, mb in peaks.items() if mb > _MOST_MB]
