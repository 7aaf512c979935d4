"""`/dead-letters`: what could not be delivered: browse, count, look at one."""

from __future__ import annotations

import base64
from collections import Counter
from itertools import islice
from operator import attrgetter
from typing import Any, Final, Literal

from pydantic import Field

from hookline.console.api.deliveries_filter import Id, Instant, us_of
from hookline.console.api.webhook_filters import check_filter
from hookline.console.http.models import EventTypeName, Model, Page, PageQuery, Query, Time, time_of
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import ALL_STORES, Answer, Call, Route, StoreUse
from hookline.console.letters import letter_of, place_in
from hookline.console.letters_shelf import Letter, LetterQuery
from hookline.console.places import PATIENCE_S
from hookline.dispatcher.letters import Reason
from hookline.kernel.errors import InputError, NotFound, WireError
from hookline.schemas import payload

MOST_RAW: Final = 65_536
MOST_WEBHOOKS: Final = 100
_EVER_US: Final = 2**62
Category = Literal["orders", "products", "checkout", "customers"]
ReasonName = Literal["exhausted", "gone", "disabled", "expired", "poison"]


class LetterFilter(Query):
    """Which letters; all that are given narrow them together."""

    webhook: Id | None = Field(None, description="only letters for this webhook")
    category: Category | None = None
    reason: ReasonName | None = Field(None, description="why it was given up")
    event_type: EventTypeName | None = None
    event: Id | None = Field(None, description="only letters of the event with this id")
    replayed: Literal["true", "false"] | None = Field(None, description="only those that were replayed, or that were not")
    since: Instant | None = Field(None, alias="from", description="the earliest time")
    until: Instant | None = Field(None, alias="to", description="the latest time")


class LetterPageQuery(LetterFilter, PageQuery):
    """Which letters, page by page."""


class DeadLetterView(Model):
    """A delivery that was given up, or a record that could not be read (poison: what a delivery has is null then)."""

    id: str = Field(description="its place on Kafka: topic:partition:offset")
    at: Time | None = Field(description="when it was given up")
    category: Category
    reason: ReasonName
    error: str = Field(description="the last failure in words")
    store_id: str | None
    webhook_id: str | None
    event_id: str | None
    event_type: str | None
    delivery_id: str | None
    attempts: int
    last_status: int | None = Field(description="the last HTTP status; null when no answer came")
    original: str = Field(description="where the event lies on Kafka: topic:partition:offset")
    replayed_at: Time | None = Field(description="when it was last replayed, or its delivery sent again; null: never")
    replay_id: str | None = Field(description="the job that replayed it last")


class DeadLetterDetail(DeadLetterView):
    """A letter with its bytes."""

    body: str | None = Field(description="the event as webhooks without a template are sent it; null when the bytes cannot be read")
    body_missing: str = Field(description="why `body` is null; empty otherwise")
    raw_base64: str = Field(description="the record's bytes, at most 64 KiB of them; empty for an erased event")


class DeadLetterCount(Model):
    """How many letters there are, by what."""

    total: int
    waiting: int = Field(description="of these, those that were never replayed")
    by_category: dict[str, int]
    by_reason: dict[str, int]
    by_event_type: dict[str, int]
    by_webhook: dict[str, int] = Field(description=f"the {MOST_WEBHOOKS} webhooks with most letters")
    oldest_at: Time | None
    newest_at: Time | None
    complete_since: Time | None = Field(description="null: all are counted; else older ones than this lie on Kafka and are not")


def list_letters(call: Call) -> Answer:
    """Answer a page of letters, the newest first."""
    asked, after = call.asked(LetterPageQuery), call.position()
    before = (after[0], after[1], after[2], after[3]) if after else None
    letters = list(islice(call.parts.letters.shelf.find(letter_query(call.store_id, asked), before), asked.limit + 1))
    if not letters and after is None:
        check_filter(call, asked.webhook)
    page = letters[: asked.limit]
    cursor = call.cursor(page[-1].position) if len(letters) > asked.limit else None
    return Answer(value=Page[DeadLetterView](data=[DeadLetterView(**shown(call, letter)) for letter in page], next_cursor=cursor))


def count_letters(call: Call) -> Answer:
    """Answer how many letters there are."""
    shelf, asked = call.parts.letters.shelf, call.asked(LetterFilter)
    letters = list(shelf.find(letter_query(call.store_id, asked)))
    if not letters:
        check_filter(call, asked.webhook)
    value = DeadLetterCount(
        total=len(letters),
        waiting=len(letters) - shelf.count_replayed(letters),
        by_category={topic.rpartition(".")[2]: count for topic, count in _counted(letters, "place.topic").items()},
        by_reason=_counted(letters, "reason"),
        by_event_type=_counted(letters, "event_type"),
        by_webhook=_counted(letters, "webhook_id", MOST_WEBHOOKS),
        oldest_at=time_of(letters[-1].at_us) if letters else None,
        newest_at=time_of(letters[0].at_us) if letters else None,
        complete_since=time_of(shelf.complete_since_us),
    )
    return Answer(value=value)


def get_letter(call: Call) -> Answer:
    """Answer one letter with its bytes, read from where it lies."""
    place = place_in(call.id)
    message = call.parts.places.read(place, PATIENCE_S) if place and call.parts.letters.may_lie_at(place) else None
    letter = letter_of(message) if message is not None else None
    if message is None or letter is None or call.store_id not in {ALL_STORES, letter.store_id}:
        raise NotFound("There is no such dead letter in this store", field="id")
    value = message.value()
    return Answer(value=DeadLetterDetail(**shown(call, letter), **_payload(call, value if isinstance(value, bytes) else b"")))


def letter_query(store_id: str, words: LetterFilter) -> LetterQuery:
    """Return the query of some filters; raise `InputError` when the time ends before it begins."""
    since_us = us_of(words.since) if words.since else 0
    until_us = us_of(words.until) if words.until else _EVER_US
    if since_us > until_us:
        raise InputError("The time range ends before it begins", field="from")
    return LetterQuery(
        store_id=store_id,
        webhook_id=words.webhook or "",
        category=words.category or "",
        reason=words.reason or "",
        event_type=words.event_type or "",
        event_id=words.event or "",
        since_us=since_us,
        until_us=until_us,
        replayed=words.replayed == "true" if words.replayed else None,
    )


def shown(call: Call, letter: Letter) -> dict[str, Any]:
    """Return what a letter shows."""
    replayed = call.parts.letters.shelf.replayed(letter.place)
    ids = {name: getattr(letter, name) or None for name in ("store_id", "webhook_id", "event_id", "event_type", "delivery_id")}
    return {
        "id": str(letter.place),
        "at": time_of(letter.at_us),
        "category": letter.category,
        "reason": str(letter.reason),
        "error": letter.error,
        **ids,
        "attempts": letter.attempts,
        "last_status": letter.last_status or None,
        "original": str(letter.original),
        "replayed_at": time_of(replayed.at_us) if replayed else None,
        "replay_id": (replayed.job_id or None) if replayed else None,
    }


def _counted(letters: list[Letter], name: str, most: int | None = None) -> dict[str, int]:
    """Return how many letters there are by a field, those without it left out, the most frequent first."""
    found = Counter(map(attrgetter(name), letters)).most_common(most)
    return {str(value): count for value, count in found if value}


def _payload(call: Call, raw: bytes) -> dict[str, Any]:
    """Return the members that show a letter's bytes; those of an erased event are not shown in any form."""
    text = base64.b64encode(raw[:MOST_RAW]).decode()
    try:
        return {"body": payload.body(call.parts.places.shown(raw)).decode(), "body_missing": "", "raw_base64": text}
    except WireError as error:
        return {"body": None, "body_missing": error.message, "raw_base64": text}
    except NotFound as error:
        return {"body": None, "body_missing": error.message, "raw_base64": ""}


_CODES: Final = (Code.UNKNOWN_EVENT_TYPE, Code.OVERLOADED)
_REASONS: Final = (
    f"Reasons: `{Reason.EXHAUSTED}`, every attempt failed; `{Reason.GONE}`, the receiver answered 410; `{Reason.DISABLED}`, the "
    f"webhook was disabled while the delivery was under way; `{Reason.EXPIRED}`, it was held, or its receiver failed, for too long; "
    f"`{Reason.POISON}`, the record cannot be read and never was a delivery, which only the operator sees."
)

ROUTES: Final = (
    Route(
        name="dead-letters.list",
        method="GET",
        path="/dead-letters",
        scope="results:read",
        store=StoreUse.ONE_OR_ALL,
        summary="List the dead letters of the store, the newest first",
        description=_REASONS,
        handler=list_letters,
        work=Work.QUERIES,
        query=LetterPageQuery,
        answer=Page[DeadLetterView],
        codes=(Code.CURSOR_INVALID, *_CODES),
    ),
    Route(
        name="dead-letters.count",
        method="GET",
        path="/dead-letters/count",
        scope="results:read",
        store=StoreUse.ONE_OR_ALL,
        summary="Count the dead letters of the store by category, reason, type and webhook",
        handler=count_letters,
        work=Work.QUERIES,
        query=LetterFilter,
        answer=DeadLetterCount,
        codes=_CODES,
    ),
    Route(
        name="dead-letters.get",
        method="GET",
        path="/dead-letters/{id}",
        scope="results:read",
        store=StoreUse.ONE_OR_ALL,
        summary="Show a dead letter with its bytes",
        handler=get_letter,
        work=Work.QUERIES,
        answer=DeadLetterDetail,
        codes=(Code.NOT_FOUND, Code.BROKER_UNAVAILABLE, *_CODES),
    ),
)
