"""`hookline stats`: what became of a store's deliveries, or of one webhook's."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Final

import typer

from hookline.analytics.gateway import open_queries
from hookline.analytics.queries import Statistics, percentiles, rates, statistics, statistics_by_webhook
from hookline.cli.output import AsJson, show_fields, show_json, show_table
from hookline.cli.webhook_filters import check_webhook
from hookline.kernel.config import environment

_COLUMNS: Final = ("webhook_id", "deliveries", "dead", "success", "first_try", "p50_ms", "p95_ms", "p99_ms")  # fit 100 columns


def command(
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store.")] = "demo",
    webhook: Annotated[str, typer.Option("--webhook", help="Only this webhook.")] = "",
    days: Annotated[int, typer.Option("--days", help="How many days back.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Show deliveries, success rate, errors by kind and by status, response times.

    A delivery is one event for one webhook, however many attempts it takes.

    Success rate: delivered ÷ (delivered + dead letters); what is still retried is in neither.

    First-try rate: delivered at attempt 1 ÷ deliveries.

    Both are of deliveries that events began: resends and replays are counted apart, as made again. Test calls are left out, and records of
    why no call was made are no attempts.
    """
    queries = open_queries(environment())
    try:
        found = statistics(queries, store, webhook_id=webhook, days=days)
        if webhook and not any(dataclasses.asdict(found).values()):
            check_webhook(environment(), queries, store, webhook)
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
                "by_status": {str(status): count for status, count in found.by_status.items()},
                "webhooks": [_webhook(row) for row in rows],
            }
        )
        return
    subject = f"webhook {webhook}" if webhook else f"store {store}"
    show_fields(_shown(found), as_json=False, title=f"Last {days} days of {subject}")
    if rows:
        show_table(map(_shown_webhook, rows), _COLUMNS, as_json=False, title="\nBy webhook")


def percent(share: float | None) -> str:
    """Return a rate as `99.95 %`, or `-` when there is nothing to measure; what is not all never reads `100 %`."""
    if share is None:
        return "-"
    text = f"{share * 100:.2f} %"
    return "> 99.99 %" if share < 1 and text == "100.00 %" else text


def milliseconds(seconds: float | None) -> str:
    """Return a time as `12.3 ms`, or `-` when there is none."""
    return "-" if seconds is None or seconds != seconds else f"{seconds * 1000:,.1f} ms"  # noqa: PLR0124  # NaN


def _shown(found: Statistics) -> dict[str, Any]:
    return {
        "deliveries": f"{found.deliveries:,}",
        "delivered": f"{found.delivered:,}, {found.first_delivered:,} of them at once",
        "dead letters": f"{found.dead:,}",
        "success rate": percent(found.success_rate),
        "first-try rate": percent(found.first_try_rate),
        "made again": f"{found.made_again:,}, delivered {found.again_delivered:,}, dead again {found.again_dead:,}",
        "attempts": f"{found.attempts:,}, {found.retrying:,} of them failed and were to be retried",
        "response time": _three(found.response_time_s),
        "queue wait": _three(found.queue_wait_s),
        "by HTTP status": _counts({str(status or "no answer"): count for status, count in found.by_status.items()}),
        "errors by kind": _counts(found.by_error_kind),
        "skipped": _counts(found.by_skip_kind),
        "by event type": _counts(found.by_event_type),
    }


def _three(values: tuple[float, float, float] | None) -> str:
    if values is None:
        return "-"
    return ", ".join(f"{name} {milliseconds(value)}" for name, value in zip(("p50", "p95", "p99"), values, strict=True))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))) or "-"


def _webhook(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **rates(row), "response_time_s": percentiles(row["response_time_s"])}


def _shown_webhook(row: dict[str, Any]) -> dict[str, Any]:
    shares = rates(row)
    times = percentiles(row["response_time_s"]) or (None, None, None)
    return {
        **row,
        "success": percent(shares["success_rate"]),
        "first_try": percent(shares["first_try_rate"]),
        **{name: milliseconds(value).removesuffix(" ms") for name, value in zip(_COLUMNS[-3:], times, strict=True)},
    }
