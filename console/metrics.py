"""What the console counts; labels are closed lists, never a store, a path or an address."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from hookline.kernel.metrics import LATENCY_BUCKETS_S

REQUESTS: Final = Counter("hookline_console_requests_total", "Requests answered, by route and HTTP status.", ["route", "status"])
SECONDS: Final = Histogram("hookline_console_request_seconds", "Time from headers to answer.", ["route"], buckets=LATENCY_BUCKETS_S)
BUSY: Final = Gauge("hookline_console_busy", "Requests in a pool of threads, running or waiting.", ["pool"])
REFUSED_KEYS: Final = Counter(
    "hookline_console_refused_keys_total", "Requests without a valid key, or from addresses with too many.", ["why"]
)
REPLAYED: Final = Counter("hookline_console_idempotent_replays_total", "Answers given again for a known Idempotency-Key.")
AUDITED: Final = Counter("hookline_console_audited_total", "Changes recorded on the audit topic.")
MADE_AGAIN: Final = Counter("hookline_console_made_again_total", "Deliveries that replay jobs had made again.")
