"""`/webhooks/{id}/test`: one signed call now, and what the receiver said to it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from pydantic import Field
from yarl import URL

from hookline.console.api.deliveries_models import AttemptDetail, attempt_fields
from hookline.console.api.webhooks import own
from hookline.console.http.models import EventTypeName, Model
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code, Refused
from hookline.console.http.routes import Answer, Call, Change, Route
from hookline.schemas.events import Event, example_event, new_event_id, validate
from hookline.schemas.records import Attempt
from hookline.webhooks.model import Webhook


class TrialRequest(Model):
    """Which event the receiver gets."""

    event_type: EventTypeName | None = Field(None, description="the webhook's first type when left out; it need not be one of its types")
    data: dict[str, Any] | None = Field(None, description="the event's `data`; the type's example when left out")


class TrialResult(AttemptDetail):
    """What came of the call: its one attempt, and of which delivery it is. It was delivered, or is dead: a test is tried once."""

    delivery_id: str = Field(description="the `webhook-id` of the call; the log knows it by this")
    webhook_id: str
    event_id: str
    event_type: EventTypeName


def send_test(call: Call) -> Answer:
    """Have a dispatcher make the call, wait for it and answer what it brought."""
    webhook, asked = own(call), call.asked(TrialRequest)
    event = _event(call, webhook, asked)
    _take_turn(call, webhook)
    attempt = call.parts.trials.send(webhook, event, call.parts.config.trial_wait_s)
    return Answer(value=result_of(attempt), change=Change(target=webhook.id))


def _take_turn(call: Call, webhook: Webhook) -> None:
    """Count the call for its receiver and its store; raise `Refused` for whichever has too many, and then neither is counted."""
    pace, host = call.parts.trial_pace, f"host {URL(webhook.url).host}"
    pace.take(host, f"This receiver's host got {pace.per_min} test calls in a minute, from all stores together")
    try:
        pace.take(f"store {call.store_id}", f"This store made {pace.per_min} test calls in a minute, to all receivers together")
    except Refused:
        pace.give_back(host)
        raise


def _event(call: Call, webhook: Webhook, asked: TrialRequest) -> Event:
    name = asked.event_type or webhook.event_types[0]
    if asked.data is None:
        return example_event(name, webhook.store_id, clock=call.parts.clock)
    event = Event(id=new_event_id(), type=name, store_id=webhook.store_id, occurred_at=call.parts.clock.now(), data=asked.data)
    return validate(event)


def result_of(attempt: Attempt) -> TrialResult:
    """Return what callers see of the attempt that a test was."""
    row = asdict(attempt)
    names = ("delivery_id", "webhook_id", "event_id", "event_type")
    return TrialResult.model_validate({**attempt_fields(row), **{name: row[name] for name in names}})


ROUTES: Final = (
    Route(
        name="webhooks.test",
        method="POST",
        path="/webhooks/{id}/test",
        scope="hooks:write",
        summary="Call the webhook once, with an example or your own data, and answer what it said",
        description="The call is signed like any other, made by a dispatcher, and recorded in the log as a test. Disabled and paused "
        "webhooks are called too. A receiver that refuses is no error of this request: look at `outcome`.",
        handler=send_test,
        work=Work.TRIALS,
        body=TrialRequest,
        answer=TrialResult,
        codes=(Code.NOT_FOUND, Code.UNKNOWN_EVENT_TYPE, Code.RATE_LIMITED, Code.NO_DISPATCHER),
        action="webhook.test",
        remembered=False,
        example={"event_type": "order.created"},
    ),
)
