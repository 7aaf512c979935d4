"""How fast the sink moves attempt records from a real Kafka into ClickHouse; `python -m benchmarks.sink [--json FILE]`.

The records are on Kafka before the sink starts; the first batches are left out, while connections are made.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.stack import STORE, Process, Stack, metric, stack, wait
from hookline.analytics.gateway import RemoteQueries
from hookline.analytics.queries import audit
from hookline.kernel import kafka
from hookline.local.kafka_broker import free_port
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.wire import Codec

ROWS: Final = 600_000
WEBHOOKS: Final = 200
_TOKEN: Final = "bench"  # of a process that lives for a minute on loopback
_ROWS_METRIC: Final = "hookline_sink_rows_total"
_HEADERS: Final = "content-type: application/json\nuser-agent: Hookline/0.1\nwebhook-id: {}\nwebhook-timestamp: 1795500000\n"
_ANSWER: Final = "HTTP/1.1 {} \nserver: nginx\ncontent-type: application/json\nconnection: keep-alive\ncontent-length: 15\n"


def measure(rows: int = ROWS) -> dict[str, Any]:
    """Return rows per second and CPU per row of one `hookline sink` that works off a backlog; every row is checked to be there once."""
    metrics, queries = free_port(), free_port()
    settings = {"HOOKLINE_METRICS_PORT": str(metrics), "HOOKLINE_QUERY_PORT": str(queries), "HOOKLINE_QUERY_TOKEN": _TOKEN}
    with stack() as on:
        _produce(on, rows)
        sink = on.hookline("sink", **settings)
        found = _timed(sink, metrics, rows)
        asked = RemoteQueries(f"http://127.0.0.1:{queries}", _TOKEN)
        audit(asked, STORE)
        return found


def _timed(sink: Process, port: int, rows: int) -> dict[str, Any]:
    wait(lambda: _written(port) > 0, 60, "the first rows")
    began, first, cpu = time.monotonic(), _written(port), sink.cpu_s
    wait(lambda: _written(port) >= rows, 120, "all rows")
    took, done, used = time.monotonic() - began, rows - first, sink.cpu_s - cpu
    return {"rows": rows, "rows_per_s": done / took, "cpu_us_per_row": used / done * 1e6, "rss_mb": sink.rss_mb}


def _written(port: int) -> float:
    try:
        return metric(port, _ROWS_METRIC)
    except OSError:
        return 0


def _produce(on: Stack, rows: int) -> None:
    registry = EmbeddedRegistry(on.config)
    registry.start()
    codec, producer = Codec(registry), kafka.producer(on.config, linger_ms=20)
    began_us = time.time_ns() // 1_000 - rows
    for number in range(rows):
        record = attempt(number, began_us + number)
        value = codec.encode_attempt(record)
        while True:
            try:
                producer.produce(on.topics.attempts, key=record.webhook_id.encode(), value=value)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)
    registry.stop()


def attempt(number: int, at_us: int) -> Attempt:
    """Return an attempt as a dispatcher leaves it: one in twenty fails, one of those for good."""
    failed = number % 20 == 0
    kept = _DELIVERED if not failed else _RETRYING if number % 400 else _DEAD
    delivery_id = f"msg_{number:032x}"
    return dataclasses.replace(
        kept,
        attempt_id=f"att_{number:024x}",
        delivery_id=delivery_id,
        webhook_id=f"wh_{number % WEBHOOKS:024x}",
        event_id=f"evt_{number:032x}",
        attempted_at_us=at_us,
        response_time_us=1_000 + number * 7_919 % 200_000,
        queue_wait_us=number * 104_729 % 5_000,
        request_headers=_HEADERS.format(delivery_id),
        source_offset=number,
        source_timestamp_ms=at_us // 1_000,
    )


_DELIVERED: Final = Attempt(
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
_RETRYING: Final = dataclasses.replace(
    _DELIVERED,
    outcome=Outcome.RETRYING,
    http_status=503,
    error_kind=ErrorKind.HTTP_STATUS,
    error_detail="answered 503",
    response_headers=_ANSWER.format("503 Service Unavailable"),
)
_DEAD: Final = dataclasses.replace(_RETRYING, outcome=Outcome.DEAD)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    found = measure()
    for name, value in found.items():
        print(f"{name:<16} {value:>14,.1f}")
    print(f"{'target':<16} {50_000:>14,} rows per second, on {os.cpu_count()} cores")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
