"""Explain and the fates of an event on the real process: a case for each verdict."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from hookline.console.api.explain_verdict import CLOCK_SLACK_US
from hookline.console.event_search import PER_MIN
from hookline.schemas.events import new_event_id

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Shop = Any
Until = Any


def path() -> str:
    """Return a path of the receiver that no other test uses."""
    return f"x{os.urandom(4).hex()}"


def explain(shop: Shop, webhook: str, event: str, more: str = "") -> dict[str, Any]:
    """Return why a webhook did or did not get an event."""
    reply = shop.admin.get(f"/webhooks/{webhook}/explain?event={event}{more}")
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.json
    return found


def until_it_is(shop: Shop, until: Until, webhook: str, event: str, verdict: str) -> dict[str, Any]:
    """Wait until the log knows the event and the verdict is this, and return the explanation that said so."""
    until(lambda: shop.lines(f"event={event}"), what="the event in the log")  # before that each explanation is a counted search
    found: dict[str, Any] = {}

    def said() -> bool:
        found.update(explain(shop, webhook, event))
        return bool(found["verdict"] == verdict)

    until(said, what=verdict)
    return found


# ---- a case for each verdict ----


def test_delivered(shop: Shop, until: Until) -> None:
    """When it was delivered, with which attempt and answer."""
    webhook, event = shop.webhook(path()), shop.publish()
    found = until_it_is(shop, until, webhook, event, "delivered")
    assert (found["attempts"], found["http_status"], found["error"], found["until"]) == (1, 200, None, None)
    [line] = shop.lines(f"event={event}")
    assert (found["delivery_id"], found["at"]) == (line["id"], line["at"])


def test_dead(shop: Shop, until: Until) -> None:
    """Why it was given up, and where the letter lies."""
    webhook = shop.webhook(path(), 404)
    event = shop.publish()
    until(lambda: shop.lines(f"event={event}"), what="the event in the log")
    until(lambda: explain(shop, webhook, event)["dead_letter_id"], what="the letter")
    found = until_it_is(shop, until, webhook, event, "dead")
    assert (found["reason"], found["http_status"], found["error"]) == ("exhausted", 404, "http_status")
    until(lambda: explain(shop, webhook, event)["attempts"] == 3, what="the log to have the last attempt")  # it is behind the letter
    assert explain(shop, webhook, event)["verdict"] == "dead"
    assert shop.admin.get(f"/dead-letters/{found['dead_letter_id']}").json["delivery_id"] == found["delivery_id"]


def test_waiting_for_a_retry(shop: Shop, until: Until) -> None:
    """Which attempt failed and how, and until when it waits."""
    where = path()
    webhook = shop.webhook(where, 503, schedule="long")
    event = shop.publish()
    found = until_it_is(shop, until, webhook, event, "waiting_for_retry")
    shop.stack.receiver.answers[f"/{where}"] = (200, b"mended")  # it need not wait for days
    assert (found["http_status"], found["error"]) == (503, "http_status")
    assert found["until"] > found["at"]


def test_paused(shop: Shop, until: Until) -> None:
    """Since when it is held; resumed, it is delivered."""
    webhook = shop.webhook(path())
    since = shop.admin.post(f"/webhooks/{webhook}/pause").json["state_since"]
    event = shop.publish()
    found = until_it_is(shop, until, webhook, event, "paused")
    assert (found["at"], found["webhook_state"], found["attempts"]) == (since, "paused", 0)
    shop.admin.post(f"/webhooks/{webhook}/resume")
    until_it_is(shop, until, webhook, event, "delivered")


def test_disabled(shop: Shop, until: Until) -> None:
    """Why and since when; the record of the skip says so as well."""
    webhook = shop.webhook(path())
    shop.admin.post(f"/webhooks/{webhook}/disable", {"reason": "moving house"})
    event = shop.publish()
    until(lambda: shop.lines(f"event={event}"), what="the skip")
    found = explain(shop, webhook, event)
    assert (found["verdict"], found["error"], found["webhook_state"]) == ("disabled", "disabled", "disabled")
    assert "moving house" in found["text"]


def test_cancelled(shop: Shop, until: Until) -> None:
    """A webhook that was deleted while it held the event is still explained; one that never had it is not there any more."""
    webhook = shop.webhook(path())
    shop.admin.post(f"/webhooks/{webhook}/pause")
    event = shop.publish()
    until_it_is(shop, until, webhook, event, "paused")
    until(lambda: shop.lines(f"event={event}"), what="the hold in the log")
    shop.admin.call("DELETE", f"/webhooks/{webhook}", headers={"If-Match": "*"})
    assert until_it_is(shop, until, webhook, event, "cancelled")["webhook_state"] == "deleted"
    assert shop.admin.get(f"/webhooks/{webhook}/explain?event=evt_other").status == 404


def test_not_its_type(shop: Shop) -> None:
    """An event that no webhook was called for is found on Kafka all the same."""
    webhook = shop.webhook(path())
    event = shop.publish("order.paid")
    found = explain(shop, webhook, event)
    assert found["verdict"] == "not_its_type"
    assert found["text"] == "Its type is order.paid, and the webhook gets order.created"


def test_the_filter_said_no(shop: Shop) -> None:
    """With the values of the fields that the filter names."""
    webhook = shop.webhook(path(), filter='data.order.number == "XXX" && data.order.lines.exists(line, line.sku == "none")')
    event = shop.publish()
    found = explain(shop, webhook, event)
    assert (found["verdict"], found["attempts"]) == ("filter_no_match", 0)
    fields = {one["path"]: one["value"] for one in found["fields"]}
    data = json.loads(shop.admin.get(f"/events/{event}").json["body"])["data"]
    assert json.loads(fields["data.order.number"]) == data["order"]["number"]
    assert json.loads(fields["data.order.lines[].sku"]) == [line["sku"] for line in data["order"]["lines"]][:5]


def test_the_filter_failed(shop: Shop, until: Until) -> None:
    """What it failed on, as the record of the skip says."""
    webhook = shop.webhook(path(), filter="data.order.lines[40].sku == 'x'")
    event = shop.publish()
    found = until_it_is(shop, until, webhook, event, "filter_error")
    assert [one["path"] for one in found["fields"]] == ["data.order.lines[40].sku"]
    until(lambda: shop.lines(f"event={event}&error=filter_error"), what="the skip")


def test_created_later(shop: Shop) -> None:
    """An event from before a webhook's making is not for it, with both times; clocks may differ by five seconds, so it waits six."""
    event = shop.publish()
    time.sleep(CLOCK_SLACK_US / 1e6 + 1)
    made = shop.admin.get(f"/webhooks/{(webhook := shop.webhook(path()))}").json
    found = explain(shop, webhook, event)
    assert (found["verdict"], found["at"]) == ("created_later", made["created_at"])


def test_an_unknown_event(shop: Shop, stack: Stack) -> None:
    """One that was never published, and another store's, are told alike."""
    webhook = shop.webhook(path())
    stranger = f"x{os.urandom(4).hex()}"
    other = stack.admin(stranger)
    data = other.get("/event-types/order.created").json["example"]
    theirs = other.post("/events", {"type": "order.created", "data": data}).json["id"]
    for event in ("evt_never", new_event_id(), theirs):
        found = explain(shop, webhook, event)
        assert (found["verdict"], found["at"], found["fields"]) == ("unknown_event", None, [])
        assert shop.admin.get(f"/events/{event}").status == 404


# ---- the event and its fates ----


def test_an_event_shows_the_fate_of_each_webhook(shop: Shop, until: Until) -> None:
    """The payload as receivers got it, where it lies, and a verdict for each webhook of its type; others are left out."""
    good, bad = shop.webhook(path()), shop.webhook(path(), 404)
    picky = shop.webhook(path(), filter='data.order.number == "XXX"')
    shop.webhook(path(), event_types=["order.paid"])
    event = shop.publish(id=f"own-{os.urandom(4).hex()}")
    until(lambda: len(shop.lines(f"event={event}&outcome=dead")) == 1, what="the end of the failing one")
    until(lambda: shop.admin.get(f"/events/{event}").json["fate_counts"] == {"delivered": 1, "dead": 1, "filter_no_match": 1})
    found = shop.admin.get(f"/events/{event}").json
    assert {fate["webhook_id"]: fate["verdict"] for fate in found["fates"]} == {good: "delivered", bad: "dead", picky: "filter_no_match"}
    [call] = [call for call in shop.stack.receiver.calls if call[1]["hookline-webhook"] == good]
    assert found["body"].encode() == call[2]
    assert (found["id"], found["type"], found["store_id"]) == (event, "order.created", shop.store)
    assert json.loads(found["body"])["timestamp"] == found["occurred_at"]
    assert found["place"].split(":")[0].endswith(".events.orders")


def test_an_event_of_ones_own_id_that_nobody_was_called_for(shop: Shop) -> None:
    """It is found among the newest events, and around the time that is given; not around another time."""
    event = shop.publish(id=f"own-{os.urandom(4).hex()}")
    found = shop.admin.get(f"/events/{event}").json
    assert (found["id"], found["fates"]) == (event, [])
    at = found["published_at"]
    assert shop.admin.get(f"/events/{event}?published={at}").json["place"] == found["place"]
    assert shop.admin.get(f"/events/{event}?published=2026-01-01T00:00:00Z").status == 404


def test_another_stores_event_and_webhook_are_not_there(shop: Shop, stack: Stack, until: Until) -> None:
    """Neither by the id of the event nor by that of the webhook."""
    webhook, event = shop.webhook(path()), shop.publish()
    until_it_is(shop, until, webhook, event, "delivered")
    stranger = stack.admin(f"x{os.urandom(4).hex()}")
    for reply in (stranger.get(f"/events/{event}"), stranger.get(f"/webhooks/{webhook}/explain?event={event}")):
        assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [("", "event"), ("event=", "event"), ("event=a.b", "event"), ("event=e&published=today", "published"), ("event=e&at=1", "at")],
)
def test_a_wrong_parameter_names_itself(shop: Shop, query: str, field: str) -> None:
    """An event must be named, by what can be an id."""
    reply = shop.admin.get(f"/webhooks/{shop.webhook(path())}/explain?{query}")
    assert (reply.status, reply.code, reply.json["field"]) == (422, "invalid", field)


def test_searches_are_bounded(shop: Shop) -> None:
    """Whoever asks for events that are nowhere, again and again, is told to wait."""
    webhook = shop.webhook(path())
    statuses, began = list[int](), time.monotonic()
    for number in range(300):  # the allowance grows again while they are answered
        reply = shop.admin.get(f"/webhooks/{webhook}/explain?event=evt_none{number}&published=2026-01-01T00:00:00Z")
        statuses.append(reply.status)
        if reply.status == 429:
            break
    assert set(statuses) == {200, 429}
    grown = (time.monotonic() - began) * PER_MIN / 60
    assert PER_MIN <= statuses.index(429) <= PER_MIN + grown + 1
    assert reply.headers["retry-after"]
