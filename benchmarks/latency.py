"""How long an event takes from the start of its HTTP publish to the receiver, by load; `python -m benchmarks.latency`.

A publish counts from when it is due, whether or not a connection is free and the load is in time: what waits in the load is counted too.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.load import Load
from benchmarks.publishing import due, ingest
from benchmarks.repeats import Values
from benchmarks.stack import STORE, Receiver, receiver, stack, wait
from hookline.local.kafka_broker import EmbeddedBroker
from hookline.webhooks.store import NewWebhook

LEAST: Final = 100
"""Events a second of the lightest load."""
BOUNDS_MS: Final = (0.5, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 200, 500, 1_000, math.inf)
_SETTINGS: Final = {"HOOKLINE_LANE_CONCURRENCY": "64", "HOOKLINE_LANE_QUEUE": "10000"}
_WARM_S: Final = 2.0
_CONNECTIONS: Final = 128
_LONGER: Final = 2  # the lightest load makes few calls


def measure(event_type: str, rates: Mapping[str, float], seconds: float, broker: EmbeddedBroker | None = None) -> Values:
    """Return percentiles and a histogram of publish→receive at each rate (events a second, by name), in milliseconds.

    `<name>_own_p99_ms` is the 99th percentile of the same posts made to the receiver itself: its own time, and the load's.
    """
    with stack(broker, **_SETTINGS) as on:
        to = receiver(on)
        with on.webhooks() as webhooks:
            webhooks.create(NewWebhook(store_id=STORE, url=to.url("hook"), event_types=(event_type,)))
        on.hookline("dispatch")
        _, load = ingest(on)
        load.connections = _CONNECTIONS
        own = Load(url=to.url("own"), connections=_CONNECTIONS)
        _at(load, to, event_type, LEAST, _WARM_S)
        found: Values = {}
        for name, rate in rates.items():
            lasts_s = seconds * _LONGER if rate <= LEAST else seconds
            direct, through = (_at(one, to, event_type, rate, lasts_s) for one in (own, load))
            found |= {f"{name}_rate_per_s": rate, f"{name}_own_p99_ms": percentile(direct, 99)}
            found |= {f"{name}_p{q:g}_ms": percentile(through, q) for q in (50, 95, 99, 99.9, 100)}
            found |= {f"{name}_added_p99_ms": percentile(through, 99) - percentile(direct, 99), f"{name}_histogram": histogram(through)}
        return found


def _at(load: Load, to: Receiver, event_type: str, rate: float, seconds: float) -> list[float]:
    """Return the sorted latencies of a load, in milliseconds."""
    before = to.count()
    load.steady(due(event_type), rate, seconds)
    wait(lambda: to.count() >= before + int(rate * seconds), 60, f"all calls at {rate:,.0f}/s")
    return sorted(seconds * 1e3 for seconds in to.latencies_s()[before:])


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the least value that `percent` % of the values do not exceed; `ordered` ascends and is not empty."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def histogram(ordered: Sequence[float]) -> dict[str, int]:
    """Return how many values lie up to each bound in milliseconds, and above the bound before it."""
    places = [bisect.bisect_right(ordered, bound) for bound in BOUNDS_MS]
    return {f"{bound:g}": upto - below for bound, upto, below in zip(BOUNDS_MS, places, [0, *places], strict=False)}


if __name__ == "__main__":
    print(measure("product.changed", {"least": LEAST, "half": 1_000}, 10))
