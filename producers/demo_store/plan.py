"""A plan: what shop it is, how fast it goes, how long, and where its events go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from hookline.kernel.clock import rfc3339
from hookline.kernel.errors import InputError
from hookline.producers.demo_store.shop import DayIn, Steady
from hookline.producers.demo_store.store import ALL, DemoStore
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import check_id

# Of the first day, which has no deliveries of days before it; the tests hold it within a tenth.
EVENTS_PER_VISIT: Final = 6.3
ORDERS_ONLY: Final = frozenset(name for name, kind in EVENT_TYPES.items() if kind.category == "orders")
_ORDER_EVENTS_PER_VISIT: Final = 1.26
_MOST: Final = 1_000_000_000


class Via(StrEnum):
    """The way to Kafka."""

    KAFKA = "kafka"
    HTTP = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of the demo store; `url` is ingest's, its key comes from elsewhere, for it is a secret.

    `rate` is events a second: even ones, or on the average of a day that passes in `day_in_s`. `duration_s` and
    `events` None mean: until stopped, or until the day is over. The same plan gives the same events.
    """

    seed: int
    started_at: datetime
    store_id: str = "demo"
    rate: float = 20.0
    day_in_s: float | None = None
    duration_s: float | None = None
    events: int | None = None
    orders_only: bool = False
    via: Via = Via.KAFKA
    url: str = ""
    ledger: Path | None = None

    def __post_init__(self) -> None:
        """Raise `InputError` for what cannot be."""
        if self.started_at.tzinfo is None:
            raise InputError("started_at has no time zone", field="started_at", remedy="Give the offset, such as 2026-03-14T09:26:53Z.")
        check_id(self.store_id, "store")
        for name, value in (("rate", self.rate), ("day_in", self.day_in_s), ("duration", self.duration_s), ("events", self.events)):
            if value is not None and not 0 < value <= _MOST:
                raise InputError(f"{name} must be above 0 and not above {_MOST:,}", field=name)

    @property
    def lasts_s(self) -> float:
        """How many seconds it lasts at most; infinite: until stopped."""
        found = self.duration_s if self.duration_s is not None else self.day_in_s
        return math.inf if found is None else found

    def store(self) -> DemoStore:
        """Return the shop at its beginning."""
        wanted = ORDERS_ONLY if self.orders_only else ALL
        if self.day_in_s is None:
            return DemoStore(self.seed, self.started_at, store_id=self.store_id, timeline=Steady(self.rate), wanted=wanted)
        per_visit = _ORDER_EVENTS_PER_VISIT if self.orders_only else EVENTS_PER_VISIT
        return DemoStore(
            self.seed,
            self.started_at,
            store_id=self.store_id,
            visits_per_day=self.rate * self.day_in_s / per_visit,
            timeline=DayIn(self.day_in_s),
            wanted=wanted,
        )

    def arguments(self) -> list[str]:
        """Return the arguments of `hookline demo-store` that carry this plan out; the API key goes by HOOKLINE_API_KEY."""
        found = [f"--store={self.store_id}", f"--seed={self.seed}", f"--started-at={rfc3339(self.started_at)}", f"--rate={self.rate}"]
        pairs = (("day-in", self.day_in_s), ("duration", self.duration_s), ("events", self.events), ("ledger", self.ledger))
        found += [f"--{name}={value}" for name, value in pairs if value is not None]
        found += ["--orders-only"] if self.orders_only else []
        return [*found, f"--via={self.via}", *([f"--url={self.url}"] if self.url else [])]
