"""The settings of HTTP ingest."""

from __future__ import annotations

from dataclasses import dataclass

from hookline.kernel.config import boolean, integer, number, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """Where ingest listens, how much it takes, how long it waits."""

    host: str = setting("HOOKLINE_INGEST_HOST", "127.0.0.1", "address that ingest listens on; 0.0.0.0 for all")
    port: int = setting("HOOKLINE_INGEST_PORT", "8420", "port that ingest listens on; 0 takes a free one", integer(0, 65_535))
    share_port: bool = setting(
        "HOOKLINE_INGEST_SHARE_PORT", "false", "true: several ingest processes of one machine share the port (SO_REUSEPORT)", boolean
    )
    timeout_s: float = setting("HOOKLINE_INGEST_TIMEOUT_S", "10", "seconds that Kafka has to confirm an event, else 503", number(1, 300))
    stall_s: float = setting(
        "HOOKLINE_INGEST_STALL_S", "3", "seconds without any confirmation after which new events are refused at once", number(0.1, 300)
    )
    in_flight: int = setting("HOOKLINE_INGEST_IN_FLIGHT", "20000", "events that may wait for Kafka at once", integer(1, 1_000_000))
    max_body_bytes: int = setting(
        "HOOKLINE_INGEST_MAX_BODY_BYTES", "1048576", "largest request body, packed and unpacked", integer(1_024, 16_777_216)
    )
    max_batch: int = setting("HOOKLINE_INGEST_MAX_BATCH", "500", "most events in one request", integer(1, 10_000))
    max_past_s: float = setting("HOOKLINE_INGEST_MAX_PAST_S", "86400", "how many seconds ago occurred_at may lie", number(0, 1e9))
    max_future_s: float = setting("HOOKLINE_INGEST_MAX_FUTURE_S", "3600", "how many seconds ahead occurred_at may lie", number(0, 1e9))
    body_s: float = setting("HOOKLINE_INGEST_BODY_S", "10", "seconds that a request's body may take to arrive", number(0.1, 600))
    idle_s: float = setting(
        "HOOKLINE_INGEST_IDLE_S", "75", "seconds after which a connection without a whole request is closed", number(1, 3_600)
    )
    auth_failures: int = setting(
        "HOOKLINE_INGEST_AUTH_FAILURES", "10", "wrong API keys per minute and address that get a 401; more get a 429", integer(1, 100_000)
    )
    remembered: int = setting(
        "HOOKLINE_INGEST_REMEMBERED", "100000", "event ids and Idempotency-Keys that one process remembers", integer(0, 10_000_000)
    )
    remembered_s: float = setting("HOOKLINE_INGEST_REMEMBERED_S", "86400", "seconds that it remembers them", number(1, 1e7))
    drain_s: float = setting("HOOKLINE_INGEST_DRAIN_S", "20", "seconds that a stopping ingest waits for requests under way", number(0, 600))
