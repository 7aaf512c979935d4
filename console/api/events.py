"""`/events`: publish an event, as `hookline ingest` does, for those who send few and have no ingest at hand."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from pydantic import Field

from hookline.console.http.models import ID_PATTERN, EventTypeName, Model, StoreId, Time
from hookline.console.http.problems import Code
from hookline.console.http.routes import Answer, Call, Route
from hookline.producers.ingest.acceptance import Sender, Verdict
from hookline.producers.ingest.errors import Problem, Refused
from hookline.schemas.catalogue import EVENT_TYPES

_LARGE: Final = 65_536
_MAX_BODY: Final = 524_288


class EventCreate(Model):
    """Something that happened in the store."""

    type: EventTypeName
    data: dict[str, Any] = Field(description="what the type's schema says; times are RFC 3339, money is minor units")
    id: Annotated[str, Field(pattern=ID_PATTERN)] | None = Field(
        None, description="your own, by which receivers tell copies; or one is made"
    )
    occurred_at: Time | None = Field(None, description="when it happened, with its offset; left out: now")
    store_id: StoreId | None = Field(None, description="may be left out; must be the key's store")

    def item(self) -> dict[str, Any]:
        """Return what was given, as ingest takes it."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class EventAccepted(Model):
    """The event is on Kafka, on every in-sync replica."""

    id: str


async def publish(call: Call) -> Answer:
    """Answer once Kafka has the event."""
    told: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
    sender = Sender(store_id=call.store_id, key=call.idempotency_key, traceparent="", batch=False, large=len(call.raw) > _LARGE)
    call.parts.events.take(call.asked(EventCreate).item(), sender, 0, told.set_result)
    verdict = await told
    if isinstance(verdict, Problem):
        raise Refused(verdict)
    return Answer(value=EventAccepted(id=verdict))


ROUTES: Final = (
    Route(
        name="events.publish",
        method="POST",
        path="/events",
        scope="events:write",
        summary="Publish an event; 202 means that it is on Kafka and will be delivered",
        description="For many events use `hookline ingest`, which takes batches. With an Idempotency-Key and no `id` the event's id is "
        "derived from the key, so a request that is sent again makes no second event, even after a restart.",
        handler=publish,
        body=EventCreate,
        answer=EventAccepted,
        status=202,
        codes=(
            Code.UNKNOWN_EVENT_TYPE,
            Code.OCCURRED_AT_OUT_OF_RANGE,
            Code.OTHER_STORE,
            Code.PAYLOAD_TOO_LARGE,
            Code.UNDELIVERED,
            Code.STOPPING,
        ),
        max_body=_MAX_BODY,
        example={"type": "order.paid", "data": dict(EVENT_TYPES["order.paid"].example)},
    ),
)
