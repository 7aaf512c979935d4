"""`/webhooks/{id}/explain`: why a webhook did or did not get an event, in one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import Field

from hookline.analytics.queries import event_places
from hookline.analytics.warehouse import Parameters, Rows
from hookline.console.api.deliveries_filter import ErrorName, Id, Instant, us_of
from hookline.console.api.explain_verdict import Facts, Judgement, judge
from hookline.console.event_search import PER_MIN, FoundEvent, Search
from hookline.console.http.models import Model, Query, Time, time_of
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import Answer, Call, Route
from hookline.console.letters_shelf import Letter, LetterQuery
from hookline.kernel.clock import to_us
from hookline.kernel.errors import NotFound
from hookline.schemas import payload
from hookline.schemas.records import delivery_id
from hookline.webhooks.model import Webhook

VerdictName = Literal[
    "delivered", "waiting_for_retry", "waiting", "dead", "paused", "disabled", "cancelled", "filter_error", "filter_no_match",
    "not_its_type", "created_later", "unknown_event",
]  # fmt: skip
StateName = Literal["enabled", "paused", "disabled", "deleted"]


class PublishedQuery(Query):
    """Help for finding an event that no webhook was called for."""

    published: Instant | None = Field(
        None, description="about when it was published, to ten minutes; for an id of your own that no webhook was called for"
    )


class ExplainQuery(PublishedQuery):
    """Which event."""

    event: Id = Field(description="the event's id")


class FieldValue(Model):
    """A field that the filter names."""

    path: str = Field(examples=["data.order.lines[].sku"])
    value: str | None = Field(description="what the event has there, as JSON, cut; null: it does not have it")


class Explanation(Model):
    """Why a webhook did or did not get an event."""

    webhook_id: str
    event_id: str
    delivery_id: str = Field(description="the `webhook-id` that the receiver got or would get")
    verdict: VerdictName = Field(description="what a program decides by")
    text: str = Field(description="the same in words, for people")
    at: Time | None = Field(description="when it came about: was delivered, given up, paused, disabled, ...")
    until: Time | None = Field(description="when the next attempt is due")
    attempts: int = Field(description="calls made so far")
    http_status: int | None = Field(description="of the newest call; null when no answer came, or none was made")
    error: ErrorName | None
    reason: str | None = Field(description="why it is a dead letter")
    dead_letter_id: str | None
    fields: list[FieldValue] = Field(description="where the filter said no or failed: the fields that it names")
    webhook_state: StateName = Field(description="as it is now")
    webhook_changed_at: Time | None = Field(
        description="it was changed after the event came: what the rules say, they say of it as it is now"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of an event, whichever webhook it is for: `rows` by webhook, the newest letter by webhook."""

    event_id: str
    search: Search
    rows: dict[str, Rows]
    letters: dict[str, Letter]

    @property
    def found(self) -> FoundEvent | None:
        """The event, if it was found."""
        return self.search.found

    @property
    def event_type(self) -> str:
        """Its type, empty when nothing is known of it."""
        if self.found is not None:
            return self.found.event.type
        return next((str(rows[0]["event_type"]) for rows in self.rows.values() if rows), "")

    @property
    def published_us(self) -> int:
        """When the broker took it, 0 when that is not known."""
        if self.found is not None:
            return self.found.published_us
        return max((row["source_timestamp_ms"] * 1_000 for rows in self.rows.values() for row in rows), default=0)


def explain(call: Call) -> Answer:
    """Answer why the webhook of the path did or did not get an event."""
    asked = call.asked(ExplainQuery)
    webhook, rows = own_or_none(call, call.id), rows_of(call, asked.event, call.id)
    if webhook is None and not rows:
        raise NotFound("There is no such webhook in this store", field="id")
    known = known_of(call, asked.event, asked.published, rows, call.id)
    return Answer(value=explained(call, known, call.id, webhook))


def own_or_none(call: Call, webhook_id: str) -> Webhook | None:
    """Return a webhook of the store, None when it was deleted or is another store's."""
    found = call.parts.registry.get(webhook_id)
    return found if found is not None and found.store_id == call.store_id else None


def rows_of(call: Call, event_id: str, webhook_id: str = "") -> dict[str, Rows]:
    """Return what the log has of an event, the oldest first, by webhook; of one webhook when it is named."""
    parameters: Parameters = {"store_id": call.store_id, "event_id": event_id, "webhook_id": webhook_id}
    found: dict[str, Rows] = {}
    for row in call.parts.queries.run("event_attempts", parameters):
        found.setdefault(row["webhook_id"], []).append(row)
    return found


def known_of(call: Call, event_id: str, published: str | None, rows: dict[str, Rows], webhook_id: str = "") -> Known:
    """Return what log, dead letters and Kafka tell of an event, for all webhooks or one."""
    parts = call.parts
    letters: dict[str, Letter] = {}
    for letter in parts.letters.shelf.find(LetterQuery(store_id=call.store_id, event_id=event_id, webhook_id=webhook_id)):
        before = letters.get(letter.webhook_id)
        if before is None or letter.at_us > before.at_us:
            letters[letter.webhook_id] = letter
    places = event_places(parts.queries, call.store_id, event_id)
    search = parts.event_search.find(call.store_id, event_id, places, us_of(published) if published else 0)
    return Known(event_id=event_id, search=search, rows=rows, letters=letters)


def explained(call: Call, known: Known, webhook_id: str, webhook: Webhook | None) -> Explanation:
    """Return the explanation for one webhook; None is one that was deleted."""
    letter, found = known.letters.get(webhook_id), known.found
    rows = known.rows.get(webhook_id, [])
    judgement = judge(
        Facts(
            webhook=webhook,
            now_us=to_us(call.parts.clock.now()),
            event_type=known.event_type,
            published_us=known.published_us,
            context=payload.context(found.event) if found is not None else None,
            rows=rows,
            letter=letter,
            replayed=call.parts.letters.shelf.replayed(letter.place) if letter is not None else None,
        )
    )
    shown = _shown(judgement) | _called(rows) | _webhook(webhook, known.published_us)
    ids = {
        "webhook_id": webhook_id,
        "event_id": known.event_id,
        "delivery_id": delivery_id(call.store_id, known.event_id, webhook_id),
        "reason": str(letter.reason) if letter is not None else None,
        "dead_letter_id": str(letter.place) if letter is not None else None,
    }
    return Explanation.model_validate({**shown, **ids})


def _shown(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": str(judgement.verdict),
        "text": judgement.text,
        "at": time_of(judgement.at_us),
        "until": time_of(judgement.until_us),
        "fields": [{"path": named.path, "value": named.value} for named in judgement.fields],
    }


def _called(rows: Rows) -> dict[str, Any]:
    """Return what the newest row tells of the call."""
    last = rows[-1] if rows else None
    return {
        "attempts": sum(1 for row in rows if row["attempt"]),
        "http_status": (last["http_status"] or None) if last else None,
        "error": (last["error_kind"] or None) if last else None,
    }


def _webhook(webhook: Webhook | None, published_us: int) -> dict[str, Any]:
    changed_us = webhook.updated_at_us if webhook is not None and published_us and webhook.updated_at_us > published_us else 0
    return {"webhook_state": str(webhook.state) if webhook is not None else "deleted", "webhook_changed_at": time_of(changed_us)}


ROUTES: Final = (
    Route(
        name="webhooks.explain",
        method="GET",
        path="/webhooks/{id}/explain",
        scope="results:read",
        summary="Explain why a webhook did or did not get an event",
        description="The verdicts are a closed list. What the log tells counts first; where it tells nothing, the webhook as it is now and "
        "the event, read back from Kafka, are held against the rules. An event that no webhook was called for is looked for on Kafka "
        "around the time that its id tells, or among the newest events, or around `published`: a bounded search, "
        f"at most {PER_MIN} times a minute and store.",
        handler=explain,
        work=Work.QUERIES,
        query=ExplainQuery,
        answer=Explanation,
        codes=(Code.NOT_FOUND, Code.RATE_LIMITED, Code.WAREHOUSE_UNAVAILABLE, Code.BROKER_UNAVAILABLE, Code.OVERLOADED),
    ),
)
