"""`DemoStore`: the events of a believable shop, one after the other; the same seed and start give the same events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from hookline.producers.demo_store import merchant
from hookline.producers.demo_store.shop import DAY_S, USUAL_VISITS, DayIn, Process, Shop, ShopConfig, Timeline
from hookline.producers.demo_store.visits import visit
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import Event, check_id

ALL: Final = frozenset(EVENT_TYPES)
# Visitors by the hour of the day, from midnight: lunch and the evening are busy.
_CURVE: Final = (6, 3, 2, 1, 1, 3, 10, 22, 38, 52, 60, 64, 66, 58, 52, 50, 52, 58, 70, 88, 100, 92, 60, 26)
_CURVE_SUM: Final = sum(_CURVE)
_HOURS: Final = len(_CURVE)


class DemoStore(Iterator[Event]):
    """An endless iterator of events in the order of their `occurred_at`; pure, without I/O, not thread-safe.

    `timeline` maps simulated time onto the seconds after `started_at` (aware) that events carry; `wanted` limits the
    event types. Events that follow one another share parts of their data: read it, do not change it.
    """

    def __init__(
        self,
        seed: int,
        started_at: datetime,
        *,
        store_id: str = "demo",
        visits_per_day: float = USUAL_VISITS,
        timeline: Timeline | None = None,
        wanted: frozenset[str] = ALL,
    ) -> None:
        config = ShopConfig(
            seed=seed,
            started_at=started_at,
            store_id=check_id(store_id, "store"),
            visits_per_day=visits_per_day,
            timeline=timeline or DayIn(),
            wanted=wanted,
        )
        self._shop = Shop(config)
        self._shop.start(_visitors(self._shop))
        self._shop.start(merchant.work(self._shop))

    @property
    def simulated_days(self) -> float:
        """How many days have passed in the shop."""
        return self._shop.sim_s / DAY_S

    def __next__(self) -> Event:
        shop = self._shop
        while not shop.told:
            shop.step()
        return shop.told.popleft()


def _visitors(shop: Shop) -> Process:
    per_second = shop.config.visits_per_day / DAY_S
    while True:
        busy = _CURVE[int(shop.hour)] * _HOURS / _CURVE_SUM
        yield shop.rng.expovariate(per_second * busy)
        shop.start(visit(shop))
