"""What a part of the log is chosen by: times, ids, statuses, words; shared by the log, its export and replays from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Final, Literal, Protocol

from pydantic import AfterValidator, Field, WithJsonSchema

from hookline.console.http.models import ID_PATTERN, STATUS_PATTERN, EventTypeName, Query
from hookline.kernel.clock import to_us
from hookline.kernel.errors import InputError

MOST_DAYS: Final = 31
DAY_US: Final = 86_400_000_000
_SPAN_US: Final = MOST_DAYS * DAY_US
_ALL_STATUSES: Final = (0, 65_535)
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)
_YEARS: Final = (1970, 2100)


def _instant(text: str) -> str:
    """Return a time as it is; raise `ValueError` unless it is RFC 3339 with an offset, of the years 1970 to 2100."""
    if not _RFC3339.match(text):
        raise ValueError("must be a time such as 2026-11-23T14:02:00Z; in a URL write + as %2B")
    try:
        year = datetime.fromisoformat(_six_digits(text)).year
    except ValueError as error:
        raise ValueError("there is no such time") from error
    if not _YEARS[0] < year < _YEARS[1]:
        raise ValueError(f"must lie between the years {_YEARS[0]} and {_YEARS[1]}")
    return text


def _six_digits(text: str) -> str:
    """Return a time with no more digits of a second than Python reads."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text.upper())


Instant = Annotated[
    str,
    Field(max_length=40),
    AfterValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T14:02:00Z"]}),
]
"""A time in requests, with its offset."""
Id = Annotated[str, Field(pattern=ID_PATTERN)]
HttpStatus = Annotated[
    str,
    Field(pattern=STATUS_PATTERN, description="a status such as 404, a class such as 5xx, or none for no answer"),
]
OutcomeName = Literal["delivered", "retrying", "dead", "skipped"]
TriggerName = Literal["event", "resend", "replay", "test"]
ErrorName = Literal[
    "http_status", "timeout", "connect_error", "connection_reset", "dns_error", "tls_error", "protocol_error", "blocked_address",
    "template_error", "internal_error", "disabled", "paused", "filter_error", "cancelled", "gone", "poison", "expired",
]  # fmt: skip


class DeliveryFilter(Query):
    """Which part of the log; all that are given narrow it together."""

    webhook: Id | None = Field(None, description="only deliveries to this webhook")
    event_type: EventTypeName | None = None
    event: Id | None = Field(None, description="only deliveries of the event with this id")
    status: HttpStatus | None = None
    outcome: OutcomeName | None = None
    error: ErrorName | None = Field(None, description="the kind of failure")
    trigger: TriggerName | None = Field(None, description="what had the call made: an event, a resend, a replay job or a test")
    job: Id | None = Field(None, description="only what this replay job had made again")
    since: Instant | None = Field(None, alias="from", description="the earliest time; left out, 31 days before `to`")
    until: Instant | None = Field(None, alias="to", description="the latest time; left out, now; at most 31 days after `from`")


class Words(Protocol):
    """The filters, wherever they were written."""

    webhook: str | None
    event_type: str | None
    event: str | None
    status: str | None
    outcome: OutcomeName | None
    error: ErrorName | None
    trigger: TriggerName | None
    job: str | None
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """The same as the named queries take it; empty texts mean any, times are microseconds, both ends included."""

    store_id: str
    since_us: int
    until_us: int
    webhook_id: str = ""
    event_type: str = ""
    event_id: str = ""
    delivery_id: str = ""
    trigger: str = ""
    outcome: str = ""
    error_kind: str = ""
    job_id: str = ""
    status_low: int = _ALL_STATUSES[0]
    status_high: int = _ALL_STATUSES[1]

    def parameters(self) -> dict[str, str | int]:
        """Return the parameters that all queries of the log share."""
        return {name: getattr(self, name) for name in self.__slots__}

    def between(self, since_us: int, until_us: int) -> LogQuery:
        """Return the same filters over another span."""
        return replace(self, since_us=since_us, until_us=until_us)


def us_of(text: str) -> int:
    """Return the microseconds since the epoch of an `Instant`."""
    return to_us(datetime.fromisoformat(_six_digits(text)))


def span_of(since: str | None, until: str | None, now_us: int) -> tuple[int, int]:
    """Return the span in microseconds; raise `InputError` when it ends before it begins, or is longer than 31 days."""
    until_us = us_of(until) if until else now_us
    since_us = us_of(since) if since else until_us - _SPAN_US
    if since_us > until_us:
        raise InputError("The time range ends before it begins", field="from")
    if until_us - since_us > _SPAN_US:
        raise InputError(f"The time range is longer than {MOST_DAYS} days", field="from", remedy="Ask for one part after the other.")
    return since_us, until_us


def log_query(store_id: str, words: Words, span_us: tuple[int, int]) -> LogQuery:
    """Return the query of some filters."""
    low, high = _statuses(words.status)
    return LogQuery(
        store_id=store_id,
        since_us=span_us[0],
        until_us=span_us[1],
        webhook_id=words.webhook or "",
        event_type=words.event_type or "",
        event_id=words.event or "",
        trigger=words.trigger or "",
        outcome=words.outcome or "",
        error_kind=words.error or "",
        job_id=words.job or "",
        status_low=low,
        status_high=high,
    )


def _statuses(text: str | None) -> tuple[int, int]:
    """Return the lowest and the highest status that a text of `HttpStatus` stands for."""
    if text is None:
        return _ALL_STATUSES
    if text == "none":
        return 0, 0
    if text.endswith("xx"):
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    return int(text), int(text)
