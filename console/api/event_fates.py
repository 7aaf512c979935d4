"""`/events/{id}`: an event, read back from Kafka, and what became of it for each webhook."""

from __future__ import annotations

from collections import Counter
from typing import Final

from pydantic import Field

from hookline.console.api.explain import Explanation, Known, PublishedQuery, explained, known_of, own_or_none, rows_of
from hookline.console.http.models import Model, Time, time_of
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import Answer, Call, Route
from hookline.kernel.clock import rfc3339
from hookline.kernel.errors import NotFound
from hookline.schemas import payload

MOST_WEBHOOKS: Final = 100


class EventDetail(Model):
    """An event with its fates."""

    id: str
    store_id: str
    type: str
    occurred_at: Time | None = Field(description="when it happened; null when it is no longer on Kafka")
    published_at: Time | None = Field(description="when Kafka took it")
    place: str | None = Field(description="where it lies on Kafka: topic:partition:offset; null when it is no longer there")
    body: str | None = Field(description="the JSON that webhooks without a template are sent; null when it is no longer on Kafka")
    fates: list[Explanation] = Field(
        description=f"what became of it for each webhook of its type, and for each that was called; at most {MOST_WEBHOOKS}"
    )
    fate_counts: dict[str, int] = Field(description="how many webhooks there are of each verdict")


def get_event(call: Call) -> Answer:
    """Answer an event with every webhook's fate."""
    known = known_of(call, call.id, call.asked(PublishedQuery).published, rows_of(call, call.id))
    if not known.event_type:
        raise NotFound(
            "No event with this id was found in this store",
            field="id",
            remedy="It may be older than events are kept; for an id of your own that no webhook was called for, give ?published=.",
        )
    fates = [explained(call, known, webhook_id, own_or_none(call, webhook_id)) for webhook_id in _concerned(call, known)]
    found = known.found
    value = EventDetail(
        id=call.id,
        store_id=call.store_id,
        type=known.event_type,
        occurred_at=rfc3339(found.event.occurred_at) if found else None,
        published_at=time_of(known.published_us),
        place=str(found.place) if found else None,
        body=payload.body(found.event).decode() if found else None,
        fates=fates,
        fate_counts=dict(Counter(fate.verdict for fate in fates)),
    )
    return Answer(value=value)


def _concerned(call: Call, known: Known) -> list[str]:
    """Return the webhooks that the event is or was for: those that were called first, then those of its type."""
    matching = [webhook.id for webhook in call.parts.registry.matching(call.store_id, known.event_type)]
    return list(dict.fromkeys([*known.rows, *matching]))[:MOST_WEBHOOKS]


ROUTES: Final = (
    Route(
        name="events.get",
        method="GET",
        path="/events/{id}",
        scope="results:read",
        summary="Show an event and what became of it for each webhook",
        description="Webhooks that do not get events of its type, and were never called for it, are left out. How an event is found is "
        "told at `GET /webhooks/{id}/explain`.",
        handler=get_event,
        work=Work.QUERIES,
        query=PublishedQuery,
        answer=EventDetail,
        codes=(Code.NOT_FOUND, Code.RATE_LIMITED, Code.WAREHOUSE_UNAVAILABLE, Code.BROKER_UNAVAILABLE, Code.OVERLOADED),
    ),
)
