"""How long an event takes from the start of its HTTP publish to the receiver, by load; `python -m benchmarks.latency`.

A publish counts from when it is due, whether or not a connection is free and the load is in time: what waits in the load is counted too.
The whole system runs, the sink with its ClickHouse too, as where the rate was measured that the loads are parts of.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.load import Load
from benchmarks.publishing import due
from benchmarks.repeats import Values
from benchmarks.stack import Receiver, stack, wait
from benchmarks.system import SETTINGS, system
from hookline.local.kafka_broker import EmbeddedBroker

LEAST: Final = 100
"""Events a second of the lightest load."""
HISTOGRAM: Final = "histogram"
BOUNDS_MS: Final = (0.5, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 200, 500, 1_000, math.inf)
_WARM_S: Final = 2.0
_CONNECTIONS: Final = 128
_OWN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class At:
    """A load: so many events a second for so many seconds."""

    rate: float
    seconds: float

    @property
    def posts(self) -> int:
        """Return how many posts it makes."""
        return int(self.rate * self.seconds)


def measure(event_type: str, loads: Mapping[str, At], broker: EmbeddedBroker | None = None) -> Values:
    """Return percentiles and a histogram of publish→receive at each load, by name, in milliseconds.

    `<name>_own_p99_ms` is the 99th percentile of the same posts made to the receiver itself, for 2 s at most: its own time, and the
    load's. Afterwards counts reconcile, from the first publish to the rows in ClickHouse, and a sample's signatures are verified.
    """
    with stack(broker, **SETTINGS) as on:
        running = system(on, event_type)
        to, load = running.to, running.load
        load.connections = _CONNECTIONS
        own, warm = Load(url=to.url("own"), connections=_CONNECTIONS), At(LEAST, _WARM_S)
        _at(load, to, event_type, warm)
        wait(lambda: running.written() >= warm.posts, 60, "the first rows in ClickHouse")
        found: Values = {}
        published, posted = warm.posts, 0
        for name, at in loads.items():
            alone = At(at.rate, min(at.seconds, _OWN_S))
            direct, through = _at(own, to, event_type, alone), _at(load, to, event_type, at)
            published, posted = published + at.posts, posted + alone.posts
            found |= _told(name, at, direct, through)
        return found | {"signatures_verified": running.check(published, posted)}


def _told(name: str, at: At, direct: Sequence[float], through: Sequence[float]) -> Values:
    found: Values = {f"{name}_rate_per_s": at.rate, f"{name}_calls": len(through), f"{name}_own_p99_ms": percentile(direct, 99)}
    found |= {f"{name}_p{q:g}_ms": percentile(through, q) for q in (50, 95, 99, 99.9, 100)}
    added = percentile(through, 99) - percentile(direct, 99)
    return found | {f"{name}_added_p99_ms": added, f"{name}_{HISTOGRAM}": histogram(through)}


def _at(load: Load, to: Receiver, event_type: str, at: At) -> list[float]:
    """Return the sorted latencies of a load, in milliseconds."""
    before = to.count()
    load.steady(due(event_type), at.rate, at.seconds)
    wait(lambda: to.count() >= before + at.posts, 60, f"all calls at {at.rate:,.0f}/s")
    return sorted(seconds * 1e3 for seconds in to.latencies_s()[before:])


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the least value that `percent` % of the values do not exceed; `ordered` ascends and is not empty."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def histogram(ordered: Sequence[float]) -> dict[str, int]:
    """Return how many values lie up to each bound in milliseconds, and above the bound before it."""
    places = [bisect.bisect_right(ordered, bound) for bound in BOUNDS_MS]
    return {f"{bound:g}": upto - below for bound, upto, below in zip(BOUNDS_MS, places, [0, *places], strict=False)}


if __name__ == "__main__":
    print(measure("product.changed", {"least": At(LEAST, 20), "half": At(1_000, 10)}))
