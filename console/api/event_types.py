"""`/event-types`: the catalogue, from which a webhook chooses."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from hookline.console.http.models import EventTypeName, Model, Page, PageQuery
from hookline.console.http.problems import Code
from hookline.console.http.routes import ANY_KEY, Answer, Call, Route, StoreUse
from hookline.kernel.errors import NotFound
from hookline.schemas.catalogue import EVENT_TYPES, EventType


class EventTypeSummary(Model):
    """One type of event."""

    name: EventTypeName
    category: str = Field(description="orders, products, checkout or customers")
    description: str


class EventTypeDetail(EventTypeSummary):
    """One type of event with what it carries."""

    data_schema: dict[str, Any] = Field(description="the Avro schema of the event: id, store_id, occurred_at, data")
    example: dict[str, Any] = Field(description="a valid `data`, as receivers get it and as POST /events takes it")


def list_types(call: Call) -> Answer:
    """Answer a page of the catalogue, by name."""
    return Answer(value=call.page(list(EVENT_TYPES.values()), lambda kind: (kind.name,), _summary))


def get_type(call: Call) -> Answer:
    """Answer one type with its schema and example."""
    kind = EVENT_TYPES.get(call.ids["name"])
    if kind is None:
        raise NotFound("There is no such event type", field="name")
    return Answer(value=EventTypeDetail(**_summary(kind).model_dump(), data_schema=dict(kind.schema), example=dict(kind.example)))


def _summary(kind: EventType) -> EventTypeSummary:
    return EventTypeSummary(name=kind.name, category=kind.category, description=kind.description)


ROUTES: Final = (
    Route(
        name="event-types.list",
        method="GET",
        path="/event-types",
        scope=ANY_KEY,
        store=StoreUse.NONE,
        summary="List the event types",
        handler=list_types,
        query=PageQuery,
        answer=Page[EventTypeSummary],
        codes=(Code.CURSOR_INVALID,),
    ),
    Route(
        name="event-types.get",
        method="GET",
        path="/event-types/{name}",
        scope=ANY_KEY,
        store=StoreUse.NONE,
        summary="Show an event type: its schema and an example",
        handler=get_type,
        answer=EventTypeDetail,
        codes=(Code.NOT_FOUND,),
    ),
)
