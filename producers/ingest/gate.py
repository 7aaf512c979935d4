"""The gate between requests and Kafka: opens while Kafka keeps up, closes at once when it does not."""

from __future__ import annotations

from typing import Final, Protocol

from hookline.kernel.clock import Clock
from hookline.producers.ingest import metrics
from hookline.producers.ingest.config import IngestConfig
from hookline.producers.ingest.errors import refused
from hookline.producers.publisher import Done, Outcome, Published
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import Event

_QUICK_IN_FLIGHT: Final = 4
_AGAIN_S: Final = 1
_STALLED_AGAIN_S: Final = 5
_COUNTED: Final = {name: metrics.EVENTS.labels(kind.category) for name, kind in EVENT_TYPES.items()}


class Outlet(Protocol):
    """Where events go: an `AsyncPublisher`."""

    def send(self, event: Event, done: Done, traceparent: str = "") -> None:
        """Hand an event over; `done` is called on the event loop."""


class Gate:
    """Hands events to Kafka and reports each outcome on the event loop; use it from that loop only.

    While few events wait, `quick` sends each at once; under load `bulk` waits some milliseconds for company, which
    takes half the CPU of both sides. Events have no order that this could disturb.
    """

    def __init__(self, quick: Outlet, bulk: Outlet, config: IngestConfig, clock: Clock) -> None:
        self._quick = quick
        self._bulk = bulk
        self._most = config.in_flight
        self._stall_s = config.stall_s
        self._clock = clock
        self._heard_at = clock.monotonic()
        self.in_flight = 0

    def submit(self, event: Event, traceparent: str, done: Done) -> None:
        """Hand an event over; `done` gets the outcome, later.

        Raises at once, without calling `done`: `Refused` when too many wait or Kafka is silent, `InputError` for a
        wrong event, `QueueFull`, `Closed`.
        """
        began = self._clock.monotonic()
        self._check(began)

        def settled(outcome: Outcome) -> None:
            self.in_flight -= 1
            if isinstance(outcome, Published):
                self._heard_at = self._clock.monotonic()
                metrics.CONFIRM_S.observe(self._heard_at - began)
                _COUNTED[event.type].inc()
            done(outcome)

        publisher = self._quick if self.in_flight < _QUICK_IN_FLIGHT else self._bulk
        publisher.send(event, settled, traceparent)
        if not self.in_flight:
            self._heard_at = began
        self.in_flight += 1

    def complaint(self) -> str:
        """Return why events would be refused now, or an empty text: a probe for `/readyz`, from any thread."""
        if self._silent(self._clock.monotonic()):
            return f"Kafka has confirmed nothing for {self._stall_s:g} s"
        return f"{self.in_flight:,} events wait for Kafka" if self.in_flight >= self._most else ""

    def _check(self, now: float) -> None:
        if self.in_flight >= self._most:
            raise refused("overloaded", "Too many events wait for the event log", remedy="Send it again.", retry_after_s=_AGAIN_S)
        if self._silent(now):
            raise refused(
                "broker_unavailable",
                "The event log confirms nothing at the moment; this event was not taken",
                remedy="Send it again.",
                retry_after_s=_STALLED_AGAIN_S,
            )

    def _silent(self, now: float) -> bool:
        return self.in_flight > 0 and now - self._heard_at > self._stall_s
