"""The whole system on this machine, from the HTTP publish to the rows in ClickHouse; `python -m benchmarks.whole`.

Broker, ingest, dispatcher, and the sink with the embedded ClickHouse, each a process; the load and the receiver run beside them and
are not counted. In the run it is checked that what was acknowledged, received, and written are the same events, each once, and that a
sample of the calls verifies with the `standardwebhooks` package.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

import psutil

from benchmarks.load import Load
from benchmarks.publishing import BATCH, batch, single
from benchmarks.repeats import Values
from benchmarks.stack import stack, wait
from benchmarks.system import SETTINGS, System, system
from hookline.local.kafka_broker import EmbeddedBroker

Publish: TypeAlias = Callable[[Load, str, int], None]
_WARM = 1_000
_PATIENCE_S = 180


def measure(event_type: str, events: int, broker: EmbeddedBroker | None = None, *, publish: Publish) -> Values:
    """Return deliveries per second and CPU per delivery by process; `publish` is `one_by_one` or `by_hundreds`.

    The rate counts from the first publish until the last call came; the CPU until the last row is in ClickHouse.
    """
    with stack(broker, **SETTINGS) as on:
        found = system(on, event_type)
        one_by_one(found.load, event_type, _WARM)
        wait(lambda: found.written() >= _WARM, 60, "the first rows in ClickHouse")
        values = _timed(found, lambda: publish(found.load, event_type, events), events)
        return values | {"signatures_verified": found.check(events + _WARM)}


def one_by_one(load: Load, event_type: str, events: int) -> None:
    """Publish each event in a request of its own."""
    load.closed(single(event_type), events)


def by_hundreds(load: Load, event_type: str, events: int) -> None:
    """Publish in batches of 100; `events` is a multiple of it."""
    load.closed(batch(event_type), events // BATCH)


def _timed(on: System, publish: Callable[[], None], events: int) -> Values:
    before, began = {name: cpu_s(pid) for name, pid in on.pids.items()}, time.monotonic()
    first = on.to.count()
    publish()
    published = time.monotonic() - began
    wait(lambda: on.to.count() >= first + events, _PATIENCE_S, "all calls")
    took = time.monotonic() - began
    wait(lambda: on.written() >= first + events, _PATIENCE_S, "all rows in ClickHouse", every_s=0.2)
    used = {name: (cpu_s(pid) - before[name]) / events for name, pid in on.pids.items()}
    return {
        "deliveries": events,
        "rate_per_s": events / took,
        "published_per_s": events / published,
        "rows_after_s": time.monotonic() - began,
        "cpu_ms_per_delivery": sum(used.values()) * 1e3,
        **{f"{name}_us": value * 1e6 for name, value in used.items()},
    }


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far, user and system, all threads."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    print(measure("product.changed", 20_000, publish=one_by_one))
    print(measure("product.changed", 20_000, publish=by_hundreds))
