"""The shop that all processes share: its clock, its chance, its goods and people, and the events it has told.

A process (a visit, an order's life, the merchant's day) is a generator that yields how many simulated seconds it waits.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Final, Protocol, TypeAlias

from hookline.producers.demo_store.goods import LOCATION, LOW_STOCK, Shelf, Variant
from hookline.producers.demo_store.people import People
from hookline.producers.demo_store.prices import Data
from hookline.schemas.events import Event

Process: TypeAlias = Generator[float, None, None]

MINUTE_S: Final = 60.0
HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
OPENS_H: Final = 7.0
USUAL_VISITS: Final = 500.0
_USUAL_PEOPLE: Final = 300
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]
_ID_RANDOM_BITS: Final = 80
_ID_BITS: Final = 130


class Timeline(Protocol):
    """When, in seconds after the start, something happens that happens at `sim_s` simulated seconds as event `number`."""

    def offset_s(self, sim_s: float, number: int) -> float:
        """Return the seconds; they never go back as `sim_s` and `number` grow."""


@dataclass(frozen=True, slots=True)
class DayIn:
    """A simulated day takes `day_s` seconds: 86,400 is real time, 60 a busy day in a minute."""

    day_s: float = DAY_S

    def offset_s(self, sim_s: float, _number: int) -> float:
        """Return simulated time, compressed."""
        return sim_s * self.day_s / DAY_S


@dataclass(frozen=True, slots=True)
class Steady:
    """Events at an even `rate` a second, however busy the simulated hour is."""

    rate: float

    def offset_s(self, _sim_s: float, number: int) -> float:
        """Return the time of the event's turn."""
        return number / self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopConfig:
    """What a shop's events depend on, and nothing else; `wanted` are the event types that are told."""

    seed: int
    started_at: datetime
    store_id: str
    visits_per_day: float
    timeline: Timeline
    wanted: frozenset[str]


class Shop:
    """State and engine of the simulation; not thread-safe, does no I/O."""

    def __init__(self, config: ShopConfig) -> None:
        self.config = config
        self.rng = Random(f"{config.seed}:{config.store_id}")  # noqa: S311  # a simulation must be repeatable, not secret
        # Apart, so that the story is the same whichever of its events are told.
        self._id_bits = Random(f"{config.seed}:{config.store_id}:ids").getrandbits  # noqa: S311
        scale = max(1.0, config.visits_per_day / USUAL_VISITS)
        self.shelf = Shelf(self.rng, scale)
        self.people = People(self.rng, _USUAL_PEOPLE)
        self.sim_s = 0.0
        self.told: deque[Event] = deque()
        self._numbers: Counter[str] = Counter(order=self.rng.randrange(10_000, 90_000))
        self._events = 0
        self._agenda: list[tuple[float, int, Process]] = []
        self._turns = count()

    # ---- time ----

    def now(self) -> datetime:
        """Return the time of the next event, by the timeline."""
        return self.config.started_at + timedelta(seconds=self.config.timeline.offset_s(self.sim_s, self._events))

    @property
    def hour(self) -> float:
        """The simulated hour of the day; every simulation begins at 07:00."""
        return (OPENS_H + self.sim_s / HOUR_S) % 24

    def until_hour(self, hour: float) -> float:
        """Return the seconds until it is this hour next."""
        return ((hour - self.hour) % 24) * HOUR_S

    def within(self, low_s: float, high_s: float) -> float:
        """Return a random wait."""
        return low_s + (high_s - low_s) * self.rng.random()

    def chance(self, share: float) -> bool:
        """Decide by chance."""
        return self.rng.random() < share

    # ---- processes ----

    def start(self, process: Process) -> None:
        """Begin a process now."""
        heappush(self._agenda, (self.sim_s, next(self._turns), process))

    def step(self) -> None:
        """Let the process whose turn is next go on to its next wait; there is always one, for visitors come for ever."""
        self.sim_s, _, process = heappop(self._agenda)
        wait_s = next(process, None)
        if wait_s is not None:
            heappush(self._agenda, (self.sim_s + wait_s, next(self._turns), process))

    # ---- events ----

    def tell(self, name: str, data: Data) -> None:
        """Note that something has happened now; types that are not wanted are dropped."""
        config = self.config
        if name in config.wanted:
            at = self.now()
            self.told.append(Event(id=self._event_id(at), type=name, store_id=config.store_id, occurred_at=at, data=data))
            self._events += 1

    def new_id(self, prefix: str) -> str:
        """Return a fresh id."""
        return self.people.new_id(prefix)

    def number(self, kind: str) -> str:
        """Return the next number of a kind, such as an order's."""
        self._numbers[kind] += 1
        return str(self._numbers[kind])

    def move_stock(self, variant: Variant, delta: int, reason: str, reference: str | None = None) -> None:
        """Change what is available, tell it, and order more when it runs low."""
        before = variant.available
        variant.available += delta
        self.tell(
            "product.inventory_changed",
            {
                "product_id": variant.product.id,
                "variant_id": variant.id,
                "sku": variant.sku,
                "title": variant.full_title,
                "location_id": LOCATION,
                "previous_available": before,
                "available": variant.available,
                "delta": delta,
                "reason": reason,
                "low_stock_threshold": LOW_STOCK,
                "reference": reference,
                "changed_at": self.now(),
            },
        )
        if variant.available <= LOW_STOCK and not variant.awaited:
            variant.awaited = True
            self.start(self._refill(variant))

    def _refill(self, variant: Variant) -> Process:
        yield self.within(20 * MINUTE_S, 2 * HOUR_S)
        variant.incoming = variant.lot
        yield self.within(2 * HOUR_S, 9 * HOUR_S)
        variant.incoming, variant.awaited = 0, False
        self.move_stock(variant, variant.lot, "REFILL", self.new_id("po"))

    def _event_id(self, at: datetime) -> str:
        """Return an id as `schemas.events.new_id` makes them, but of this time and of this shop's chance."""
        number = int(at.timestamp() * 1_000) << _ID_RANDOM_BITS | self._id_bits(_ID_RANDOM_BITS)
        return "evt_" + "".join([_PAIRS[number >> shift & 1023] for shift in range(_ID_BITS - 10, -1, -10)])
