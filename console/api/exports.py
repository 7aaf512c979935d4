"""`/deliveries/export`: a part of the log as a file, streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from hookline.console.api.deliveries_filter import DeliveryFilter, LogQuery, log_query, span_of
from hookline.console.api.deliveries_log import Place, Reading
from hookline.console.api.exports_formats import FORMATS, Writer
from hookline.console.api.webhook_filters import check_filter
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code, Refused
from hookline.console.http.routes import Answer, Call, Route
from hookline.kernel.clock import rfc3339, to_us
from hookline.kernel.errors import LimitExceeded, WarehouseUnavailable

MOST_ROWS: Final = 1_000_000
BATCH: Final = 5_000
_TRIES: Final = 5
_AGAIN_S: Final = 1.0


class ExportQuery(DeliveryFilter):
    """Which attempts, and as what."""

    format: Literal["csv", "ndjson", "parquet"] = Field(description="the kind of file")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What is exported."""

    call: Call
    query: LogQuery
    writer: Writer


async def export(call: Call) -> Answer:
    """Answer the attempts that fit the filters, the newest first."""
    asked = call.asked(ExportQuery)
    now = call.parts.clock.now()
    query = log_query(call.store_id, asked, span_of(asked.since, asked.until, to_us(now)))
    call.parts.exports.check()
    pool, queries = call.parts.pools[Work.QUERIES], call.parts.queries
    count = (await pool.run(lambda: queries.run("deliveries_bounds", query.parameters())))[0]["rows"]
    if not count:
        await pool.run(lambda: check_filter(call, asked.webhook))
    if count > MOST_ROWS:
        message = f"These are {count:,} rows, and a file has at most {MOST_ROWS:,}"
        raise LimitExceeded(message, field="from", remedy="Export one part after the other: narrow `from` and `to`.")
    kind = FORMATS[asked.format]
    name = f"hookline-{call.store_id}-{rfc3339(now)[:19].replace(':', '')}Z.{kind.suffix}"
    return Answer(
        stream=_pieces(_Job(call=call, query=query, writer=kind.writer())),
        content_type=kind.content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _pieces(job: _Job) -> AsyncGenerator[bytes, None]:
    """Yield the file; an error breaks it off, which the missing end of the answer tells."""
    reading = Reading(job.call.parts.queries, job.query, Place(job.query.until_us + 1))
    with job.call.parts.exports.held():
        piece = job.writer.begin()
        while not reading.ended:
            if piece:  # an empty chunk would end the answer
                yield piece
            piece = await _patiently(job, reading)
        yield piece + job.writer.end()


async def _patiently(job: _Job, reading: Reading) -> bytes:
    """Return the next batch; wait where there is no room for a question, or ClickHouse is away for a moment."""
    pool = job.call.parts.pools[Work.QUERIES]
    for tried in range(_TRIES):
        try:
            return await pool.run(lambda: job.writer.rows(reading.batch(BATCH)))
        except (Refused, WarehouseUnavailable):
            if tried == _TRIES - 1:
                raise
            await asyncio.sleep(_AGAIN_S)
    raise Refused(Code.OVERLOADED, "The export could not go on")


ROUTES: Final = (
    Route(
        name="deliveries.export",
        method="GET",
        path="/deliveries/export",
        scope="results:read",
        summary="Read a part of the log as a file: CSV, NDJSON or Parquet",
        description=f"A row for each attempt, the newest first, with the filters of the log; at most {MOST_ROWS:,} rows, more are refused "
        "before the first byte. The file is streamed; where it breaks off the connection is closed without the last chunk, which HTTP "
        "libraries report as an error (curl: 18), and a Parquet file cannot be read. In CSV, texts that a spreadsheet would take for a "
        "formula begin with an apostrophe.",
        handler=export,
        query=ExportQuery,
        content_type="text/csv",
        other_types=("application/x-ndjson", "application/vnd.apache.parquet"),
        codes=(Code.UNKNOWN_EVENT_TYPE, Code.LIMIT_EXCEEDED, Code.WAREHOUSE_UNAVAILABLE, Code.OVERLOADED),
    ),
)
