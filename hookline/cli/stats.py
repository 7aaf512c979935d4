"""`hookline stats`: what became of a store's deliveries, or of one webhook's."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Final

import typer

from hookline.analytics.gateway import open_queries
from hookline.analytics.queries import Statistics, rate, statistics, statistics_by_webhook
from hookline.cli.output import AsJson, show_fields, show_json, show_table
from hookline.kernel.config import environment

_COLUMNS: Final = ("webhook_id", "deliveries", "delivered", "dead", "success_rate", "first_try_rate", "p50", "p95", "p99")


def command(
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store.")] = "demo",
    webhook: Annotated[str, typer.Option("--webhook", help="Only this webhook.")] = "",
    days: Annotated[int, typer.Option("--days", help="How many days back.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Show deliveries, success rate, errors by kind and status, and response times; test calls are not counted."""
    queries = open_queries(environment())
    try:
        found = statistics(queries, store, webhook_id=webhook, days=days)
        rows = [] if webhook else statistics_by_webhook(queries, store, days=days)
    finally:
        queries.close()
    if as_json:
        show_json(
            {
                "store_id": store,
                "webhook_id": webhook,
                "days": days,
                **dataclasses.asdict(found),
                "webhooks": [_webhook(row) for row in rows],
            }
        )
        return
    subject = f"webhook {webhook}" if webhook else f"store {store}"
    show_fields(_shown(found), as_json=False, title=f"Last {days} days of {subject}")
    if rows:
        show_table(map(_shown_webhook, rows), _COLUMNS, as_json=False, title="\nBy webhook")


def percent(share: float | None) -> str:
    """Return a rate as `99.95 %`, or `-` when there is nothing to measure."""
    return "-" if share is None else f"{share * 100:.2f} %"


def milliseconds(seconds: float | None) -> str:
    """Return a time as `12.3 ms`, or `-` when there is none."""
    return "-" if seconds is None or seconds != seconds else f"{seconds * 1000:,.1f} ms"  # noqa: PLR0124  # NaN


def _shown(found: Statistics) -> dict[str, Any]:
    return {
        "deliveries": found.deliveries,
        "attempts": found.attempts,
        "delivered": found.delivered,
        "dead letters": found.dead,
        "failed, to be retried": found.retrying,
        "skipped": found.skipped,
        "success rate": percent(found.success_rate),
        "first-try rate": percent(found.first_try_rate),
        "response time": _three(found.response_time_s),
        "queue wait": _three(found.queue_wait_s),
        "by HTTP status": _counts({str(status or "none"): count for status, count in found.by_status.items()}),
        "errors by kind": _counts(found.by_error_kind),
    }


def _three(values: tuple[float, float, float] | None) -> str:
    if values is None:
        return "-"
    return ", ".join(f"{name} {milliseconds(value)}" for name, value in zip(("p50", "p95", "p99"), values, strict=True))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1])) or "-"


def _webhook(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "deliveries": row["first_attempts"],
        "success_rate": rate(row["delivered"], row["delivered"] + row["dead"]),
        "first_try_rate": rate(row["first_delivered"], row["first_attempts"]),
    }


def _shown_webhook(row: dict[str, Any]) -> dict[str, Any]:
    found = _webhook(row)
    times = zip(("p50", "p95", "p99"), (milliseconds(value) for value in row["response_time_s"]), strict=True)
    return {**found, "success_rate": percent(found["success_rate"]), "first_try_rate": percent(found["first_try_rate"]), **dict(times)}
