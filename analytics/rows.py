"""Attempt records to the columns of table `attempts`: decoded in bulk, checked, and bad ones told apart."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import pyarrow as pa
from confluent_kafka import Message

from hookline.kernel.errors import WireError

SUBJECT: Final = "hookline.Attempt"
Row: TypeAlias = Mapping[str, Any]

_MICROSECONDS: Final = pa.timestamp("us", tz="UTC")
# Column, type, field of the record. Unsigned types refuse negative numbers here; ClickHouse would wrap them around.
_COLUMNS: Final = (
    ("store_id", pa.string(), "store_id"),
    ("webhook_id", pa.string(), "webhook_id"),
    ("attempted_at", _MICROSECONDS, "attempted_at_us"),
    ("attempt_id", pa.string(), "attempt_id"),
    ("delivery_id", pa.string(), "delivery_id"),
    ("event_id", pa.string(), "event_id"),
    ("event_type", pa.string(), "event_type"),
    ("trigger", pa.string(), "trigger"),
    ("attempt", pa.uint16(), "attempt"),
    ("outcome", pa.string(), "outcome"),
    ("http_status", pa.uint16(), "http_status"),
    ("error_kind", pa.string(), "error_kind"),
    ("error_detail", pa.string(), "error_detail"),
    ("response_time_us", pa.int64(), "response_time_us"),
    ("queue_wait_us", pa.int64(), "queue_wait_us"),
    ("next_retry_at", _MICROSECONDS, "next_retry_at_us"),
    ("url", pa.string(), "url"),
    ("request_headers", pa.string(), "request_headers"),
    ("response_headers", pa.string(), "response_headers"),
    ("response_body", pa.binary(), "response_body"),
    ("source_topic", pa.string(), "source_topic"),
    ("source_partition", pa.uint32(), "source_partition"),
    ("source_offset", pa.uint64(), "source_offset"),
    ("source_timestamp", pa.timestamp("ms", tz="UTC"), "source_timestamp_ms"),
    ("dispatcher", pa.string(), "dispatcher"),
    ("job_id", pa.string(), "job_id"),
)
_RECORD: Final = pa.struct([(source, kind) for _, kind, source in _COLUMNS])
_NAMES: Final = tuple(name for name, _, _ in _COLUMNS)


class Decoder(Protocol):
    """Reads a record of an internal subject."""

    def decode_record(self, value: bytes) -> tuple[str, dict[str, Any]]:
        """Return (subject, record); raise `WireError` for bad bytes, `RegistryUnavailable` when it cannot tell."""


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
    places = [pa.array([m.partition() for m in messages], pa.uint32()), pa.array([m.offset() for m in messages], pa.uint64())]
    # One conversion of whole rows is faster than one per column.
    return pa.Table.from_arrays([*pa.array(rows, _RECORD).flatten(), *places], names=[*_NAMES, "log_partition", "log_offset"])
