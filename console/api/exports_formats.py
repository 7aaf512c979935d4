"""The log as CSV, NDJSON and Parquet, written piece by piece: no more than one batch of rows is ever held."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from hookline.analytics.warehouse import Rows
from hookline.console.http.models import time_of

_MICROSECONDS: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        ("at", _MICROSECONDS),
        ("delivery_id", pa.string()),
        ("attempt_id", pa.string()),
        ("webhook_id", pa.string()),
        ("event_id", pa.string()),
        ("event_type", pa.string()),
        ("trigger", pa.string()),
        ("attempt", pa.int32()),
        ("outcome", pa.string()),
        ("http_status", pa.int32()),
        ("error", pa.string()),
        ("detail", pa.string()),
        ("response_time_ms", pa.float64()),
        ("queue_wait_ms", pa.float64()),
        ("next_retry_at", _MICROSECONDS),
        ("url", pa.string()),
        ("job_id", pa.string()),
    ]
)
COLUMNS: Final = tuple(SCHEMA.names)
_TIMES: Final = ("at", "next_retry_at")
# What a spreadsheet takes for the beginning of a formula, in ASCII and in its full-width forms, or skips before one.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}")  # fmt: skip
_WIDE_FORMULA: Final = ("\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")


class Writer(Protocol):
    """Turns rows of the log into pieces of a file; `begin`, `rows` any number of times, `end`."""

    def begin(self) -> bytes:
        """Return what the file begins with."""

    def rows(self, rows: Rows) -> bytes:
        """Return some rows."""

    def end(self) -> bytes:
        """Return what the file ends with."""


class CsvWriter:
    """RFC 4180 in UTF-8: a line of names, CR LF at the ends of lines; no cell is a formula."""

    def begin(self) -> bytes:
        """Return the line of names."""
        return _lines([COLUMNS])

    def rows(self, rows: Rows) -> bytes:
        """Return a line for each row; null is empty."""
        return _lines([[defused(value) for value in _texts(row).values()] for row in rows])

    def end(self) -> bytes:
        """Return nothing: a CSV has no end."""
        return b""


class NdjsonWriter:
    """A JSON object on each line."""

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def rows(self, rows: Rows) -> bytes:
        """Return a line for each row."""
        return b"".join(orjson.dumps(_texts(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)

    def end(self) -> bytes:
        """Return nothing."""
        return b""


class ParquetWriter:
    """One row group for each batch; without the end, which lists them, a file cannot be read."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(self._sink, SCHEMA, compression="zstd")

    def begin(self) -> bytes:
        """Return the magic bytes."""
        return self._sink.taken()

    def rows(self, rows: Rows) -> bytes:
        """Return a row group, nothing for no rows."""
        if rows:
            self._writer.write_table(pa.Table.from_pylist([_values(row) for row in rows], SCHEMA))
        return self._sink.taken()

    def end(self) -> bytes:
        """Return the list of row groups."""
        self._writer.close()
        return self._sink.taken()


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file."""

    content_type: str
    suffix: str
    writer: type[CsvWriter | NdjsonWriter | ParquetWriter]


FORMATS: Final[Mapping[str, Format]] = {
    "csv": Format("text/csv", "csv", CsvWriter),
    "ndjson": Format("application/x-ndjson", "ndjson", NdjsonWriter),
    "parquet": Format("application/vnd.apache.parquet", "parquet", ParquetWriter),
}


def defused(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: a text that looks like one gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA + _WIDE_FORMULA) else value


class _Sink(io.RawIOBase):
    """Where Parquet is written: it counts all bytes, and holds those that nobody took yet."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:  # noqa: ANN401  # whatever pyarrow's buffers are to Python
        piece = bytes(data)
        self._held.append(piece)
        self._at += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        found = b"".join(self._held)
        self._held.clear()
        return found


def _lines(lines: list[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def _texts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its times as text."""
    found = _values(row)
    return found | {name: time_of(found[name] or 0) for name in _TIMES}


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in the order of the columns; times are microseconds, what is not there is None."""
    return {
        "at": row["attempted_at_us"],
        **{name: row[name] for name in ("delivery_id", "attempt_id", "webhook_id", "event_id", "event_type", "trigger")},
        "attempt": row["attempt"],
        "outcome": row["outcome"],
        "http_status": row["http_status"] or None,
        "error": row["error_kind"] or None,
        "detail": row["error_detail"],
        "response_time_ms": row["response_time_us"] / 1_000,
        "queue_wait_ms": row["queue_wait_us"] / 1_000,
        "next_retry_at": row["next_retry_at_us"] or None,
        "url": row["url"],
        "job_id": row["job_id"] or None,
    }
