"""`hookline export`: a store's log as a file for analysts; Parquet, CSV or NDJSON, as large as it is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hookline.analytics.gateway import open_queries
from hookline.analytics.queries import LogFilter, Queries, log_page, statuses
from hookline.cli.log import instant_us
from hookline.cli.output import AsJson, say, show_json
from hookline.cli.webhook_filters import check_webhook
from hookline.console.api.deliveries_filter import LogQuery
from hookline.console.api.deliveries_log import Place, Reading
from hookline.console.api.exports_formats import FORMATS, Writer
from hookline.kernel.config import environment
from hookline.kernel.errors import InputError, LocalError

_BATCH: Final = 5_000
_SHOWN: Final = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def command(  # one parameter per option of the command line
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to: a name that ends in .parquet, .csv or .ndjson.")],
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store.")] = "demo",
    webhook: Annotated[str, typer.Option("--webhook", help="Only this webhook.")] = "",
    event_type: Annotated[str, typer.Option("--type", help="Only this event type.")] = "",
    trigger: Annotated[str, typer.Option("--trigger", help="Only what was made by an event, resend, replay or test.")] = "",
    status: Annotated[str, typer.Option("--status", help="Only this HTTP status (404), class (5xx), or none: no answer.")] = "",
    outcome: Annotated[str, typer.Option("--outcome", help="delivered, retrying, dead or skipped.")] = "",
    error: Annotated[str, typer.Option("--error", help="Only this kind of error, such as timeout.")] = "",
    event: Annotated[str, typer.Option("--event", help="Only this event.")] = "",
    since: Annotated[str, typer.Option("--since", help="From this time on: 2h (ago) or 2026-11-23T14:00:00Z.")] = "",
    until: Annotated[str, typer.Option("--until", help="Up to this time: 2h (ago) or 2026-11-23T14:00:00Z.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write attempts into a file, newest first, a row each: Parquet, CSV or NDJSON, by the name's end.

    What arrives while it runs is left out. The file is there once it is whole, and not before.
    """
    writer = _writer(file, force=force)
    span = instant_us(since, "since"), instant_us(until, "until") or time.time_ns() // 1_000
    wanted = LogFilter(
        store_id=store, webhook_id=webhook, event_type=event_type, trigger=trigger, http_status=status, outcome=outcome,
        error_kind=error, event_id=event, since_us=span[0], until_us=span[1], limit=1,
    )  # fmt: skip
    queries = open_queries(environment())
    try:
        if not log_page(queries, wanted).rows:  # it also says what is wrong with the filters
            check_webhook(environment(), queries, store, webhook)
        rows = _written(file, writer, queries, _query(wanted))
    finally:
        queries.close()
    found = {"file": str(file), "rows": rows, "bytes": file.stat().st_size}
    if as_json:
        show_json(found)
    else:
        say(f"{rows:,} rows, {found['bytes']:,} bytes: {file}")


def _writer(file: Path, *, force: bool) -> Writer:
    """Return the writer of a file's kind; raise `InputError` for another kind, or a file that is there."""
    kind = FORMATS.get(file.suffix.removeprefix("."))
    if kind is None:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise InputError(f"{file.name[:64]!r} tells no format", field="FILE", remedy=f"Give a name that ends in one of {known}.")
    if file.exists() and not force:
        raise InputError(f"{file} is there already", field="FILE", remedy="Give another name, or --force to write over it.")
    return kind.writer()


def _query(wanted: LogFilter) -> LogQuery:
    """Return the same filters as the queries of exports take them."""
    low, high = statuses(wanted.http_status)
    return LogQuery(
        store_id=wanted.store_id, since_us=wanted.since_us, until_us=wanted.until_us, webhook_id=wanted.webhook_id,
        event_type=wanted.event_type, event_id=wanted.event_id, trigger=wanted.trigger, outcome=wanted.outcome,
        error_kind=wanted.error_kind, status_low=low, status_high=high,
    )  # fmt: skip


def _written(file: Path, writer: Writer, queries: Queries, query: LogQuery) -> int:
    """Write the file beside its place, move it there when it is whole, and return how many rows it has."""
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as out:
            rows = _copied(out, writer, queries, query)
        part.replace(file)
    except OSError as error:
        raise LocalError(
            f"{file} cannot be written: {error.strerror or error}", remedy="Give a place with room that may be written."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return rows


def _copied(out: BinaryIO, writer: Writer, queries: Queries, query: LogQuery) -> int:
    reading = Reading(queries, query, Place(query.until_us + 1))
    total = queries.run("deliveries_bounds", query.parameters())[0]["rows"]
    rows = 0
    out.write(writer.begin())
    with Progress(*_SHOWN, console=Console(emoji=False, stderr=True, highlight=False)) as progress:
        task = progress.add_task("rows", total=total)
        while not reading.ended:
            batch = reading.batch(_BATCH)
            out.write(writer.rows(batch))
            rows += len(batch)
            progress.update(task, completed=rows)
    out.write(writer.end())
    return rows
