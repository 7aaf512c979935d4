"""What an event costs the HTTP ingest, singly and in batches of 100; `python -m benchmarks.ingest`."""

from __future__ import annotations

from benchmarks.load import Body, Load
from benchmarks.publishing import BATCH, batch, ingest, single
from benchmarks.repeats import Values
from benchmarks.stack import Process, stack
from hookline.local.kafka_broker import EmbeddedBroker

_WARM = 500


def measure(event_type: str, singles: int, batches: int, broker: EmbeddedBroker | None = None) -> Values:
    """Return events per CPU-second and per second of one ingest process, published over 64 kept-alive connections."""
    with stack(broker) as on:
        process, load = ingest(on)
        load.closed(single(event_type), _WARM)
        one = _timed(process, load, single(event_type), singles)
        many = _timed(process, load, batch(event_type), batches)
    return {
        "single_per_cpu_s": singles / one[0],
        "single_per_s": singles / one[1],
        "batch_per_cpu_s": batches * BATCH / many[0],
        "batch_per_s": batches * BATCH / many[1],
    }


def _timed(process: Process, load: Load, body: Body, count: int) -> tuple[float, float]:
    cpu = process.cpu_s
    took_s = load.closed(body, count)
    return process.cpu_s - cpu, took_s


if __name__ == "__main__":
    print(measure("product.changed", 20_000, 400))
