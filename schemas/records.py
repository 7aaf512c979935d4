"""The records that Hookline's processes hand to each other: waiting deliveries, dead letters, attempts.

A waiting delivery (retry, replay, dead letter) carries the event's original wire bytes as its value and
everything else in headers, so that any Kafka tool can read why it is there.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Final, Self

from hookline.kernel.errors import WireError
from hookline.kernel.kafka import Headers
from hookline.kernel.values import value

_ID_BYTES: Final = 20
# What there is room for in the record of an attempt.
_INT: Final = 2**31 - 1
_LONG: Final = 2**63 - 1
_DIGITS: Final = len(str(_LONG))
# Base32 (RFC 4648, lower case): bits are spread to five in each byte, half the distance at a time, and looked up all together.
_BASE32: Final = bytes.maketrans(bytes(range(32)), b"abcdefghijklmnopqrstuvwxyz234567")


def _halving(bits: int) -> tuple[int, int]:
    """Return what parts groups of twice as many bits: a mask of the upper halves, and what moving them adds to each of their bits."""
    gap = bits * 3 // 5  # each five bits get a byte
    upper = sum((1 << bits) - 1 << at + bits for at in range(0, _ID_BYTES * 8 * 8 // 5, (bits + gap) * 2))
    return upper, (1 << gap) - 1


_HALVINGS: Final = tuple(map(_halving, (80, 40, 20, 10, 5)))


class Outcome(StrEnum):
    """What became of an attempt."""

    DELIVERED = "delivered"
    RETRYING = "retrying"
    DEAD = "dead"
    SKIPPED = "skipped"


class Trigger(StrEnum):
    """Why a delivery is made."""

    EVENT = "event"
    RESEND = "resend"
    REPLAY = "replay"
    TEST = "test"


class ErrorKind(StrEnum):
    """Why an attempt failed or a delivery was skipped; `NONE` when nothing went wrong."""

    NONE = ""
    HTTP_STATUS = "http_status"
    TIMEOUT = "timeout"
    CONNECT = "connect_error"
    RESET = "connection_reset"
    DNS = "dns_error"
    TLS = "tls_error"
    PROTOCOL = "protocol_error"
    BLOCKED = "blocked_address"
    TEMPLATE = "template_error"
    INTERNAL = "internal_error"
    # skips
    DISABLED = "disabled"
    PAUSED = "paused"
    FILTER = "filter_error"
    CANCELLED = "cancelled"
    GONE = "gone"
    # dead letters without an attempt
    POISON = "poison"
    EXPIRED = "expired"


def delivery_id(store_id: str, event_id: str, webhook_id: str) -> str:
    """Return the id of one event for one webhook (`webhook-id` on the wire): the same for every copy and attempt."""
    digest = hashlib.sha256(f"{store_id}\0{event_id}\0{webhook_id}".encode()).digest()
    number = int.from_bytes(digest[:_ID_BYTES], "big")
    for upper, added in _HALVINGS:
        number += (number & upper) * added
    return "msg_" + number.to_bytes(_ID_BYTES * 8 // 5, "big").translate(_BASE32).decode()


@value()
class Source:
    """Where an event's bytes lie in Kafka; `timestamp_ms` is the broker's."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


@value()
class Waiting:
    """A delivery between two attempts, as the headers of its record.

    `attempt` counts the attempts made so far; `parked` how often it was put aside since the last one;
    `not_before_us` is 0 or the earliest time of the next attempt; `reason` and `detail` tell of the last failure;
    `replays` counts how often an admin or developer had it made again; `first_at_us` is when the event was first taken up.
    """

    delivery_id: str
    webhook_id: str
    store_id: str
    event_id: str
    event_type: str
    source: Source
    attempt: int = 0
    parked: int = 0
    trigger: Trigger = Trigger.EVENT
    first_at_us: int = 0
    not_before_us: int = 0
    reason: str = ""
    detail: str = ""
    last_status: int = 0
    replays: int = 0
    job_id: str = ""
    traceparent: str = ""

    def to_headers(self) -> Headers:
        """Return the headers; empty and zero values are left out."""
        source = self.source
        headers = {name: str(value).encode() for name, value in zip(_NAMES, _values(self), strict=True) if value}
        headers["hookline-attempt"] = b"%d" % self.attempt
        if source.topic:
            headers["hookline-source-topic"] = source.topic.encode()
        headers["hookline-source-partition"] = b"%d" % source.partition
        headers["hookline-source-offset"] = b"%d" % source.offset
        headers["hookline-source-timestamp-ms"] = b"%d" % source.timestamp_ms
        if self.traceparent:
            headers["traceparent"] = self.traceparent.encode()
        return headers

    @classmethod
    def from_headers(cls, headers: Headers) -> Self:
        """Return the delivery; raise `WireError` naming the header that is missing or wrong."""
        reader = _Reader(headers)
        source = Source(
            topic=reader.text("source_topic", required=False),
            partition=reader.number("source_partition", _INT),
            offset=reader.number("source_offset"),
            timestamp_ms=reader.number("source_timestamp_ms"),
        )
        return cls(
            delivery_id=reader.text("delivery_id"),
            webhook_id=reader.text("webhook_id"),
            store_id=reader.text("store_id"),
            event_id=reader.text("event_id"),
            event_type=reader.text("event_type"),
            source=source,
            attempt=reader.number("attempt", _INT - 1),  # the record of the next one has one more
            parked=reader.number("parked", _INT),
            trigger=reader.trigger(),
            first_at_us=reader.number("first_at_us"),
            not_before_us=reader.number("not_before_us"),
            reason=reader.text("reason", required=False),
            detail=reader.text("detail", required=False),
            last_status=reader.number("last_status", _INT),
            replays=reader.number("replays", _INT),
            job_id=reader.text("job_id", required=False),
            traceparent=headers.get("traceparent", b"").decode("ascii", "replace"),
        )


class _Reader:
    """Typed access to headers that may be anything."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def text(self, name: str, *, required: bool = True) -> str:
        value = self._headers.get(_header(name), b"")
        if required and not value:
            raise WireError(f"The record has no header {_header(name)}")
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise WireError(f"The header {_header(name)} is not UTF-8") from error

    def number(self, name: str, most: int = _LONG) -> int:
        digits = self._headers.get(_header(name))
        if not digits:
            return 0
        if not digits.isdigit() or len(digits) > _DIGITS or int(digits) > most:
            raise WireError(f"The header {_header(name)} is not a whole number up to {most}")
        return int(digits)

    def trigger(self) -> Trigger:
        try:
            return Trigger(self.text("trigger"))
        except ValueError as error:
            raise WireError("The header hookline-trigger is not known") from error


@cache
def _header(name: str) -> str:
    return "hookline-" + name.replace("_", "-")


# What of a delivery goes into headers as it is: found once, since `dataclasses.fields` takes longer than all the rest.
_PLAIN: Final = tuple(field.name for field in dataclasses.fields(Waiting) if field.name not in {"source", "attempt", "traceparent"})
_NAMES: Final = tuple(map(_header, _PLAIN))
_values: Final = attrgetter(*_PLAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One HTTP try of a delivery, or a skip that needs explaining (`attempt` 0), as it goes to ClickHouse.

    Times are microseconds since the epoch; `http_status` 0 means no answer; `next_retry_at_us` 0 means none;
    `queue_wait_us` runs from the moment the delivery could be made to the start of the attempt.
    """

    attempt_id: str
    delivery_id: str
    store_id: str
    webhook_id: str
    event_id: str
    event_type: str
    trigger: Trigger
    attempt: int
    attempted_at_us: int
    outcome: Outcome
    http_status: int = 0
    error_kind: ErrorKind = ErrorKind.NONE
    error_detail: str = ""
    response_time_us: int = 0
    queue_wait_us: int = 0
    next_retry_at_us: int = 0
    url: str = ""
    request_headers: str = ""
    response_headers: str = ""
    response_body: bytes = b""
    source_topic: str = ""
    source_partition: int = 0
    source_offset: int = 0
    source_timestamp_ms: int = 0
    dispatcher: str = ""
    job_id: str = ""
