"""Hourly sums counted anew after a replayed batch, where a killed process may have left them short, or a repair doubled them.

ClickHouse notes an insert's token before it commits the rows, in `attempts` and in each view's table on its own. A process
killed between the two leaves a token without rows in one of them: sent again, the batch is dropped there. So after a replay
the sums of the batch's hours are compared with the rows, and made anew where they differ. Only the partition's owner writes
its rows and sums, so nobody else's insert is under way meanwhile.
"""

from __future__ import annotations

import time
from typing import Final

from hookline.analytics.warehouse import Parameters, Warehouse, only

# Rows may be expired after a day at the earliest (HOOKLINE_RETENTION_DAYS=1), and sums outlive them: never count older hours anew.
_OLDEST_US: Final = 20 * 3_600_000_000

_COMPARE: Final = """
SELECT
    (
        SELECT count()
        FROM attempts
        WHERE trigger != 'test' AND log_partition = {partition:UInt32}
            AND toStartOfHour(attempted_at) >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
            AND toStartOfHour(attempted_at) <= toStartOfHour(fromUnixTimestamp64Micro({until_us:Int64}, 'UTC'))
    ) AS counted,
    (
        SELECT sum(records)
        FROM attempt_stats_hourly
        WHERE webhook_id != '' AND log_partition = {partition:UInt32}
            AND hour >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
            AND hour <= toStartOfHour(fromUnixTimestamp64Micro({until_us:Int64}, 'UTC'))
    ) AS summed,
    (
        SELECT sum(records)
        FROM attempt_stats_hourly
        WHERE webhook_id = '' AND log_partition = {partition:UInt32}
            AND hour >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
            AND hour <= toStartOfHour(fromUnixTimestamp64Micro({until_us:Int64}, 'UTC'))
    ) AS summed_whole
"""
_FORGET: Final = """
DELETE FROM attempt_stats_hourly
WHERE log_partition = {partition:UInt32}
    AND hour >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
    AND hour <= toStartOfHour(fromUnixTimestamp64Micro({until_us:Int64}, 'UTC'))
"""
# The SELECT of attempt_stats_hourly_view, for one partition and a span of hours; a test compares the two.
_COUNT: Final = """
INSERT INTO attempt_stats_hourly
SELECT
    store_id,
    webhook_id,
    toStartOfHour(attempted_at) AS hour,
    log_partition,
    count() AS records,
    countIf(attempt > 0) AS attempts,
    countIf(outcome = 'retrying') AS retrying,
    countIf(attempt = 1 AND trigger = 'event') AS deliveries,
    countIf(attempt = 1 AND trigger = 'event' AND outcome = 'delivered') AS first_delivered,
    countIf(trigger = 'event' AND outcome = 'delivered') AS delivered,
    countIf(trigger = 'event' AND outcome = 'dead') AS dead,
    countIf(attempt = 1 AND trigger != 'event') AS made_again,
    countIf(trigger != 'event' AND outcome = 'delivered') AS again_delivered,
    countIf(trigger != 'event' AND outcome = 'dead') AS again_dead,
    countIf(outcome = 'skipped') AS skipped,
    sumMapIf(map(toString(event_type), toUInt64(1)), attempt = 1 AND trigger = 'event') AS by_event_type,
    sumMapIf(map(http_status, toUInt64(1)), attempt > 0) AS by_status,
    sumMapIf(map(toString(error_kind), toUInt64(1)), error_kind != '' AND outcome != 'skipped') AS by_error_kind,
    sumMapIf(map(toString(error_kind), toUInt64(1)), outcome = 'skipped') AS by_skip_kind,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(toFloat32(response_time_us / 1000000), http_status > 0) AS response_time,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(toFloat32(queue_wait_us / 1000000), attempt > 0) AS queue_wait
FROM attempts
WHERE trigger != 'test' AND log_partition = {partition:UInt32}
    AND hour >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
    AND hour <= toStartOfHour(fromUnixTimestamp64Micro({until_us:Int64}, 'UTC'))
GROUP BY GROUPING SETS ((store_id, webhook_id, hour, log_partition), (store_id, hour, log_partition))
SETTINGS insert_deduplicate = 0
"""
# Merges keep one of the rows that are there already.
_INDEX: Final = """
INSERT INTO events
SELECT DISTINCT store_id, event_id, event_type, source_topic, source_partition, source_offset, source_timestamp
FROM attempts
WHERE source_topic != '' AND log_partition = {partition:UInt32} AND log_offset BETWEEN {first:UInt64} AND {last:UInt64}
    AND attempted_at BETWEEN fromUnixTimestamp64Micro({since_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
SETTINGS insert_deduplicate = 0
"""


def index_events(client: Warehouse, batch: Parameters) -> None:
    """Write the event index of a batch again; `batch` has `partition`, `first`, `last`, `since_us` and `until_us`."""
    client.execute(_INDEX, batch)


def recount(client: Warehouse, partition: int, since_us: int, until_us: int) -> bool:
    """Make the sums of a partition's hours anew if they differ from its rows; return whether they did.

    May be called again after any failure. Raises `WarehouseError`.
    """
    since_us = max(since_us, time.time_ns() // 1_000 - _OLDEST_US)
    span: Parameters = {"partition": partition, "since_us": since_us, "until_us": until_us}
    found = only(client.rows(_COMPARE, span)) if since_us <= until_us else {}
    if len(set(found.values())) <= 1:
        return False
    client.execute(_FORGET, span)
    client.execute(_COUNT, span)
    return True
