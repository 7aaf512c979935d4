"""Attempt records to the columns of table `attempts`: decoded a batch at a time, checked, and bad ones told apart."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import pyarrow as pa
from confluent_kafka import Message

from hookline.analytics import columnar
from hookline.kernel.errors import WireError

SUBJECT: Final = "hookline.Attempt"
Row: TypeAlias = Mapping[str, Any]

_FRAME_BYTES: Final = 5  # of the wire format: magic byte and schema id
_TEXT: Final = pa.large_string()
_MICROSECONDS: Final = pa.timestamp("us", tz="UTC")
# Column, type, field of the record. Unsigned types refuse negative numbers here; ClickHouse would wrap them around.
_COLUMNS: Final = (
    ("store_id", _TEXT, "store_id"),
    ("webhook_id", _TEXT, "webhook_id"),
    ("attempted_at", _MICROSECONDS, "attempted_at_us"),
    ("attempt_id", _TEXT, "attempt_id"),
    ("delivery_id", _TEXT, "delivery_id"),
    ("event_id", _TEXT, "event_id"),
    ("event_type", _TEXT, "event_type"),
    ("trigger", _TEXT, "trigger"),
    ("attempt", pa.uint16(), "attempt"),
    ("outcome", _TEXT, "outcome"),
    ("http_status", pa.uint16(), "http_status"),
    ("error_kind", _TEXT, "error_kind"),
    ("error_detail", _TEXT, "error_detail"),
    ("response_time_us", pa.int64(), "response_time_us"),
    ("queue_wait_us", pa.int64(), "queue_wait_us"),
    ("next_retry_at", _MICROSECONDS, "next_retry_at_us"),
    ("url", _TEXT, "url"),
    ("request_headers", _TEXT, "request_headers"),
    ("response_headers", _TEXT, "response_headers"),
    ("response_body", pa.large_binary(), "response_body"),
    ("source_topic", _TEXT, "source_topic"),
    ("source_partition", pa.uint32(), "source_partition"),
    ("source_offset", pa.uint64(), "source_offset"),
    ("source_timestamp", pa.timestamp("ms", tz="UTC"), "source_timestamp_ms"),
    ("dispatcher", _TEXT, "dispatcher"),
    ("job_id", _TEXT, "job_id"),
)
_RECORD: Final = pa.struct([(source, kind) for _, kind, source in _COLUMNS])
_NAMES: Final = tuple(name for name, _, _ in _COLUMNS)


class Decoder(Protocol):
    """Reads a record of an internal subject."""

    def decode_record(self, value: bytes) -> tuple[str, dict[str, Any]]:
        """Return (subject, record); raise `WireError` for bad bytes, `RegistryUnavailable` when it cannot tell."""

    def layout(self, value: bytes) -> tuple[str, Any] | None:
        """Return (subject, schema) of a record written with this build's schema, else None; raise as `decode_record` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that is no row, and why."""

    message: Message
    reason: str


@dataclass(slots=True)
class Decoded:
    """The rows of a batch as columns, the record each came from, and the records that are none."""

    messages: list[Message]
    table: pa.Table
    rejected: list[Rejected] = field(default_factory=list)


def token_of(topic: str, partition: int, messages: Sequence[Message]) -> str:
    """Return the deduplication token of a batch: equal exactly when the same bytes lay at the same offsets.

    ClickHouse drops an insert whose token it has seen, whatever its rows; count and checksum turn "same offsets, other
    records" (a topic made anew) from a silent loss into rows.
    """
    checksum = 0
    for message in messages:
        checksum = zlib.crc32(message.value() or b"", checksum)
    return f"attempts:{topic}:{partition}:{messages[0].offset()}-{messages[-1].offset()}:{len(messages)}:{checksum:08x}"


def decode(messages: Sequence[Message], decoder: Decoder) -> Decoded:
    """Return the batch as columns; raise `RegistryUnavailable` when a schema cannot be looked up now."""
    table = _at_once(messages, decoder)
    return _one_by_one(messages, decoder) if table is None else Decoded(list(messages), table)


def _at_once(messages: Sequence[Message], decoder: Decoder) -> pa.Table | None:
    """Return the batch as columns when all its records are good and of one flat schema, else None."""
    values = [message.value() or b"" for message in messages]
    try:
        subject, schema = decoder.layout(values[0]) or ("", {})
        if subject != SUBJECT or not columnar.is_flat(schema):
            return None
        fields = columnar.read(values, _FRAME_BYTES, schema)
        return _with_places(messages, [_typed(fields[source], kind) for _, kind, source in _COLUMNS])
    except (WireError, ValueError, KeyError):
        return None


def _typed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a column as another type; raise `pa.ArrowInvalid` where a value does not fit."""
    return column.view(kind) if pa.types.is_timestamp(kind) else column.cast(kind)


def _one_by_one(messages: Sequence[Message], decoder: Decoder) -> Decoded:
    good: list[Message] = []
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for message in messages:
        try:
            subject, row = decoder.decode_record(message.value() or b"")
        except WireError as error:
            rejected.append(Rejected(message=message, reason=error.message))
            continue
        if subject == SUBJECT:
            good.append(message)
            rows.append(row)
        else:
            rejected.append(Rejected(message=message, reason=f"a record of {subject}, not of {SUBJECT}"))
    return _tabulate(good, rows, rejected)


def _tabulate(messages: list[Message], rows: list[Row], rejected: list[Rejected]) -> Decoded:
    try:
        return Decoded(messages, columns(messages, rows), rejected)
    except (pa.ArrowException, OverflowError, TypeError, ValueError, KeyError):
        fit = [_misfit(message, row) for message, row in zip(messages, rows, strict=True)]
    rejected.extend(Rejected(message=message, reason=reason) for message, reason in zip(messages, fit, strict=True) if reason)
    kept = [(message, row) for message, row, reason in zip(messages, rows, fit, strict=True) if not reason]
    messages = [message for message, _ in kept]
    return Decoded(messages, columns(messages, [row for _, row in kept]), rejected)


def _misfit(message: Message, row: Row) -> str:
    """Return why a row does not fit the table's types, or an empty text."""
    for name, kind, source in _COLUMNS:
        try:
            pa.array([row[source]], kind)
        except (pa.ArrowException, OverflowError, TypeError, ValueError, KeyError) as error:
            return f"{source} at offset {message.offset()} is no {name} ({kind}): {type(error).__name__}"
    return ""


def columns(messages: Sequence[Message], rows: Sequence[Row]) -> pa.Table:
    """Return the rows as one Arrow table with their places in the attempts topic; raise what pyarrow raises on a misfit."""
    # One conversion of whole rows is faster than one per column.
    return _with_places(messages, pa.array(rows, _RECORD).flatten())


def _with_places(messages: Sequence[Message], fields: Sequence[pa.Array]) -> pa.Table:
    places = [pa.array([m.partition() for m in messages], pa.uint32()), pa.array([m.offset() for m in messages], pa.uint64())]
    return pa.Table.from_arrays([*fields, *places], names=[*_NAMES, "log_partition", "log_offset"])
