"""`hookline log`: every attempt of a store, newest first; `hookline log show`: one delivery with all there is to see."""

from __future__ import annotations

import dataclasses
import re
import time
from datetime import datetime
from typing import Annotated, Any, Final

import orjson
import typer

from hookline.analytics.gateway import open_queries
from hookline.analytics.queries import Audit, LogFilter, Queries, audit, delivery, log_page
from hookline.cli.broker import reached
from hookline.cli.output import AsJson, console, show_fields, show_json, show_table
from hookline.cli.stats import milliseconds
from hookline.cli.webhook_filters import check_webhook
from hookline.kernel.clock import from_us, rfc3339, to_us
from hookline.kernel.config import environment
from hookline.kernel.errors import HooklineError, InputError
from hookline.schemas import catalogue
from hookline.schemas.topics import duration_s

app = typer.Typer(help="Show what was attempted, newest first; `log show DELIVERY` tells all about one delivery.")

# Two lines a row, so that the ids stay whole in a window of 100 columns.
_COLUMNS: Final = ("at, delivery", "event type, webhook", "attempt", "took")
_AGO: Final = re.compile(r"\d+(ms|s|m|h|d)")
_SECOND_US: Final = 1_000_000
_AUDITS: Final = 4
_AUDIT_PAUSE_S: Final = 0.5
Store = Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store.")]


@app.callback(invoke_without_command=True)
def page(  # one parameter per option of the command line
    context: typer.Context,
    store: Store = "demo",
    webhook: Annotated[str, typer.Option("--webhook", help="Only this webhook.")] = "",
    event_type: Annotated[str, typer.Option("--type", help="Only this event type.")] = "",
    trigger: Annotated[str, typer.Option("--trigger", help="Only what was made by an event, resend, replay or test.")] = "",
    status: Annotated[str, typer.Option("--status", help="Only this HTTP status (404), class (5xx), or none: no answer.")] = "",
    outcome: Annotated[str, typer.Option("--outcome", help="delivered, retrying, dead or skipped.")] = "",
    error: Annotated[str, typer.Option("--error", help="Only this kind of error, such as timeout.")] = "",
    event: Annotated[str, typer.Option("--event", help="Only this event.")] = "",
    delivery_id: Annotated[str, typer.Option("--delivery", help="Only this delivery.")] = "",
    since: Annotated[str, typer.Option("--since", help="From this time on: 2h (ago) or 2026-11-23T14:00:00Z.")] = "",
    until: Annotated[str, typer.Option("--until", help="Up to this time: 2h (ago) or 2026-11-23T14:00:00Z.")] = "",
    limit: Annotated[int, typer.Option("--limit", help="Rows of a page, at most 1000.")] = 50,
    cursor: Annotated[str, typer.Option("--cursor", help="The next page, as the page before named it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show one page of the log."""
    if context.invoked_subcommand is not None:
        context.obj = store
        return
    if event_type:
        catalogue.event_type(event_type)  # one that there is not would find nothing, and seem to be quiet
    wanted = LogFilter(
        store_id=store, webhook_id=webhook, event_type=event_type, trigger=trigger, http_status=status, outcome=outcome,
        error_kind=error, event_id=event, delivery_id=delivery_id, since_us=instant_us(since, "since"), until_us=instant_us(until, "until"),
        cursor=cursor, limit=limit,
    )  # fmt: skip
    queries = open_queries(environment())
    try:
        found = log_page(queries, wanted)
        if not found.rows:
            check_webhook(environment(), queries, store, webhook)
    finally:
        queries.close()
    if as_json:
        show_json({"data": found.rows, "next_cursor": found.next_cursor})
        return
    show_table(map(_shown, found.rows), _COLUMNS, as_json=False, empty=f"No attempt of store {store} fits.")
    if found.next_cursor:
        console().print(f"next page: --cursor {found.next_cursor}")


@app.command()
def show(
    context: typer.Context,
    delivery_id: Annotated[str, typer.Argument(help="The delivery, as `hookline log` names it.")],
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show every attempt of a delivery with request and answer, and the event as Kafka still has it; no template is applied."""
    from hookline.analytics.payloads import payload_of  # keep `hookline --help` quick

    environ = environment()
    queries = open_queries(environ)
    try:
        attempts = delivery(queries, store or str(context.obj or "demo"), delivery_id)
    finally:
        queries.close()
    try:
        if attempts[-1]["source_topic"]:  # a test call is made from no event: nothing is to be read
            reached(environ)
        payload, missing = payload_of(environ, attempts[-1]), ""
    except HooklineError as error:
        payload, missing = b"", str(error)
    if as_json:
        body = orjson.Fragment(payload) if payload else None
        show_json({"delivery_id": delivery_id, "attempts": attempts, "payload": body, "payload_missing": missing})
        return
    pretty = orjson.dumps(orjson.loads(payload), option=orjson.OPT_INDENT_2) if payload else missing.encode()
    _show_delivery(attempts, pretty)


@app.command("audit")
def check(
    context: typer.Context,
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store.")] = "",
    days: Annotated[int, typer.Option("--days", help="How many days back; fewer than rows are kept.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Check that every attempt is in the log once and that the sums agree; status 1 if not.

    rows = distinct: no record is there twice. counted = summed = summed whole: the hourly sums, of webhooks
    and of the whole store, are of these rows.
    """
    queries = open_queries(environment())
    try:
        found = _settled_audit(queries, store or str(context.obj or "demo"), days)
    finally:
        queries.close()
    show_fields({**dataclasses.asdict(found), "adds_up": found.adds_up}, as_json=as_json)
    if not found.adds_up:
        raise typer.Exit(1)


def _settled_audit(queries: Queries, store: str, days: int) -> Audit:
    """Return an audit that adds up, or the last of a few: a batch that is being inserted is for a moment in one table only."""
    for _ in range(_AUDITS - 1):
        if (found := audit(queries, store, days=days)).adds_up:
            return found
        time.sleep(_AUDIT_PAUSE_S)
    return audit(queries, store, days=days)


def instant_us(text: str, field: str) -> int:
    """Return microseconds since the epoch of `2h` (ago) or an RFC 3339 time with a zone; 0 for an empty text.

    Raises `InputError` with `field`.
    """
    if not text:
        return 0
    if _AGO.fullmatch(text) and duration_ok(text):
        return time.time_ns() // 1_000 - int(duration_s(text) * _SECOND_US)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text[:64]!r} is no time", field=field, remedy="Give one such as 2h (ago) or 2026-11-23T14:00:00Z.") from error
    if at.tzinfo is None:
        raise InputError(f"{text!r} has no time zone", field=field, remedy="Add Z for UTC, or an offset such as +01:00.")
    return max(1, to_us(at))


def duration_ok(text: str) -> bool:
    """Tell whether a text is a duration that reaches back to no earlier than the epoch."""
    try:
        return duration_s(text) * _SECOND_US < time.time_ns() // 1_000
    except ValueError:
        return False


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    number = f"{row['attempt']} " if row["attempt"] else ""
    took = milliseconds(row["response_time_us"] / _SECOND_US) if row["attempt"] else ""
    return {
        "at, delivery": f"{rfc3339(from_us(row['attempted_at_us']))}\n{row['delivery_id']}",
        "event type, webhook": f"{row['event_type']}\n{row['webhook_id']}",
        "attempt": f"{number}{row['outcome']}\n{row['http_status'] or row['error_kind']}",
        "took": f"{took}\n{'' if row['trigger'] == 'event' else row['trigger']}",
    }


def _show_delivery(attempts: list[dict[str, Any]], payload: bytes) -> None:
    last = attempts[-1]
    common = {name: last[name] for name in ("delivery_id", "store_id", "webhook_id", "event_id", "event_type")}
    source = f"{last['source_topic']}/{last['source_partition']}/{last['source_offset']}"
    show_fields({**common, "attempts": sum(1 for row in attempts if row["attempt"]), "event in Kafka": source}, as_json=False)
    for row in attempts:
        show_fields(_shown_attempt(row), as_json=False, title=f"\nAttempt {row['attempt']}" if row["attempt"] else "\nSkipped")
    show_fields({"payload": payload}, as_json=False, title="\nThe event (a webhook with a template is sent what that makes of it)")


def _shown_attempt(row: dict[str, Any]) -> dict[str, Any]:
    retry_us = row["next_retry_at_us"]
    return {
        "at": rfc3339(from_us(row["attempted_at_us"])),
        "why": row["trigger"],
        "outcome": row["outcome"],
        "HTTP status": row["http_status"] or "no answer",
        "error": " ".join(filter(None, (row["error_kind"], row["error_detail"]))),
        "response time": milliseconds(row["response_time_us"] / _SECOND_US),
        "queue wait": milliseconds(row["queue_wait_us"] / _SECOND_US),
        "next attempt": rfc3339(from_us(retry_us)) if retry_us else "",
        "URL": row["url"],
        "request headers": row["request_headers"].strip(),
        "response headers": row["response_headers"].strip(),
        "response body": row["response_body"],
        "dispatcher": row["dispatcher"],
    }
