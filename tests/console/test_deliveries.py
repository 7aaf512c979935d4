"""The log over the API, on the real process: its lines, filters and pages, one delivery whole, resending."""

from __future__ import annotations

import base64
import json
import os
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.analytics.warehouse import Parameters, Rows
from hookline.console.api.deliveries_filter import ErrorName, LogQuery, OutcomeName, TriggerName, span_of, us_of
from hookline.console.api.deliveries_log import Deliveries, Place
from hookline.console.api.deliveries_models import MAX_BODY, readable
from hookline.kernel.errors import InputError
from hookline.schemas.records import ErrorKind, Outcome, Trigger

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Shop = Any
Until = Any
TIMES = ("2026-11-23T14:02:00Z", "2026-11-23T14:02:00.5+01:00", "2026-11-23t14:02:00.123456789z")


def path() -> str:
    """Return a path of the receiver that no other test uses."""
    return f"d{os.urandom(4).hex()}"


@pytest.fixture(name="told")
def told_fixture(shop: Shop) -> tuple[Shop, str, str, list[str]]:
    """Give a shop with a webhook that works and one whose receiver says 404, and three events, all attempts logged."""
    good, bad = shop.webhook(path()), shop.webhook(path(), 404)
    events = [shop.publish() for _ in range(3)]
    shop.logged(3 + 9)  # the bad one is tried three times
    return shop, good, bad, events


# ---- the list ----


def test_each_delivery_has_one_line_by_its_newest_attempt(told: Any) -> None:
    """Three events for two webhooks are six lines, the newest first; a delivery that was tried three times stands where it ended."""
    shop, good, bad, events = told
    lines = shop.lines()
    assert len(lines) == len({line["id"] for line in lines}) == 6
    assert [line["at"] for line in lines] == sorted((line["at"] for line in lines), reverse=True)
    of_bad = [line for line in lines if line["webhook_id"] == bad]
    assert {(line["attempt"], line["outcome"], line["http_status"], line["error"]) for line in of_bad} == {(3, "dead", 404, "http_status")}
    of_good = [line for line in lines if line["webhook_id"] == good]
    assert {(line["attempt"], line["outcome"], line["http_status"], line["error"]) for line in of_good} == {(1, "delivered", 200, None)}
    assert {line["event_id"] for line in of_good} == set(events)


def test_filters_are_about_the_newest_attempt(told: Any) -> None:
    """Nothing is `retrying` once it is dead, while among the attempts the tries that failed are found; filters narrow together."""
    shop, good, bad, events = told
    assert shop.lines("outcome=retrying") == []
    assert len(shop.lines("outcome=retrying&each=attempt")) == 6
    counts = {
        f"webhook={good}": 3, f"event={events[0]}": 2, "event_type=order.created": 6, "event_type=order.paid": 0, "status=404": 3,
        "status=4xx": 3, "status=2xx": 3, "status=none": 0, "outcome=dead": 3, "error=http_status": 3, "error=timeout": 0,
        "trigger=event": 6, "trigger=replay": 0, "job=job_x": 0, f"webhook={bad}&event={events[1]}&status=4xx&outcome=dead": 1,
        f"webhook={good}&status=404": 0,
    }  # fmt: skip
    assert {query: len(shop.lines(query)) for query in counts} == counts


def test_the_times_bound_the_log_on_both_sides(told: Any) -> None:
    """`from` and `to` are both included, to the microsecond."""
    shop, *_ = told
    lines = shop.lines("each=attempt")
    middle = lines[5]["at"]
    newer, older = shop.lines(f"each=attempt&from={middle}"), shop.lines(f"each=attempt&to={middle}")
    assert [line["attempt_id"] for line in newer + older[1:]] == [line["attempt_id"] for line in lines]
    assert newer[-1]["attempt_id"] == older[0]["attempt_id"] == lines[5]["attempt_id"]


@pytest.mark.parametrize("each", ["delivery", "attempt"])
def test_pages_hold_still_while_rows_arrive(told: Any, each: str, until: Until) -> None:
    """Pages of two give what one page gave, each line once and in order, though more is delivered, and made again, meanwhile."""
    shop, _, bad, _ = told
    whole = [line["attempt_id"] for line in shop.lines(f"each={each}")]
    first = shop.admin.get(f"/deliveries?each={each}&limit=2").json
    dead = shop.lines(f"webhook={bad}")[-1]["id"]
    assert shop.admin.post(f"/deliveries/{dead}/resend").status == 202
    shop.publish()
    until(lambda: shop.lines("trigger=resend&each=attempt"), what="the resend")
    found, cursor = [line["attempt_id"] for line in first["data"]], first["next_cursor"]
    while cursor:
        page = shop.admin.get(f"/deliveries?each={each}&limit=2&cursor={cursor}").json
        found, cursor = found + [line["attempt_id"] for line in page["data"]], page["next_cursor"]
    assert found == whole


def test_the_log_is_the_stores_own(told: Any, stack: Stack) -> None:
    """Another store sees no line and finds no delivery, by filter or by id; the operator sees the store that is named."""
    shop, good, _, events = told
    stranger = stack.admin(f"x{os.urandom(4).hex()}")
    assert stranger.get(f"/deliveries?webhook={good}&event={events[0]}").status == 422
    assert stranger.get(f"/deliveries?event={events[0]}").json["data"] == []
    delivery = shop.lines()[0]["id"]
    for method, tail in (("GET", ""), ("POST", "/resend")):
        reply = stranger.call(method, f"/deliveries/{delivery}{tail}")
        assert (reply.status, reply.code) == (404, "not_found")
    assert len(stack.operator.get(f"/deliveries?store={shop.store}").json["data"]) == 6


WRONG = [
    ("status=60", "status"), ("status=6xx", "status"), ("status=200%20OR%201=1", "status"), ("outcome=done", "outcome"),
    ("error=bad+luck", "error"), ("trigger=chance", "trigger"), ("each=day", "each"), ("webhook=a.b", "webhook"),
    ("webhook=%27%20OR%201%3D1", "webhook"), ("event=%7Ba%3AString%7D", "event"), ("job=" + "x" * 65, "job"), ("from=yesterday", "from"),
    ("from=2026-11-23", "from"), ("from=2026-11-23T14:00:00", "from"), ("from=2026-11-23T14:00:00+01:00", "from"),
    ("from=2026-13-01T00:00:00Z", "from"), ("to=9999-01-01T00:00:00Z", "to"), ("to=0001-01-01T00:00:00Z", "to"),
    ("from=2026-11-23T14:00:00Z&to=2026-11-23T13:00:00Z", "from"), ("from=2026-01-01T00:00:00Z&to=2026-02-02T00:00:00Z", "from"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "field"), WRONG)
def test_a_wrong_filter_names_itself(shop: Shop, query: str, field: str) -> None:
    """Whatever a filter cannot be is refused with its name."""
    reply = shop.admin.get(f"/deliveries?{query}")
    assert (reply.status, reply.code, reply.json["field"]) == (422, "invalid", field)


FILTERED = ("/deliveries?webhook={}", "/deliveries?each=attempt&webhook={}", "/deliveries/export?format=csv&webhook={}",
            "/dead-letters?webhook={}", "/dead-letters/count?webhook={}")  # fmt: skip


def test_a_webhook_that_the_store_never_had_is_refused(stack: Stack, shop: Shop) -> None:
    """No id and another store's id are told in the same words; one that has nothing yet is an empty list."""
    stranger = stack.admin(f"x{os.urandom(4).hex()}")
    theirs = stranger.post("/webhooks", {"url": stack.receiver.url("theirs"), "event_types": ["order.created"]}).json["id"]
    own = shop.webhook(f"own{os.urandom(3).hex()}")
    for path in FILTERED:
        said = [shop.admin.get(path.format(webhook)) for webhook in ("wh_nope", theirs)]
        assert {(reply.status, reply.code, reply.json["field"]) for reply in said} == {(422, "invalid", "webhook")}, path
        assert len({reply.json["detail"] for reply in said}) == 1, path
        assert shop.admin.get(path.format(own)).status == 200, path


def test_the_log_of_a_deleted_webhook_stays_readable(shop: Shop, until: Until) -> None:
    """Its lines, also by a filter that nothing fits, its export and the count of its dead letters."""
    webhook = shop.webhook(f"del{os.urandom(3).hex()}", 404)
    shop.publish()
    shop.logged(3)
    until(lambda: shop.admin.get(f"/dead-letters/count?webhook={webhook}").json["total"] == 1, what="the dead letter")
    shop.admin.call("DELETE", f"/webhooks/{webhook}", headers={"If-Match": "*"})
    assert shop.admin.get(f"/webhooks/{webhook}").status == 404
    assert len(shop.lines(f"each=attempt&webhook={webhook}")) == 3
    assert shop.lines(f"webhook={webhook}&status=418") == []
    assert shop.admin.get(f"/dead-letters?reason=gone&webhook={webhook}").json["data"] == []
    for path in FILTERED:
        assert shop.admin.get(path.format(webhook)).status == 200, path


# ---- one delivery ----


def test_a_delivery_shows_what_was_sent_and_what_came_back(told: Any) -> None:
    """All attempts in order with request and answer, and the body that was signed, byte by byte; no signature among the headers."""
    shop, _, bad, _ = told
    line = shop.lines(f"webhook={bad}")[0]
    found = shop.admin.get(f"/deliveries/{line['id']}").json
    assert [attempt["attempt"] for attempt in found["attempts"]] == [1, 2, 3]
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["retrying", "retrying", "dead"]
    assert (found["outcome"], found["next_retry_at"], found["webhook_id"]) == ("dead", None, bad)
    last = found["attempts"][-1]
    assert (last["response_body"][:5], last["response_body_encoding"], last["http_status"]) == ("said ", "utf-8", 404)
    assert "Content-Length" in last["response_headers"]
    assert f"webhook-id: {line['id']}" in last["request_headers"]
    assert "webhook-signature" not in last["request_headers"]
    calls = [call for call in shop.stack.receiver.calls if call[1]["webhook-id"] == line["id"]]
    assert len(calls) == 3
    assert {call[2] for call in calls} == {found["request_body"].encode()}
    assert json.loads(found["request_body"])["id"] == line["event_id"]
    assert (found["request_body_source"], found["request_body_missing"]) == ("as_sent", "")


def test_a_body_that_a_template_made_is_shown_as_it_was_sent(shop: Shop) -> None:
    """Byte by byte; once the webhook is changed it is what would be sent now, and once it is deleted the event, each time said so."""
    webhook = shop.webhook(path(), template={"order": "${data.order.number}"})
    shop.publish()
    [line] = shop.logged(1)
    [body] = [call[2] for call in shop.stack.receiver.calls if call[1]["webhook-id"] == line["id"]]

    def shown() -> tuple[str, str]:
        found = shop.admin.get(f"/deliveries/{line['id']}").json
        return found["request_body"], found["request_body_source"]

    assert shown() == (body.decode(), "as_sent")
    changed = shop.admin.call("PATCH", f"/webhooks/{webhook}", {"template": {"number": "${data.order.number}"}}, {"If-Match": "*"})
    assert changed.status == 200, changed
    assert shown() == (body.decode().replace("order", "number"), "as_now")
    assert shop.admin.call("DELETE", f"/webhooks/{webhook}", headers={"If-Match": "*"}).status == 204
    text, source = shown()
    assert (json.loads(text)["id"], source) == (line["event_id"], "event")


def test_a_delivery_made_again_keeps_its_id(told: Any, until: Until) -> None:
    """A resend goes out with the same webhook-id, is in the log as a resend, and on the audit with who wanted it."""
    shop, good, _, _ = told
    line = shop.lines(f"webhook={good}")[0]
    reply = shop.admin.post(f"/deliveries/{line['id']}/resend")
    assert (reply.status, reply.json) == (202, {"id": line["id"], "webhook_id": good, "event_id": line["event_id"]})
    shop.logged(1, "trigger=resend")
    calls = [call for call in shop.stack.receiver.calls if call[1]["webhook-id"] == line["id"]]
    assert len(calls) == 2
    assert calls[0][2] == calls[1][2]
    [entry] = shop.admin.get("/audit?action=delivery.resend").json["data"]
    assert (entry["target"], entry["actor"][:4]) == (line["id"], "key:")
    until(lambda: [a["trigger"] for a in shop.admin.get(f"/deliveries/{line['id']}").json["attempts"]] == ["event", "resend"])


def test_a_resend_that_leads_nowhere_is_refused(told: Any) -> None:
    """Of a test call, and for a webhook that is disabled or deleted, it is a conflict that says what to do; with the same key it is one."""
    shop, good, bad, _ = told
    tried = shop.admin.post(f"/webhooks/{good}/test").json["delivery_id"]
    shop.logged(1, "trigger=test")
    refused = [shop.admin.post(f"/deliveries/{tried}/resend")]
    line = shop.lines(f"webhook={bad}")[0]["id"]
    shop.admin.post(f"/webhooks/{bad}/disable")
    refused.append(shop.admin.post(f"/deliveries/{line}/resend"))
    shop.admin.call("DELETE", f"/webhooks/{bad}", headers={"If-Match": "*"})
    refused.append(shop.admin.post(f"/deliveries/{line}/resend"))
    assert [(reply.status, reply.code) for reply in refused] == [(409, "conflict")] * 3
    assert [word for word, reply in zip(("test", "disabled", "deleted"), refused, strict=True) if word in reply.json["detail"]] == [
        "test", "disabled", "deleted",
    ]  # fmt: skip


def test_an_unknown_delivery_is_not_found(shop: Shop) -> None:
    """So is what can be no id."""
    for text in ("msg_nobody", "a" * 129, "%27%20OR%201%3D1", "..%2F.."):
        assert shop.admin.get(f"/deliveries/{text}").status == 404


# ---- pure pieces ----


class Table:
    """A log in memory that answers as ClickHouse does."""

    def __init__(self, rows: Rows) -> None:
        self.rows = sorted(rows, key=_place, reverse=True)

    def run(self, name: str, parameters: Parameters) -> Rows:
        """Answer a page, or the newest rows of some deliveries."""
        known = [row for row in self.rows if parameters["since_us"] <= row["attempted_at_us"] <= parameters["until_us"]]
        if name == "deliveries":
            before = (parameters["before_us"], parameters["before_id"])
            outcome = parameters["outcome"]
            return [row for row in known if _place(row) < before and outcome in {"", row["outcome"]}][: int(parameters["limit"])]
        keys = str(parameters["keys"]).split(",")
        newest: dict[str, dict[str, Any]] = {}
        for row in known:
            if f"{row['webhook_id']}/{row['delivery_id']}" in keys:
                newest.setdefault(row["delivery_id"], row)
        return list(newest.values())


def _place(row: dict[str, Any]) -> tuple[int, str]:
    return row["attempted_at_us"], row["attempt_id"]


ROWS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 12), st.sampled_from(["retrying", "delivered", "dead"])), max_size=150
).map(
    lambda found: [
        {"attempted_at_us": at, "attempt_id": f"att_{number:03}", "delivery_id": f"msg_{delivery}", "webhook_id": "wh", "outcome": outcome}
        for number, (at, delivery, outcome) in enumerate(found)
    ]
)  # fmt: skip


@pytest.mark.unit
@given(rows=ROWS, later=ROWS, limit=st.integers(1, 7), outcome=st.sampled_from(["", "retrying", "dead"]))
def test_pages_of_deliveries_are_what_one_look_would_have_been(rows: Rows, later: Rows, limit: int, outcome: str) -> None:
    """Whatever arrives between two pages: each delivery comes once, in order, where its newest attempt stood when the first began."""
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=_place, reverse=True):
        newest.setdefault(row["delivery_id"], row)
    expected = [row for row in newest.values() if outcome in {"", row["outcome"]}]
    log, query = Table(rows), LogQuery(store_id="s", since_us=0, until_us=50, outcome=outcome)
    found, place = [], Place(51)
    while True:
        page, following = Deliveries(log, query, place, as_of_us=50).page(limit)
        found += page
        assert len(page) <= limit
        if following is None:
            break
        place = following
        log = Table([*rows, *({**row, "attempted_at_us": row["attempted_at_us"] + 60, "attempt_id": "z"} for row in later)])
    assert found == expected


@pytest.mark.unit
def test_the_words_of_filters_are_those_of_the_records() -> None:
    """Outcomes, triggers and kinds of failure of the API are the pipeline's, all of them."""
    assert set(get_args(OutcomeName)) == {str(one) for one in Outcome}
    assert set(get_args(TriggerName)) == {str(one) for one in Trigger}
    assert set(get_args(ErrorName)) == {str(one) for one in ErrorKind if one}


@pytest.mark.unit
def test_spans_default_to_31_days_and_are_never_longer() -> None:
    """Left out, `to` is now and `from` 31 days before `to`; exactly 31 days are allowed, a microsecond more is not."""
    now, days = us_of("2026-11-23T14:02:00Z"), 31 * 86_400_000_000
    assert span_of(None, None, now) == (now - days, now)
    assert span_of(None, TIMES[1], now) == (us_of(TIMES[1]) - days, us_of(TIMES[1]))
    assert span_of("2026-10-23T14:02:00Z", "2026-11-23T14:02:00Z", 0) == (now - days, now)
    with pytest.raises(InputError):
        span_of("2026-10-23T14:02:00Z", "2026-11-23T14:02:00.000001Z", 0)
    assert [us_of(text) - now for text in TIMES] == [0, 500_000 - 3_600_000_000, 123_456]


@pytest.mark.unit
def test_bytes_that_are_no_text_are_base64() -> None:
    """A text that was cut in the middle of a character is still a text; anything else is told whole."""
    assert readable("ä".encode()) == ("ä", "utf-8")
    assert readable(b"") == ("", "utf-8")
    long = ("x" * (MAX_BODY - 1) + "ä").encode()[:MAX_BODY]
    assert readable(long) == ("x" * (MAX_BODY - 1), "utf-8")
    assert readable("ä".encode()[:1]) == (base64.b64encode(b"\xc3").decode(), "base64")
    assert readable(b"\xff\xfe") == ("//4=", "base64")
