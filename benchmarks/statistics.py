"""How fast the log answers over five million attempts of one webhook; `python -m benchmarks.statistics [--json FILE]`.

The rows are made inside ClickHouse, the same ones every time but for their dates; each figure is the median of several runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hookline.analytics import migrate
from hookline.analytics.client import ClickHouse, open_client
from hookline.analytics.queries import ClickHouseQueries, LogFilter, delivery, log_page, statistics_by_webhook, statistics_daily
from hookline.analytics.queries import statistics as sums

ROWS: Final = 5_000_000
RUNS: Final = 7
STORE: Final = "bench"
WEBHOOK: Final = "wh_bench"
_PART: Final = 1_000_000
# 29 days back from now, evenly; half of them the first webhook's, the others of all alike; 1 in 20 fails and is retried, 1 in 1,000 is
# given up; four event types.
_FILL: Final = """
INSERT INTO attempts (
    store_id, webhook_id, attempted_at, attempt_id, delivery_id, event_id, event_type, trigger, attempt, outcome, http_status,
    error_kind, error_detail, response_time_us, queue_wait_us, url, request_headers, response_headers, response_body,
    source_topic, source_partition, source_offset, source_timestamp, dispatcher, log_partition, log_offset
)
WITH if(number % 20 = 1, toUInt64(number - 1), number) AS delivery  -- a call that failed, and was made again with success
SELECT
    {store:String},
    splitByChar(',', {webhooks:String})[if(sipHash64(delivery, 7) % 2 = 0, 1, 1 + sipHash64(delivery, 8) % {many:UInt32})],
    fromUnixTimestamp64Micro({now_us:Int64} - toInt64(intDiv(number * 29 * 86400000000, {rows:UInt64})), 'UTC') AS at,
    concat('att_', lower(hex(sipHash64(number))), lower(hex(sipHash64(number, 1)))),
    concat('msg_', lower(hex(sipHash64(delivery, 2))), lower(hex(sipHash64(delivery, 3)))),
    concat('evt_', lower(hex(sipHash64(delivery, 4)))),
    ['order.created', 'order.paid', 'product.changed', 'cart.updated'][1 + number % 4],
    'event',
    1 + (number % 20 = 0),
    multiIf(number % 20 = 1, 'retrying', number % 1000 = 2, 'dead', 'delivered') AS ended,
    if(ended = 'delivered', 200, 503),
    if(ended = 'delivered', '', 'http_status'),
    if(ended = 'delivered', '', 'answered 503'),
    1000 + sipHash64(number, 5) % 200000,
    sipHash64(number, 6) % 5000,
    'https://shop.example.com/hooks/orders',
    'content-type: application/json\\nuser-agent: Hookline/0.1\\n',
    'HTTP/1.1 200 OK\\nserver: nginx\\ncontent-type: application/json\\n',
    '{"taken": true}',
    'hookline.events.orders',
    number % 6,
    intDiv(number, 6),
    toDateTime64(at, 3, 'UTC'),
    'bench-1',
    0,
    number
FROM numbers({first:UInt64}, {count:UInt64})
SETTINGS async_insert = 0, max_partitions_per_insert_block = 0
"""


@contextmanager
def filled(rows: int) -> Iterator[ClickHouseQueries]:
    """Yield the queries of an embedded ClickHouse with so many attempts, in a temporary folder."""
    folder = tempfile.mkdtemp(prefix="hookline-bench-")
    client = open_client({"HOOKLINE_STATE_DIR": folder})
    try:
        migrate.up(client, retention_days=30)
        fill(client, STORE, [WEBHOOK], rows)
        yield ClickHouseQueries(client)
    finally:
        client.close()
        shutil.rmtree(folder, ignore_errors=True)


def measure(rows: int = ROWS) -> dict[str, Any]:
    """Return the same as `asked`, of an embedded ClickHouse that is made for it."""
    with filled(rows) as log:
        return asked(log, rows)


def fill(client: ClickHouse, store: str, webhooks: Sequence[str], rows: int) -> None:
    """Insert a month of attempts; the first webhook gets half of them."""
    given: dict[str, str | int] = {"store": store, "webhooks": ",".join(webhooks), "many": len(webhooks)}
    given |= {"now_us": time.time_ns() // 1_000, "rows": rows}
    for first in range(0, rows, _PART):
        client.execute(_FILL, {**given, "first": first, "count": min(_PART, rows - first)})


def asked(log: ClickHouseQueries, rows: int) -> dict[str, Any]:
    """Return milliseconds of the 30-day statistics and of pages of the log, over `rows` attempts, half of them one webhook's."""
    dead = LogFilter(store_id=STORE, webhook_id=WEBHOOK, outcome="dead")
    deep = LogFilter(store_id=STORE, webhook_id=WEBHOOK, outcome="dead", cursor=log_page(log, dead).next_cursor)
    rare = LogFilter(store_id=STORE, webhook_id=WEBHOOK, http_status="404")
    one = log_page(log, dead).rows[-1]
    return {
        "rows": rows,
        "statistics_ms": _ms(lambda: sums(log, STORE, webhook_id=WEBHOOK)),
        "statistics_store_ms": _ms(lambda: sums(log, STORE)),
        "statistics_daily_ms": _ms(lambda: statistics_daily(log, STORE, webhook_id=WEBHOOK)),
        "statistics_by_webhook_ms": _ms(lambda: statistics_by_webhook(log, STORE)),
        "log_page_ms": _ms(lambda: log_page(log, dead)),
        "log_second_page_ms": _ms(lambda: log_page(log, deep)),
        "log_unfiltered_page_ms": _ms(lambda: log_page(log, LogFilter(store_id=STORE))),
        "log_nothing_found_ms": _ms(lambda: log_page(log, rare)),
        "log_one_event_ms": _ms(lambda: log_page(log, LogFilter(store_id=STORE, event_id=one["event_id"]))),
        "delivery_ms": _ms(lambda: delivery(log, STORE, one["delivery_id"])),
    }


def _ms(ask: Callable[[], object]) -> float:
    """Return the median time of a question in milliseconds, the first run left out."""
    ask()
    times: list[float] = []
    for _ in range(RUNS):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    found = measure()
    for name, value in found.items():
        print(f"{name:<26} {value:>14,.1f}")
    print(f"targets: statistics_ms ≤ 50, log_page_ms ≤ 200; on {os.cpu_count()} cores")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
