"""Lanes: each webhook's share of one dispatcher, so that a slow or dead receiver delays no other. Pure state."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from hookline.kernel.clock import Clock
from hookline.kernel.config import integer, number, setting

_MOST_IDLE: Final = 10_000
_BUCKETS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneConfig:
    """How much of a dispatcher one webhook may use, and when its breaker opens."""

    concurrency: int = setting("HOOKLINE_LANE_CONCURRENCY", "8", "calls under way at once to one webhook", integer(1, 10_000))
    queue: int = setting(
        "HOOKLINE_LANE_QUEUE", "100", "deliveries that may wait for one webhook before they are parked", integer(0, 100_000)
    )
    window_s: float = setting("HOOKLINE_BREAKER_WINDOW_S", "120", "seconds over which the breaker counts", number(1, 86_400))
    least: int = setting("HOOKLINE_BREAKER_LEAST", "100", "calls in the window before the success rate counts", integer(1, 1_000_000))
    success_rate: float = setting("HOOKLINE_BREAKER_SUCCESS_RATE", "0.9", "below this the breaker opens", number(0, 1))
    straight: int = setting("HOOKLINE_BREAKER_STRAIGHT", "5", "failures in a row that open the breaker", integer(1, 1_000_000))
    open_s: float = setting("HOOKLINE_BREAKER_OPEN_S", "180", "seconds the breaker stays open before one probe", number(0.05, 86_400))


class Verdict(Enum):
    """What may happen to a delivery now."""

    GO = "go"
    QUEUE = "queue"
    PARK = "park"


class _Window:
    """Successes and calls of the last `window_s`, in a few buckets."""

    __slots__ = ("_bucket_s", "_buckets")

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / _BUCKETS
        self._buckets: deque[tuple[int, int, int]] = deque(maxlen=_BUCKETS)

    def add(self, now: float, *, ok: bool) -> None:
        slot = int(now / self._bucket_s)
        if self._buckets and self._buckets[-1][0] == slot:
            _, calls, good = self._buckets.pop()
        else:
            calls, good = 0, 0
        self._buckets.append((slot, calls + 1, good + ok))

    def totals(self, now: float) -> tuple[int, int]:
        """Return (calls, successes)."""
        first = int(now / self._bucket_s) - _BUCKETS
        recent = [bucket for bucket in self._buckets if bucket[0] > first]
        return sum(b[1] for b in recent), sum(b[2] for b in recent)

    def clear(self) -> None:
        self._buckets.clear()


class Lane:
    """One webhook's lane. `queue` holds deliveries that wait for a place; whoever uses the lane fills and empties it."""

    __slots__ = ("_clock", "_config", "_in_flight", "_open_until", "_probing", "_run", "_window", "queue")

    def __init__(self, config: LaneConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._in_flight = 0
        self._run = 0
        self._open_until = 0.0
        self._probing = False
        self._window = _Window(config.window_s)
        self.queue: deque[Any] = deque()

    def try_take(self) -> Verdict:
        """Decide about a delivery that comes new: after GO a place is taken, which `done` gives back."""
        if self.queue and not self._open_until:
            return Verdict.QUEUE if len(self.queue) < self._config.queue else Verdict.PARK
        verdict = self.try_next()
        if verdict is Verdict.QUEUE and len(self.queue) >= self._config.queue:
            return Verdict.PARK
        return verdict

    def try_next(self) -> Verdict:
        """Decide about the delivery at the head of the queue: QUEUE means it stays there."""
        if self._open_until:
            return self._probe()
        if self._in_flight >= self._config.concurrency:
            return Verdict.QUEUE
        self._in_flight += 1
        return Verdict.GO

    def _probe(self) -> Verdict:
        """Let one call through once the breaker has been open long enough."""
        if self._probing or self._clock.monotonic() < self._open_until:
            return Verdict.PARK
        self._probing = True
        self._in_flight += 1
        return Verdict.GO

    def done(self, ok: bool | None) -> None:
        """Give a place back; `ok` None says nothing about the receiver."""
        self._in_flight -= 1
        probing, self._probing = self._probing, False
        if ok is None:
            return
        now = self._clock.monotonic()
        if self._open_until:
            if probing or ok:
                self._after_probe(now, ok=ok)
            return
        self._window.add(now, ok=ok)
        self._run = 0 if ok else self._run + 1
        calls, good = self._window.totals(now)
        if self._run >= self._config.straight or (calls >= self._config.least and good < calls * self._config.success_rate):
            self._open(now)

    def _after_probe(self, now: float, *, ok: bool) -> None:
        if ok:
            self._open_until = 0.0
            self._run = 0
            self._window.clear()
        else:
            self._open(now)

    def _open(self, now: float) -> None:
        self._open_until = now + self._config.open_s

    @property
    def state(self) -> str:
        """The breaker's state: closed, open or half_open."""
        if not self._open_until:
            return "closed"
        return "half_open" if self._probing or self._clock.monotonic() >= self._open_until else "open"

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting this lane."""
        return not self._in_flight and not self.queue and not self._open_until and not self._run


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
        counted = Counter(lane.state for lane in self._lanes.values() if lane._open_until)  # noqa: SLF001  # one module
        return {"open": counted["open"], "half_open": counted["half_open"], "closed": len(self._lanes) - counted.total()}

    def _sweep(self) -> None:
        self._lanes = {webhook_id: lane for webhook_id, lane in self._lanes.items() if not lane.idle}
        self._sweep_at = max(_MOST_IDLE, 2 * len(self._lanes))
