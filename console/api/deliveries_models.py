"""Deliveries and their attempts as callers see them."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field

from hookline.analytics.warehouse import Rows
from hookline.console.api.deliveries_filter import DeliveryFilter, ErrorName, OutcomeName, TriggerName
from hookline.console.api.sent_bodies import SentBody, SourceName
from hookline.console.http.models import Model, PageQuery, Time, time_of

MOST_ATTEMPTS: Final = 200
MAX_BODY: Final = 16 * 1024
"""So much of an answer is kept."""


class DeliveryQuery(DeliveryFilter, PageQuery):
    """Which lines of the log."""

    each: Literal["delivery", "attempt"] = Field(
        "delivery", description="a line for each delivery, by its newest attempt, or for each attempt; filters are about that attempt"
    )


class DeliveryLine(Model):
    """A line of the log: an attempt of a delivery, or why none was made."""

    id: str = Field(description="the delivery's id, which receivers get as `webhook-id`")
    attempt_id: str
    webhook_id: str
    event_id: str
    event_type: str
    trigger: TriggerName
    at: Time | None
    attempt: int = Field(description="its number from 1; 0: no call was made, and `error` says why")
    outcome: OutcomeName
    http_status: int | None = Field(description="null when no answer came")
    error: ErrorName | None = Field(description="the kind of failure; null when nothing went wrong")
    detail: str
    response_time_ms: float
    queue_wait_ms: float = Field(description="from when the call could be made until it was")
    next_retry_at: Time | None
    job_id: str | None = Field(description="the replay job that had it made")


class AttemptDetail(Model):
    """One attempt, or the record that says why none was made."""

    id: str
    trigger: TriggerName
    at: Time | None
    attempt: int = Field(description="its number from 1; 0: no call was made, and `error` says why")
    outcome: OutcomeName
    http_status: int | None
    error: ErrorName | None
    detail: str
    response_time_ms: float
    queue_wait_ms: float
    next_retry_at: Time | None
    url: str
    request_headers: str = Field(description="as sent, one a line, without the signature and without the values that the store chose")
    response_headers: str = Field(description="the head of the answer, at most 8 KiB")
    response_body: str = Field(description="the first 16 KiB of the answer")
    response_body_encoding: Literal["utf-8", "base64"] = Field(description="base64 when the answer is no text")
    response_body_cut: bool = Field(description="true when 16 KiB are kept, and the answer may have had more")
    job_id: str | None
    dispatcher: str


class DeliveryDetail(Model):
    """One delivery: an event for a webhook, with every attempt."""

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    outcome: OutcomeName = Field(description="of the newest attempt: where the delivery stands")
    next_retry_at: Time | None
    attempts: list[AttemptDetail] = Field(description=f"the oldest first; of more than {MOST_ATTEMPTS} the newest")
    request_body: str | None = Field(description="the body, made again of the event on Kafka; null when that is gone")
    request_body_source: SourceName | None = Field(
        description="as_sent: the signed body of every call. as_now: what would be sent now; the webhook was changed since the first call, "
        "which may have sent another, or no call was made. event: the event with no template, since the webhook was deleted or its "
        "template fails on it; another body may have been sent. null: there is none"
    )
    request_body_missing: str = Field(description="why `request_body` is null; empty otherwise")


class DeliveryResent(Model):
    """The delivery will be made again, with its full retry schedule, to the current URL with the current secret."""

    id: str = Field(description="the delivery's id, the same as before")
    webhook_id: str
    event_id: str


def line(row: Mapping[str, Any]) -> DeliveryLine:
    """Return a row of the log."""
    return DeliveryLine.model_validate({"id": row["delivery_id"], **_names(row), **_common(row)})


def detail(rows: Rows, sent: SentBody) -> DeliveryDetail:
    """Return a delivery from its rows, the oldest first."""
    last = rows[-1]
    found = {
        "id": last["delivery_id"],
        **{name: last[name] for name in ("webhook_id", "event_id", "event_type", "outcome")},
        "next_retry_at": time_of(last["next_retry_at_us"]),
        "attempts": [attempt_fields(row) for row in rows[-MOST_ATTEMPTS:]],
        "request_body": sent.body.decode() if sent.body is not None else None,
        "request_body_source": sent.source,
        "request_body_missing": sent.missing,
    }
    return DeliveryDetail.model_validate(found)


def attempt_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an `AttemptDetail` from a row of the log, or from an `Attempt` as a dict."""
    text, encoding = readable(row["response_body"])
    plain = ("url", "request_headers", "response_headers", "dispatcher")
    return {
        "id": row["attempt_id"],
        **_common(row),
        **{name: row[name] for name in plain},
        "response_body": text,
        "response_body_encoding": encoding,
        "response_body_cut": len(row["response_body"]) >= MAX_BODY,
    }


def _names(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("attempt_id", "webhook_id", "event_id", "event_type")}


def _common(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "trigger": row["trigger"],
        "at": time_of(row["attempted_at_us"]),
        "attempt": row["attempt"],
        "outcome": row["outcome"],
        "http_status": row["http_status"] or None,
        "error": row["error_kind"] or None,
        "detail": row["error_detail"],
        "response_time_ms": milliseconds(row["response_time_us"]),
        "queue_wait_ms": milliseconds(row["queue_wait_us"]),
        "next_retry_at": time_of(row["next_retry_at_us"]),
        "job_id": row["job_id"] or None,
    }


def milliseconds(us: int) -> float:
    """Return microseconds as milliseconds."""
    return us / 1_000


def readable(raw: bytes) -> tuple[str, str]:
    """Return bytes as text, and how they are encoded: as they are when they are UTF-8, perhaps cut at the end, else in base64."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(raw, final=len(raw) < MAX_BODY), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode(), "base64"
