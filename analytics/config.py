"""Settings of the analytics side: where ClickHouse is, how the sink batches, where queries are served."""

from __future__ import annotations

from dataclasses import dataclass

from hookline.kernel.config import integer, number, setting


def http_url(text: str) -> str:
    """Accept an empty text or one that begins with `http://` or `https://`; raise `ValueError`."""
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseConfig:
    """Which ClickHouse keeps the log."""

    url: str = setting(
        "CLICKHOUSE_URL",
        "",
        "http[s]://user:password@host:port/database of ClickHouse; empty: embedded chDB in the state folder",
        http_url,
        secret=True,
    )
    timeout_s: float = setting("HOOKLINE_CLICKHOUSE_TIMEOUT_S", "60", "longest wait for an answer of ClickHouse", number(1, 240))


def days_or_none(text: str) -> int:
    """Parse a number of days from 1 to 3,650; an empty text is 0, which stands for another setting's."""
    return integer(1, 3_650)(text) if text else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionConfig:
    """How long ClickHouse keeps what; events on Kafka are kept for HOOKLINE_RETENTION_DAYS."""

    log_days: int = setting(
        "HOOKLINE_LOG_DAYS", "", "days that the log of attempts is kept; empty: as long as events (HOOKLINE_RETENTION_DAYS)", days_or_none
    )
    answer_days: int = setting(
        "HOOKLINE_ANSWER_DAYS", "30", "days that heads and bodies of receivers' answers are kept in the log", integer(1, 3_650)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """How the sink batches."""

    batch_rows: int = setting("HOOKLINE_SINK_BATCH_ROWS", "50000", "rows that make a partition's batch full", integer(1, 500_000))
    batch_bytes: int = setting(
        "HOOKLINE_SINK_BATCH_BYTES",
        "50331648",
        "bytes held that make all batches full; a quarter of them fills one",
        integer(65_536, 1 << 30),
    )
    batch_wait_s: float = setting(
        "HOOKLINE_SINK_BATCH_WAIT_S", "1", "longest time that a row waits for its batch to fill", number(0.01, 60)
    )
    max_rejected: int = setting(
        "HOOKLINE_SINK_MAX_REJECTED",
        "1000",
        "unreadable records of one batch that may be put aside; with more the sink waits for a person",
        integer(0, 1_000_000),
    )
    backoff_max_s: float = setting(
        "HOOKLINE_SINK_BACKOFF_MAX_S", "15", "longest pause between two tries while ClickHouse is down", number(0.05, 300)
    )
    audit_every_s: float = setting(
        "HOOKLINE_SINK_AUDIT_EVERY_S", "3600", "pause between two audits of the last hours' rows and sums", number(1, 604_800)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryConfig:
    """Where the named queries are served, and where they are asked for."""

    host: str = setting("HOOKLINE_QUERY_HOST", "127.0.0.1", "address on which the sink serves the named queries")
    port: int = setting("HOOKLINE_QUERY_PORT", "0", "port of the named queries; 0 takes a free one", integer(0, 65_535))
    token: str = setting("HOOKLINE_QUERY_TOKEN", "", "bearer token of the named queries; empty: the sink does not serve them", secret=True)
    url: str = setting(
        "HOOKLINE_QUERY_URL", "", "http://host:port of a sink that serves the named queries; empty: ask ClickHouse itself", http_url
    )
