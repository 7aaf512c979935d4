"""`/deliveries`: the log, one delivery whole, and having it made again."""

from __future__ import annotations

from typing import Final

from hookline.analytics.queries import delivery
from hookline.analytics.warehouse import Rows
from hookline.console.api.deliveries_filter import log_query, span_of
from hookline.console.api.deliveries_log import Deliveries, Place, Reading, place_of
from hookline.console.api.deliveries_models import DeliveryDetail, DeliveryLine, DeliveryQuery, DeliveryResent, detail, line
from hookline.console.api.sent_bodies import SentBody, sent_body
from hookline.console.api.webhook_filters import check_filter
from hookline.console.http.models import Page
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import Answer, Call, Change, Route
from hookline.console.places import Coordinates
from hookline.console.resends import PER_MIN, waiting_of
from hookline.kernel.clock import to_us
from hookline.kernel.errors import Conflict, NotFound
from hookline.schemas.records import Trigger
from hookline.webhooks.model import State


def list_deliveries(call: Call) -> Answer:
    """Answer a page of the log, the newest first."""
    asked, position = call.asked(DeliveryQuery), call.position()
    as_of_us = position[0] if position else to_us(call.parts.clock.now())
    span_us = span_of(asked.since, asked.until, as_of_us)
    query = log_query(call.store_id, asked, span_us)
    place = Place(position[1], position[2]) if position else Place(span_us[1] + 1)
    if asked.each == "attempt":
        rows, following = _attempts(Reading(call.parts.queries, query, place), asked.limit)
    else:
        rows, following = Deliveries(call.parts.queries, query, place, as_of_us).page(asked.limit)
    if not rows and position is None and following is None:
        check_filter(call, asked.webhook)
    cursor = call.cursor((as_of_us, following.at_us, following.attempt_id)) if following else None
    return Answer(value=Page[DeliveryLine](data=[line(row) for row in rows], next_cursor=cursor))


def _attempts(reading: Reading, limit: int) -> tuple[Rows, Place | None]:
    rows = reading.batch(limit + 1)
    page = rows[:limit]
    return page, place_of(page[-1]) if len(rows) > limit else None


def get_delivery(call: Call) -> Answer:
    """Answer one delivery with all its attempts, and the body of its calls."""
    rows = rows_of(call)
    usual, missing = call.parts.places.body(source_of(rows))
    if usual is None:
        return Answer(value=detail(rows, SentBody(None, None, missing)))
    webhook = call.parts.registry.get(rows[-1]["webhook_id"])
    own = webhook if webhook is not None and webhook.store_id == call.store_id else None
    return Answer(value=detail(rows, sent_body(own, rows, usual)))


def resend(call: Call) -> Answer:
    """Have a delivery made again."""
    rows = rows_of(call)
    last = next((row for row in reversed(rows) if row["source_topic"]), rows[-1])
    _resendable(call, rows)
    call.parts.resends.resend(waiting_of(last, call.store_id))
    value = DeliveryResent(id=last["delivery_id"], webhook_id=last["webhook_id"], event_id=last["event_id"])
    return Answer(value=value, change=Change(target=last["delivery_id"], after=value))


def rows_of(call: Call) -> Rows:
    """Return the attempts of the delivery of the path, the oldest first; raise `NotFound`, for another store's too."""
    try:
        return delivery(call.parts.queries, call.store_id, call.id)
    except NotFound as error:
        raise NotFound("There is no such delivery in this store's log", field="id") from error


def source_of(rows: Rows) -> Coordinates:
    """Return where the event of a delivery lies, by the newest row that knows."""
    row = next((row for row in reversed(rows) if row["source_topic"]), rows[-1])
    return Coordinates(row["source_topic"], row["source_partition"], row["source_offset"])


def _resendable(call: Call, rows: Rows) -> None:
    """Raise `Conflict` where a resend would lead nowhere."""
    if all(row["trigger"] == Trigger.TEST for row in rows):
        raise Conflict("This was a test call", field="id", remedy="Send another with POST /webhooks/{id}/test.")
    webhook = call.parts.registry.get(rows[-1]["webhook_id"])
    if webhook is None or webhook.store_id != call.store_id:
        raise Conflict("Its webhook was deleted", field="id", remedy="Create a webhook; it gets the events that come from then on.")
    if webhook.state is State.DISABLED:
        raise Conflict(f"Its webhook is disabled: {webhook.state_reason or 'no reason given'}", field="id", remedy="Enable it first.")


ROUTES: Final = (
    Route(
        name="deliveries.list",
        method="GET",
        path="/deliveries",
        scope="results:read",
        summary="Read the log of deliveries, the newest first",
        description="A delivery is one event for one webhook. Each stands once, in the place of its newest attempt up to the moment the "
        "first page was asked for, and the filters are about that attempt; with `each=attempt` every attempt has a line of its own. A page "
        "may be shorter than its limit: only a null `next_cursor` says that it is the last. An attempt is in the log about a second after "
        "it was made. At most 31 days at a time. A deleted webhook's log stays readable; a `webhook` that the store never had is refused.",
        handler=list_deliveries,
        work=Work.QUERIES,
        query=DeliveryQuery,
        answer=Page[DeliveryLine],
        codes=(Code.CURSOR_INVALID, Code.UNKNOWN_EVENT_TYPE, Code.WAREHOUSE_UNAVAILABLE, Code.OVERLOADED),
    ),
    Route(
        name="deliveries.get",
        method="GET",
        path="/deliveries/{id}",
        scope="results:read",
        summary="Show a delivery: every attempt, what was sent and what came back",
        description="The event is read back from Kafka, where it lies for as long as events are kept, and the body is made of it again "
        "with the webhook's template. No copy of what was sent is kept: `request_body_source` says whether it can be another.",
        handler=get_delivery,
        work=Work.QUERIES,
        answer=DeliveryDetail,
        codes=(Code.NOT_FOUND, Code.WAREHOUSE_UNAVAILABLE, Code.BROKER_UNAVAILABLE, Code.OVERLOADED),
    ),
    Route(
        name="deliveries.resend",
        method="POST",
        path="/deliveries/{id}/resend",
        scope="dlq:replay",
        summary="Have a delivery made again: same webhook-id, current URL and secret, full retry schedule",
        description=f"At most {PER_MIN} a minute and store; for many at once make a replay.",
        handler=resend,
        work=Work.QUERIES,
        answer=DeliveryResent,
        status=202,
        codes=(Code.NOT_FOUND, Code.CONFLICT, Code.RATE_LIMITED, Code.WAREHOUSE_UNAVAILABLE),
        action="delivery.resend",
    ),
)
