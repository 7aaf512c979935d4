"""What the sink measures."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from hookline.kernel.metrics import LATENCY_BUCKETS_S

ROWS: Final = Counter("hookline_sink_rows_total", "Rows inserted; a batch that is replayed counts again")
BATCHES: Final = Counter("hookline_sink_batches_total", "Batches inserted")
REPLAYED: Final = Counter("hookline_sink_replayed_batches_total", "Batches that an earlier run had announced")
REPAIRED: Final = Counter("hookline_sink_repaired_rows_total", "Rows of replayed batches that were missing though their token was known")
RECOUNTED: Final = Counter("hookline_sink_recounted_batches_total", "Replayed batches whose hourly sums were off and made anew")
REJECTED: Final = Counter("hookline_sink_rejected_records_total", "Records put into the rejected topic")
BATCH_ROWS: Final = Histogram(
    "hookline_sink_batch_rows", "Rows per batch", buckets=(1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000)
)
INSERT_SECONDS: Final = Histogram("hookline_sink_insert_seconds", "Time of one insert", buckets=LATENCY_BUCKETS_S)
MISSED: Final = Counter("hookline_sink_missed_records_total", "Attempt records that retention took before they were read")
RETRIES: Final = Counter("hookline_sink_retries_total", "Writes that failed and are tried again")
WAITING: Final = Gauge("hookline_sink_waiting", "1 while the sink waits for ClickHouse, Kafka or the schema registry")
LAG: Final = Gauge("hookline_sink_lag_records", "Attempt records on Kafka that are not in ClickHouse yet")
DELAY: Final = Gauge("hookline_sink_delay_seconds", "Age of the newest row when its batch was in ClickHouse")
AUDITS: Final = Counter("hookline_sink_audits_total", "Audits of the last hours, by what they found: adds_up, differs, failed", ["result"])
AUDIT_DIFFERENCE: Final = Gauge("hookline_sink_audit_difference_rows", "By how many rows the last audit was off; 0 when all adds up")
QUERIES: Final = Counter("hookline_query_requests_total", "Named queries answered", ["query", "result"])
QUERY_SECONDS: Final = Histogram("hookline_query_seconds", "Time of a named query", ["query"], buckets=LATENCY_BUCKETS_S)
