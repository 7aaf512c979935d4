"""A run of the demo store: events at their pace into an outlet, each accounted for."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from hookline.kernel.clock import Clock, rfc3339
from hookline.kernel.errors import BrokerUnavailable, HooklineError, QueueFull, Undelivered
from hookline.kernel.lifecycle import Stop
from hookline.producers.demo_store.ledger import Ledger
from hookline.producers.demo_store.outlet import Outlet
from hookline.producers.demo_store.pace import BURST_S, Pace
from hookline.producers.demo_store.plan import Plan
from hookline.schemas.events import Event

DRAIN_S: Final = 15.0
_TICK_S: Final = 0.1
_SHORTEST_S: Final = 0.001
_ROOM_S: Final = 0.005
_AGAIN: Final = (Undelivered, BrokerUnavailable, QueueFull)
_CREATED: Final = "order.created"


@dataclass(slots=True)
class Tally:
    """What has become of the events so far; `again` counts those that were sent a second time with their id."""

    sent: int = 0
    published: Counter[str] = field(default_factory=Counter)
    again: int = 0
    elapsed_s: float = 0.0
    moved_s: float = 0.0
    waiting: int = 0
    trouble: str = ""

    @property
    def total(self) -> int:
        """How many events are certainly published."""
        return self.published.total()

    @property
    def orders(self) -> int:
        """How many orders were created."""
        return self.published[_CREATED]

    @property
    def rate(self) -> float:
        """Published events a second."""
        return self.total / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def uncertain(self) -> int:
        """How many events were sent but not confirmed: they may have arrived or not."""
        return self.sent - self.total

    def summary(self, plan: Plan, ended: str) -> dict[str, Any]:
        """Return the whole run as JSON can hold it."""
        return {
            "store_id": plan.store_id,
            "seed": plan.seed,
            "started_at": rfc3339(plan.started_at),
            "via": plan.via.value,
            "ended": ended,
            "elapsed_s": round(self.elapsed_s, 3),
            "published": self.total,
            "per_second": round(self.rate, 1),
            "orders": self.orders,
            "by_type": dict(sorted(self.published.items())),
            "uncertain": self.uncertain,
            "sent_again": self.again,
            "schedule_moved_s": round(self.moved_s, 3),
            "ledger": str(plan.ledger) if plan.ledger is not None else None,
        }


class Run:
    """Carries a plan out; used once, from one thread. `tick` is called about ten times a second with the tally."""

    def __init__(self, plan: Plan, outlet: Outlet, clock: Clock, stop: Stop, tick: Callable[[Tally], None] = lambda _: None) -> None:
        self.tally = Tally()
        self.ended = ""
        self._plan = plan
        self._outlet = outlet
        self._clock = clock
        self._stop = stop
        self._tell = tick
        self._pace = Pace(clock.monotonic)
        self._ledger = Ledger(plan.ledger) if plan.ledger is not None else None
        self._reports: deque[tuple[Event, HooklineError | None]] = deque()
        self._again: deque[Event] = deque()
        self._fault: HooklineError | None = None
        self._ticked = 0.0

    def run(self) -> Tally:
        """Publish until the plan is done or the stop is set, then wait for what is in flight; close the outlet.

        Raises the error that made going on pointless, after everything that was confirmed is in the ledger.
        """
        try:
            if self._ledger is not None:
                self._ledger.open()
            self._publish()
            self._drain()
        finally:
            self._outlet.close()
            self._account()
            if self._ledger is not None:
                self._ledger.close()
        if self._fault is not None:
            raise self._fault
        return self.tally

    def _publish(self) -> None:
        for event in self._due():
            self._hand_over(event)
            if self._stop.is_set() or self._fault is not None:
                break
        self.ended = self.ended or ("stopped" if self._fault is None else "error")

    def _due(self) -> Iterator[Event]:
        """Yield the plan's events when they are due."""
        for number, event in enumerate(self._plan.store()):
            offset_s = (event.occurred_at - self._plan.started_at).total_seconds()
            if number == self._plan.events:
                self.ended = "events"
                return
            if offset_s >= self._plan.lasts_s or self._pace.elapsed_s() > self._plan.lasts_s + BURST_S:
                self.ended = "duration"
                return
            if not self._wait_until(offset_s):
                return
            yield event

    def _wait_until(self, offset_s: float) -> bool:
        """Wait until something is due; return False when the run is to end before."""
        while (wait_s := self._pace.wait_s(offset_s)) > 0:
            self._tick()
            if self._stop.wait(min(max(wait_s, _SHORTEST_S), _TICK_S)) or self._fault is not None:
                return False
        self._tick()
        return not self._stop.is_set()

    def _hand_over(self, event: Event) -> None:
        """Send an event as soon as there is room for it; not at all when the run ends before."""
        sent = self._try(event)
        while not sent and self._fault is None and not self._stop.wait(_ROOM_S):
            self._tick()
            sent = self._try(event)
        self.tally.sent += sent

    def _try(self, event: Event) -> bool:
        try:
            self._outlet.send(event, lambda error: self._reports.append((event, error)))
        except QueueFull as error:
            self.tally.trouble = error.message
            return False
        return True

    def _drain(self) -> None:
        """Wait for what is in flight; what is not confirmed by then stays uncertain."""
        deadline = self._clock.monotonic() + DRAIN_S
        self._tick(0.0)
        while self.tally.uncertain and self._fault is None and self._clock.monotonic() < deadline:
            time.sleep(_ROOM_S)
            self._tick(0.0)

    def _tick(self, apart_s: float = _TICK_S) -> None:
        now = self._clock.monotonic()
        if now - self._ticked < apart_s:
            return
        self._ticked = now
        self._account()
        self._send_again()
        self._tell(self.tally)

    def _account(self) -> None:
        """Note what was reported."""
        confirmed: list[Event] = []
        while self._reports:
            event, error = self._reports.popleft()
            if error is None:
                confirmed.append(event)
            elif isinstance(error, _AGAIN):
                self.tally.trouble = error.message
                self._again.append(event)
            else:
                self._fault = self._fault or error
        self._confirm(confirmed)
        self.tally.elapsed_s, self.tally.moved_s = self._pace.elapsed_s(), self._pace.moved_s
        self.tally.waiting = self._outlet.waiting()

    def _confirm(self, events: list[Event]) -> None:
        if events:
            self.tally.trouble = ""
            self.tally.published.update([event.type for event in events])
            if self._ledger is not None:
                self._ledger.write(events)

    def _send_again(self) -> None:
        """Send what may not have arrived once more, under the same id."""
        while self._again and self._fault is None and self._try(self._again[0]):
            self._again.popleft()
            self.tally.again += 1
