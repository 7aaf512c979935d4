"""How fast the sink moves attempt records from a real Kafka into ClickHouse; `python -m benchmarks.sink [--json FILE]`.

The clock begins and ends with nothing in hand. The sink runs and has written the first rows, and ClickHouse has merged them; then the
process is halted while the records come onto Kafka, and the clock begins as it goes on. The rate counts until the last row is written, the
CPU until ClickHouse has merged what was. So every row is counted whole: fetched, held, written, merged. A clock that begins with the first
batch leaves out what the consumer holds by then, which can be almost the whole backlog, and the merges after the last row.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer

from benchmarks.stack import STORE, Process, Stack, largest, metric, stack, wait
from hookline.analytics.gateway import RemoteQueries
from hookline.analytics.queries import audit
from hookline.kernel import kafka
from hookline.local.kafka_broker import EmbeddedBroker, free_port
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.wire import ATTEMPT_FIELDS, Codec

ROWS: Final = 400_000
WEBHOOKS: Final = 200
_WARM: Final = 20_000
_TOKEN: Final = "bench"  # of a process that lives for a minute on loopback
_ROWS_METRIC: Final = "hookline_sink_rows_total"
_SESSION_MS: Final = "45000"  # longer than the sink is halted; then Kafka would take it for dead
_RESTING: Final = 0.05  # of a core: an idle sink with its ClickHouse takes 0.01 to 0.02
_REST_S: Final = 1.5
_LONGEST_S: Final = 60.0
_HEADERS: Final = "content-type: application/json\nuser-agent: Hookline/0.1\nwebhook-id: {}\nwebhook-timestamp: 1795500000\n"
_ANSWER: Final = "HTTP/1.1 {} \nserver: nginx\ncontent-type: application/json\nconnection: keep-alive\ncontent-length: 15\n"


def measure(rows: int = ROWS, broker: EmbeddedBroker | None = None) -> dict[str, Any]:
    """Return rows per second and CPU per row of one `hookline sink` that works off a backlog; every row is checked to be there once."""
    metrics, queries = free_port(), free_port()
    settings = {"HOOKLINE_METRICS_PORT": str(metrics), "HOOKLINE_QUERY_PORT": str(queries), "HOOKLINE_QUERY_TOKEN": _TOKEN}
    with stack(broker) as on:
        sink = on.hookline("sink", HOOKLINE_SESSION_TIMEOUT_MS=_SESSION_MS, **settings)
        _produce(on, range(_WARM))
        wait(lambda: _written(metrics) >= _WARM, 60, "the first rows")
        rested(sink)
        with halted(sink):
            began = time.monotonic()
            _produce(on, range(_WARM, _WARM + rows))
            filled_s = time.monotonic() - began
        with largest(sink) as seen:
            found = {**_timed(sink, metrics, rows), "filled_s": filled_s, "rss_mb": max(seen)}
        asked = RemoteQueries(f"http://127.0.0.1:{queries}", _TOKEN)
        if not (checked := audit(asked, STORE)).adds_up or checked.rows != _WARM + rows:
            raise SystemExit(f"the log does not add up: {checked}")
        return found


def _timed(sink: Process, port: int, rows: int) -> dict[str, Any]:
    began, cpu = time.monotonic(), sink.cpu_s
    wait(lambda: _written(port) >= _WARM + rows, 120, "all rows")
    took, written = time.monotonic() - began, sink.cpu_s - cpu
    used = rested(sink) - cpu
    return {
        "rows": rows,
        "rows_per_s": rows / took,
        "rows_per_cpu_s": rows / used,
        "cpu_us_per_row": used / rows * 1e6,
        "merged_later_us": (used - written) / rows * 1e6,
    }


@contextmanager
def halted(process: Process) -> Iterator[None]:
    """Have a process stand still meanwhile."""
    process.popen.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.popen.send_signal(signal.SIGCONT)


def rested(process: Process) -> float:
    """Return the CPU seconds at which a process came to rest; end the program when it does not within a minute.

    At rest: ClickHouse merges nothing. It runs in the sink's process, which alone could be asked for its `system.merges` and answers named
    queries only; but a merge keeps a core busy, and a process that hardly uses one has none under way.
    """
    deadline = time.monotonic() + _LONGEST_S
    since, used = time.monotonic(), process.cpu_s
    while (lasted := time.monotonic() - since) < _REST_S:
        time.sleep(0.1)
        if process.cpu_s - used > _RESTING * max(lasted, 0.5):
            since, used = time.monotonic(), process.cpu_s
        if time.monotonic() > deadline:
            raise SystemExit(f"{process.name} did not come to rest within {_LONGEST_S:g} s")
    return used


def _written(port: int) -> float:
    try:
        return metric(port, _ROWS_METRIC)
    except OSError:
        return 0


def _produce(on: Stack, numbers: range) -> None:
    registry = EmbeddedRegistry(on.config)
    registry.start()
    codec, producer = Codec(registry), kafka.producer(on.config, linger_ms=20)
    began_us = time.time_ns() // 1_000 - len(numbers)
    for place, number in enumerate(numbers):
        datum = attempt(number, began_us + place)
        value = codec.encode_attempt_values([datum[name] for name in ATTEMPT_FIELDS])
        while not _queued(producer, on.topics.attempts, datum["webhook_id"].encode(), value):
            producer.poll(0.1)
    if left := producer.flush(60):
        raise SystemExit(f"{left} records did not come onto Kafka")
    registry.stop()


def _queued(producer: Producer, topic: str, key: bytes, value: bytes) -> bool:
    try:
        producer.produce(topic, key=key, value=value)
    except BufferError:
        return False
    return True


def attempt(number: int, at_us: int) -> dict[str, Any]:
    """Return an attempt as a dispatcher leaves it: one in twenty fails, one in twenty of those for good."""
    kept = _DELIVERED if number % 20 else _RETRYING if number % 400 else _DEAD
    delivery_id = f"msg_{number:032x}"
    return kept | {
        "attempt_id": f"att_{number:024x}",
        "delivery_id": delivery_id,
        "webhook_id": f"wh_{number % WEBHOOKS:026x}",
        "event_id": f"evt_{number:026x}",
        "attempted_at_us": at_us,
        "response_time_us": 1_000 + number * 7_919 % 200_000,
        "queue_wait_us": number * 104_729 % 5_000,
        "request_headers": _HEADERS.format(delivery_id),
        "source_offset": number,
        "source_timestamp_ms": at_us // 1_000,
    }


_DELIVERED: Final = dataclasses.asdict(
    Attempt(
        attempt_id="",
        delivery_id="",
        store_id=STORE,
        webhook_id="",
        event_id="",
        event_type="order.created",
        trigger=Trigger.EVENT,
        attempt=1,
        attempted_at_us=0,
        outcome=Outcome.DELIVERED,
        http_status=200,
        url="https://shop.example.com/hooks/orders",
        response_headers=_ANSWER.format("200 OK"),
        response_body=b'{"taken": true}',
        source_topic="hookline.events.orders",
        dispatcher="bench-1",
    )
)
_RETRYING: Final = _DELIVERED | {
    "outcome": Outcome.RETRYING,
    "http_status": 503,
    "error_kind": ErrorKind.HTTP_STATUS,
    "error_detail": "answered 503",
    "response_headers": _ANSWER.format("503 Service Unavailable"),
}
_DEAD: Final = _RETRYING | {"outcome": Outcome.DEAD}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    found = measure()
    for name, value in found.items():
        print(f"{name:<16} {value:>14,.1f}")
    print(f"{'target':<16} {150_000:>14,} rows per CPU-second, on {os.cpu_count()} cores")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
