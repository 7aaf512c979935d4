"""Lanes: each webhook's share of one dispatcher, so that a slow or dead receiver delays no other. Pure state."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Never

from hookline.kernel.clock import Clock
from hookline.kernel.config import integer, number, setting

_MOST_IDLE: Final = 20_000
_BUCKETS: Final = 12
_SLOW_S: Final = 1.0
_SILENT_S: Final = 3.0
_WEIGHT: Final = 0.2
_NEVER: Final = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneConfig:
    """How much of a dispatcher one webhook may use, and when its breaker opens."""

    concurrency: int = setting("HOOKLINE_LANE_CONCURRENCY", "8", "calls under way at once to one webhook", integer(1, 10_000))
    queue: int = setting(
        "HOOKLINE_LANE_QUEUE", "500", "deliveries that may wait for one webhook before more of them are put aside", integer(0, 100_000)
    )
    wait_s: float = setting(
        "HOOKLINE_LANE_WAIT_S",
        "5",
        "seconds a delivery may be expected to wait behind a slow receiver before it is parked",
        number(0.05, 3_600),
    )
    rate: float = setting("HOOKLINE_LANE_RATE", "0", "calls a second to one webhook; 0: as fast as it answers", number(0, 1_000_000))
    window_s: float = setting("HOOKLINE_BREAKER_WINDOW_S", "120", "seconds over which the breaker counts", number(1, 86_400))
    least: int = setting("HOOKLINE_BREAKER_LEAST", "100", "calls in the window before the success rate counts", integer(1, 1_000_000))
    success_rate: float = setting("HOOKLINE_BREAKER_SUCCESS_RATE", "0.9", "below this the breaker opens", number(0, 1))
    straight: int = setting("HOOKLINE_BREAKER_STRAIGHT", "5", "failures in a row that open the breaker", integer(1, 1_000_000))
    open_s: float = setting("HOOKLINE_BREAKER_OPEN_S", "180", "seconds the breaker stays open before one probe", number(0.05, 86_400))


class Verdict(Enum):
    """What may happen to a delivery now."""

    GO = "go"
    PROBE = "probe"
    QUEUE = "queue"
    SOON = "soon"
    PARK = "park"


# By name in this module: a member that is looked up in its class takes 0.26 µs.
_GO: Final = Verdict.GO
_PROBE: Final = Verdict.PROBE
_QUEUE: Final = Verdict.QUEUE
_SOON: Final = Verdict.SOON
_PARK: Final = Verdict.PARK


class _Window:
    """Successes and calls of the last `window_s`, in a few buckets: the latest, and those before it."""

    __slots__ = ("_before", "_calls", "_good", "_slot", "_window_s")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._before: tuple[tuple[int, int, int], ...] = ()
        self._slot = self._calls = self._good = 0

    def add(self, now: float, *, ok: bool) -> None:
        slot = int(now * _BUCKETS / self._window_s)
        if slot != self._slot:
            self._begin(slot)
        self._calls += 1
        self._good += ok

    def _begin(self, slot: int) -> None:
        if self._calls:
            latest = (self._slot, self._calls, self._good)
            self._before = tuple(bucket for bucket in (*self._before, latest) if bucket[0] > slot - _BUCKETS)
        self._slot, self._calls, self._good = slot, 0, 0

    def totals(self, now: float) -> tuple[int, int]:
        """Return (calls, successes)."""
        first = int(now * _BUCKETS / self._window_s) - _BUCKETS
        recent = [bucket for bucket in (*self._before, (self._slot, self._calls, self._good)) if bucket[0] > first]
        return sum(b[1] for b in recent), sum(b[2] for b in recent)

    def clear(self) -> None:
        self._before = ()
        self._slot = self._calls = self._good = 0


class _Nobody(deque[Any]):
    """The queue of every lane in which nobody waits: one for all, for a deque takes 760 bytes. Nothing can be put into it."""

    def append(self, one: object) -> Never:
        raise TypeError(f"{one!r} would wait in every lane: use Lane.enqueue")

    def extend(self, more: object) -> Never:
        self.append(more)


_NOBODY: Final = _Nobody()


class Lane:
    """One webhook's lane: places for calls, a queue, a rate, a breaker.

    A place is taken with GO or PROBE, and given back by `done`, or by `leave` when no call was made. `queue` holds the
    deliveries that wait for a place; whoever uses the lane fills it by `enqueue`, and empties it. PARK is for receivers that are dead or
    slow, SOON for one that is merely busy. `pressed` means that the dispatcher is short of room: then a slow receiver
    waits in Kafka, not in memory, and one that has yet to show what it is gets a call at a time.
    """

    __slots__ = (
        "_clock",
        "_config",
        "_failed_at",
        "_full_at",
        "_moved_at",
        "_open_until",
        "_pace_s",
        "_probing",
        "_rest_until",
        "_run",
        "_taken",
        "_under_way",
        "_window",
        "queue",
    )

    def __init__(self, config: LaneConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._taken = 0
        self._under_way = 0
        self._moved_at = _NEVER
        self._pace_s = 0.0
        self._failed_at = _NEVER
        self._full_at = _NEVER
        self._rest_until = _NEVER
        self._run = 0
        self._open_until = 0.0
        self._probing = False
        self._window = _Window(config.window_s)
        self.queue: deque[Any] = _NOBODY

    # ---- places ----

    def admit(self, *, pressed: bool = False) -> Verdict:
        """Decide about a delivery that comes new."""
        now = self._clock.monotonic()
        if self._open_until:
            return self._probe()
        if self.queue or self._full(now, pressed=pressed):
            return _QUEUE if len(self.queue) < self._room(now, pressed=pressed) else self._turned_away(now)
        if pressed and self._slow(now):
            return _PARK
        return self._take(now)

    def next(self, *, pressed: bool = False) -> Verdict:
        """Decide about the delivery at the head of the queue: QUEUE means it stays there."""
        now = self._clock.monotonic()
        if self._open_until:
            return self._probe()
        return _QUEUE if self._full(now, pressed=pressed) else self._take(now)

    def _turned_away(self, now: float) -> Verdict:
        resting = self._rest_until - now > self._config.wait_s
        return _PARK if resting or self._slow(now) else _SOON

    def enqueue(self, delivery: object) -> None:
        """Have a delivery wait for a place, behind those that wait already."""
        if self.queue is _NOBODY:
            self.queue = deque()
        self.queue.append(delivery)

    def gives_way(self, *, pressed: bool) -> bool:
        """Tell whether a call that has its place must not be made now: the breaker opened, or there is no room for the slow."""
        return self._open_until > 0 or (pressed and self._slow(self._clock.monotonic()))

    def surplus(self, *, pressed: bool = False) -> int:
        """Return how many of the queue wait longer than they should, and are to be parked."""
        if not self.queue:
            return 0
        return max(0, len(self.queue) - self._room(self._clock.monotonic(), pressed=pressed))

    def began(self) -> None:
        """Note that a call is under way in a place taken."""
        if not self._under_way:
            self._moved_at = self._clock.monotonic()
        self._under_way += 1

    def leave(self, *, probe: bool = False) -> None:
        """Give a place back in which no call was made."""
        self._taken -= 1
        if probe:
            self._probing = False

    def done(self, ok: bool | None, elapsed_s: float, *, probe: bool = False) -> None:
        """Give the place of a finished call back; `ok` None says nothing about the receiver."""
        now = self._clock.monotonic()
        self._under_way -= 1
        if not self._under_way and not self.queue:
            self.queue = _NOBODY
        self._moved_at = now
        self.leave(probe=probe)
        if ok is None:
            return
        self._pace_s = elapsed_s if not self._pace_s else (1 - _WEIGHT) * self._pace_s + _WEIGHT * elapsed_s
        if not self._open_until:
            self._count(now, ok=ok)
        elif ok:
            self._close()
        elif probe:
            self._open(now)

    def rest(self, seconds: float) -> None:
        """Make no call for a while, at most as long as the breaker would: the receiver asked for it."""
        self._rest_until = self._clock.monotonic() + min(seconds, self._config.open_s)

    def _full(self, now: float, *, pressed: bool) -> bool:
        limited = self._config.rate > 0 and self._full_at - now > 1.0
        unproven = not self._pace_s and self._taken > 0
        return self._taken >= self._config.concurrency or now < self._rest_until or limited or (pressed and unproven)

    def _take(self, now: float) -> Verdict:
        self._taken += 1
        if self._config.rate:  # GCRA with a burst of one second
            self._full_at = max(self._full_at, now) + 1 / self._config.rate
        return _GO

    # ---- how long the queue may be ----

    def _room(self, now: float, *, pressed: bool) -> int:
        """Return how many may wait: for a slow receiver no more than it is likely to take within `wait_s`, and one round."""
        config, slow = self._config, self._slow(now)
        if self._rest_until - now > config.wait_s or (pressed and slow):
            return 0
        room = config.queue
        if config.rate:
            room = min(room, math.ceil(config.rate * config.wait_s))
        if slow:
            pace_s = max(self._pace_s, self._silent_s(now))
            room = min(room, max(config.concurrency, int(config.concurrency * config.wait_s / pace_s)))
        return room

    def _slow(self, now: float) -> bool:
        """Tell by its answers, or by their absence: that must be longer, for it may be we who have no time to listen."""
        return self._pace_s >= _SLOW_S or self._silent_s(now) >= _SILENT_S

    def _silent_s(self, now: float) -> float:
        return now - self._moved_at if self._under_way else 0.0

    # ---- breaker ----

    def _probe(self) -> Verdict:
        """Let one call through once the breaker has been open long enough."""
        if self.shut:
            return _PARK
        self._probing = True
        self._taken += 1
        return _PROBE

    def _count(self, now: float, *, ok: bool) -> None:
        self._window.add(now, ok=ok)
        if not ok:
            self._failed_at = now
        elif now - self._failed_at > self._config.window_s:  # all in the window went well: it need not be counted
            self._run = 0
            return
        self._run = 0 if ok else self._run + 1
        calls, good = self._window.totals(now)
        if self._run >= self._config.straight or (calls >= self._config.least and good < calls * self._config.success_rate):
            self._open(now)

    def _open(self, now: float) -> None:
        self._open_until = now + self._config.open_s

    def _close(self) -> None:
        self._open_until = 0.0
        self._run = 0
        self._window.clear()

    @property
    def opened(self) -> bool:
        """Whether the breaker is open or half open."""
        return self._open_until > 0

    @property
    def shut(self) -> bool:
        """Whether the breaker would let nothing through now, not even a probe."""
        return self._open_until > 0 and (self._probing or self._clock.monotonic() < self._open_until)

    @property
    def state(self) -> str:
        """The breaker's state: closed, open or half_open."""
        if not self._open_until:
            return "closed"
        return "half_open" if self._probing or self._clock.monotonic() >= self._open_until else "open"

    @property
    def idle(self) -> bool:
        """Whether little would be lost by forgetting this lane: it has no calls and, if it failed, that was long ago."""
        if self._taken or self.queue:
            return False
        troubled = self._open_until or self._run
        return not troubled or self._clock.monotonic() - self._moved_at > self._config.window_s + self._config.open_s


class Lanes:
    """Lanes by webhook, made when first needed, idle ones forgotten. Used from the event loop's thread only."""

    def __init__(self, config: LaneConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._sweep_at = _MOST_IDLE

    def lane(self, webhook_id: str) -> Lane:
        """Return a webhook's lane."""
        found = self._lanes.get(webhook_id)
        if found is None:
            if len(self._lanes) >= self._sweep_at:
                self._sweep()
            found = self._lanes[webhook_id] = Lane(self._config, self._clock)
        return found

    def states(self) -> dict[str, int]:
        """Return how many lanes are closed, open and half open."""
        counted = Counter(lane.state for lane in self._lanes.values() if lane.opened)
        return {"open": counted["open"], "half_open": counted["half_open"], "closed": len(self._lanes) - counted.total()}

    def _sweep(self) -> None:
        self._lanes = {webhook_id: lane for webhook_id, lane in self._lanes.items() if not lane.idle}
        self._sweep_at = max(_MOST_IDLE, 2 * len(self._lanes))
