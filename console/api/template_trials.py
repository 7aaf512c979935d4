"""`/templates/try`: a template that nobody has saved yet, filled in with the last real events of a store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import orjson
from pydantic import Field

from hookline.analytics.warehouse import Rows
from hookline.console.api.webhook_models import EventTypes, TemplateGiven
from hookline.console.event_samples import Samples
from hookline.console.http.models import EventTypeName, Model, Time, time_of
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import UNCHANGED, Answer, Call, Route
from hookline.console.parts import Parts
from hookline.kernel.clock import to_us
from hookline.kernel.errors import BrokerError, InputError, TemplateError, WarehouseError
from hookline.schemas import payload
from hookline.schemas.events import Event, example_event, new_event_id, validate
from hookline.webhooks.templates import Content, Template, check_template, compile_template, template_text

SHOWN: Final = 3
MOST_S: Final = 1.5
_MOST_BODY: Final = 16_384
_BACK_US: Final = 31 * 86_400_000_000
_SEES: Final = "results:read"


class TemplateTrial(Model):
    """A template to try."""

    template: TemplateGiven
    event_types: EventTypes
    data: dict[str, Any] | None = Field(None, description="the `data` of one event of the first type, in place of real events")


class FilledEvent(Model):
    """What a template makes of one event."""

    event_id: str
    published_at: Time | None = Field(description="null for an example, or for data of your own")
    body: str | None = Field(description="what would be sent, at most the first 16 KiB; null when the template fails on this event")
    body_bytes: int
    headers: dict[str, str] = Field(description="the content type, and what other headers the template sets")
    error: str | None = Field(description="why it fails; a delivery would be tried again, with `template_error` in the log")


class TriedType(Model):
    """The last events of one type."""

    event_type: EventTypeName
    real: bool = Field(description="false: none was published lately, and the catalogue's example, or your own data, stands in")
    events: int = Field(description="on how many it was tried, at most 20")
    failed: int
    shown: Annotated[list[FilledEvent], Field(description=f"the newest, at most {SHOWN}; those that fail come first")]


class TemplateTried(Model):
    """What came of it."""

    template: str = Field(description="as it would be stored")
    problem: str = Field(
        description="why it would not be saved for these types, or that it fails on all events that were tried; else empty"
    )
    unread: str = Field(description="why real events could not be read; empty: they were")
    cut: bool = Field(description="the time was up before all events were tried")
    types: list[TriedType]


@dataclass(frozen=True, slots=True)
class _Subject:
    event: Event
    published_us: int


def try_template(call: Call) -> Answer:
    """Answer what a template makes of the last events; raise `TemplateError` for one that is none."""
    asked = call.asked(TemplateTrial)
    text = template_text(asked.template)
    if not text:
        raise TemplateError("There is no template to try", remedy="Give a preset's name or JSON.")
    names, until = list(dict.fromkeys(asked.event_types)), time.monotonic() + MOST_S
    samples, unread = ({}, "") if asked.data is not None else _samples(call, names)
    template = compile_template(text)
    own = {names[0]: _own(call, names[0], asked.data)} if asked.data is not None else {}
    types = [_tried(call, template, name, samples, own.get(name), until) for name in names]
    value = TemplateTried(template=text, problem=_problem(text, types), unread=unread, cut=time.monotonic() > until, types=types)
    return Answer(value=value, change=UNCHANGED)


def recent(parts: Parts, store_id: str, names: Sequence[str]) -> Samples:
    """Return the newest events of some types; raise `BrokerError`. Only in `Work.QUERIES`."""

    def further() -> Rows:
        since_us = to_us(parts.clock.now()) - _BACK_US
        try:
            return parts.queries.run("events_newest", {"store_id": store_id, "event_types": ",".join(names), "since_us": since_us})
        except WarehouseError:  # then what the topics' ends hold must do
            return []

    return parts.event_samples.newest(store_id, names, further)


def _samples(call: Call, names: Sequence[str]) -> tuple[Samples, str]:
    """Return the newest events, and why they could not be read; who may not see events is shown none."""
    if not call.caller.allows(_SEES):
        return {}, f"This key may not see events: that takes the scope {_SEES}"
    try:
        return recent(call.parts, call.store_id, names), ""
    except BrokerError:
        return {}, "Kafka does not answer"


def _own(call: Call, name: str, data: dict[str, Any] | None) -> _Subject:
    event = Event(id=new_event_id(), type=name, store_id=call.store_id, occurred_at=call.parts.clock.now(), data=data or {})
    return _Subject(validate(event), 0)


def _problem(text: str, types: Sequence[TriedType]) -> str:
    try:
        check_template(text, [one.event_type for one in types])
    except InputError as error:
        return str(error)
    if all(one.failed == one.events for one in types):
        return f"It fails on every event that was tried: {types[0].shown[0].error}"
    return ""


def _tried(call: Call, template: Template, name: str, samples: Samples, own: _Subject | None, until: float) -> TriedType:
    subjects = [_Subject(one.event, one.published_us) for one in samples.get(name, ())]
    real = bool(subjects)
    if own is not None:
        subjects = [own]
    elif not real:
        subjects = [_Subject(example_event(name, call.store_id, clock=call.parts.clock, id="example"), 0)]
    filled = [_filled(template, one) for number, one in enumerate(subjects) if number == 0 or time.monotonic() < until]
    failing_first = sorted(filled, key=lambda one: one.error is None)
    failed = sum(one.error is not None for one in filled)
    return TriedType(event_type=name, real=real, events=len(filled), failed=failed, shown=failing_first[:SHOWN])


def _filled(template: Template, subject: _Subject) -> FilledEvent:
    usual = payload.body(subject.event)
    content, error = Content(b""), None
    try:
        content = template.fill(orjson.loads(usual), len(usual))
    except TemplateError as failed:
        error = failed.message
    return FilledEvent(
        event_id=subject.event.id,
        published_at=time_of(subject.published_us),
        body=content.body[:_MOST_BODY].decode("utf-8", "ignore") if error is None else None,
        body_bytes=len(content.body),
        headers={"content-type": content.content_type, **dict(content.headers)} if error is None else {},
        error=error,
    )


ROUTES: Final = (
    Route(
        name="templates.try",
        method="POST",
        path="/templates/try",
        scope="hooks:write",
        summary="Try a template on the last real events before it is saved",
        description="Nothing is saved or sent. Of each type the last events of the store are tried, at most 20. Where there is none, or "
        f"the key has not the scope `{_SEES}`, the catalogue's example stands in.",
        handler=try_template,
        work=Work.QUERIES,
        body=TemplateTrial,
        answer=TemplateTried,
        codes=(Code.TEMPLATE_INVALID, Code.UNKNOWN_EVENT_TYPE, Code.OVERLOADED),
        action="template.try",
        remembered=False,
        example={"template": {"text": "Order ${data.order.number}"}, "event_types": ["order.created"]},
    ),
)
