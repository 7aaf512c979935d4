"""Every metric of ingest, in one place; labels come from closed enums only."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from hookline.kernel.metrics import LATENCY_BUCKETS_S, LoopCounter, LoopHistogram

REQUESTS: Final = LoopCounter("hookline_ingest_requests_total", "Requests answered, by HTTP status.", ["status"])
EVENTS: Final = LoopCounter("hookline_ingest_events_total", "Events confirmed by Kafka, by category.", ["category"])
REFUSED: Final = Counter("hookline_ingest_refused_total", "Requests and items of batches refused, by code.", ["code"])
REPEATED: Final = Counter("hookline_ingest_repeated_total", "Events answered from memory: their id was accepted before.")
BODY_BYTES: Final = LoopCounter("hookline_ingest_body_bytes_total", "Bytes of request bodies, as they came.")
CONFIRM_S: Final = LoopHistogram(
    "hookline_ingest_confirm_seconds", "From the hand-over of an event to Kafka's confirmation.", buckets=LATENCY_BUCKETS_S
)
IN_FLIGHT: Final = Gauge("hookline_ingest_in_flight", "Events that wait for Kafka's confirmation.")
CONNECTIONS: Final = Gauge("hookline_ingest_connections", "Open connections.")
REMEMBERED: Final = Gauge("hookline_ingest_remembered", "Event ids and Idempotency-Keys remembered.")
LOOP_STALL_S: Final = Histogram(
    "hookline_ingest_loop_stall_seconds", "How late a 100 ms timer of the event loop ran.", buckets=LATENCY_BUCKETS_S
)
