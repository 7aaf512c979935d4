"""Templates over the API, on the real process: saved, refused with the place, tried on real events, sent and signed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from examples.slack_stand_in import fault

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Client = Any
Shop = Any
Until = Any
OWN = {"text": "Order ${data.order.number}", "total": "${data.order.totals.grand_total}"}
TRY = "/templates/try"


def test_a_template_is_kept_until_it_is_taken_away(stack: Stack, admin: Client) -> None:
    """As JSON, as the same in a text, as a preset's name; other changes leave it, and an empty one is none."""
    body = {"url": stack.receiver.url("kept"), "event_types": ["order.created"]}
    made = admin.post("/webhooks", {**body, "template": OWN})
    assert made.status == 201, made
    assert json.loads(made.json["template"]) == OWN
    path = f"/webhooks/{made.json['id']}"

    def changed(**changes: Any) -> Any:
        return admin.call("PATCH", path, changes, {"If-Match": "*"}).json["template"]

    assert changed(name="other") == changed(template=json.dumps(OWN)) == made.json["template"]
    assert changed(template="slack") == "slack" == admin.get(path).json["template"]
    assert changed(template="") == ""


REFUSED: list[tuple[Any, str, str]] = [
    ("slak", "template", "no preset 'slak'"),
    ('{"text": ', "template", "no JSON"),
    ({"a": [{"b": "${data.order.}"}]}, "template.a[0].b", "no CEL at position 12"),
    ({"text": "${data.order.numbr}"}, "template.text", "the event has no data.order.numbr"),
    ({"text": "${nope}"}, "template.text", "'nope'"),
    ({"text": "x" * 17_000}, "template", "longer than 16,384 bytes"),
]


@pytest.mark.parametrize(("template", "field", "said"), REFUSED, ids=[field for _, field, _ in REFUSED])
def test_a_bad_template_is_refused_by_code_and_place(stack: Stack, admin: Client, template: Any, field: str, said: str) -> None:
    """The same words when a webhook is made and when it is changed; nothing is written."""
    body = {"url": stack.receiver.url("refused"), "event_types": ["order.created"]}
    made = admin.post("/webhooks", body)
    path = f"/webhooks/{made.json['id']}"
    for reply in (
        admin.post("/webhooks", {**body, "url": stack.receiver.url("refused/2"), "template": template}),
        admin.call("PATCH", path, {"template": template}, {"If-Match": "*"}),
    ):
        assert (reply.status, reply.code, reply.json["field"]) == (422, "template_invalid", field)
        assert said in reply.json["detail"]
    assert admin.get(path).json["version"] == 1


# ---- tried before it is saved ----


def test_a_template_is_tried_on_the_last_real_events(shop: Shop) -> None:
    """The newest first, with body and headers; of a type without events the example, which it says; the audit is left alone."""
    ids = [shop.publish() for _ in range(4)]
    asked = {"template": "cloudevents-binary", "event_types": ["order.created", "customer.created"]}
    tried = shop.admin.post(TRY, asked)
    assert tried.status == 200, tried
    orders, customers = tried.json["types"]
    assert (orders["real"], orders["events"], orders["failed"]) == (True, 4, 0)
    assert [one["event_id"] for one in orders["shown"]] == ids[:0:-1]
    newest = orders["shown"][0]
    assert (newest["headers"]["ce-id"], newest["headers"]["content-type"]) == (ids[-1], "application/json")
    assert json.loads(newest["body"])["order"]["number"] == "10042"
    assert newest["body_bytes"] == len(newest["body"].encode())
    assert (customers["real"], customers["events"], customers["shown"][0]["published_at"]) == (False, 1, None)
    assert (tried.json["problem"], tried.json["unread"], tried.json["cut"]) == ("", "", False)
    assert not [one for one in shop.admin.get("/audit").json["data"] if one["action"] == "template.try"]


def test_what_would_fail_is_shown_with_its_reason(shop: Shop) -> None:
    """Why it would not be saved, and on which events it fails: those come first."""
    shop.publish()
    asked = {"template": {"text": "${data.order.number}"}, "event_types": ["order.created", "customer.created"]}
    tried = shop.admin.post(TRY, asked).json
    assert "example of customer.created" in tried["problem"]
    orders, customers = tried["types"]
    assert (orders["failed"], json.loads(orders["shown"][0]["body"])) == (0, {"text": "10042"})
    assert (customers["failed"], customers["shown"][0]["body"]) == (1, None)
    assert customers["shown"][0]["error"] == "template.text, ${data.order.number}: the event has no data.order.number"


def test_what_fails_on_all_that_was_tried_is_a_problem(shop: Shop) -> None:
    """Of the examples it would not be saved; of real events alone it would, and every delivery would fail all the same."""
    asked = {"template": {"text": "${data.order.number | money}"}, "event_types": ["order.created"]}
    assert "money needs an amount" in shop.admin.post(TRY, asked).json["problem"]
    data = shop.admin.get("/event-types/order.created").json["example"]
    data["order"]["number"] = "7"
    real = {"template": {"text": "${1 / (data.order.number == '7' ? 0 : 1)}"}, "event_types": ["order.created"], "data": data}
    problem = shop.admin.post(TRY, real).json["problem"]
    assert problem.startswith("It fails on every event that was tried: template.text")
    assert "divides by zero" in problem


def test_a_template_is_tried_on_data_of_ones_own(shop: Shop) -> None:
    """Checked against the type's schema, in place of real events."""
    data = shop.admin.get("/event-types/order.created").json["example"]
    data["order"]["number"] = "<!channel>"
    asked = {"template": "slack", "event_types": ["order.created"], "data": data}
    [one] = shop.admin.post(TRY, asked).json["types"][0]["shown"]
    message = json.loads(one["body"])
    assert fault(message) == ""
    assert message["text"].startswith("Order &lt;!channel&gt;: 111.10 EUR")
    wrong = shop.admin.post(TRY, {**asked, "data": {"order": {}}})
    assert (wrong.status, wrong.code) == (422, "invalid")


def test_who_may_not_see_events_tries_the_examples(stack: Stack, shop: Shop) -> None:
    """A key that may change webhooks, and not read results, is shown no event of the store."""
    shop.publish()
    tried = stack.client(stack.key(shop.store, "hooks:write")).post(TRY, {"template": "slack", "event_types": ["order.created"]})
    assert (tried.status, tried.json["types"][0]["real"]) == (200, False)
    assert "results:read" in tried.json["unread"]


def test_a_template_that_is_none_is_refused(admin: Client) -> None:
    """With the same code and place as at saving; nothing to try is refused too."""
    for template, field, _ in REFUSED:
        if field != "template.text" or template == {"text": "${nope}"}:
            reply = admin.post(TRY, {"template": template, "event_types": ["order.created"]})
            assert (reply.status, reply.code, reply.json["field"]) == (422, "template_invalid", field)
    assert admin.post(TRY, {"template": "", "event_types": ["order.created"]}).code == "template_invalid"


# ---- what is sent ----


def test_the_body_is_sent_in_its_form_and_signed(stack: Stack, shop: Shop, until: Until) -> None:
    """A receiver gets the template's JSON with a signature that fits it; another webhook of the event gets the usual body."""
    made = shop.admin.post("/webhooks", {"url": stack.receiver.url("formed"), "event_types": ["order.created"], "template": OWN}).json
    shop.webhook("usual")
    event = shop.publish()

    def calls(path: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for at, headers, body in stack.receiver.calls if at == f"/{path}"]

    until(lambda: calls("formed") and calls("usual"), what="both calls")
    headers, body = calls("formed")[-1]
    assert json.loads(body) == {"text": "Order 10042", "total": {"amount_minor": 11110, "currency": "EUR"}}
    Verifier(made["secret"]).verify(body, {name.lower(): value for name, value in headers.items()})
    assert json.loads(calls("usual")[-1][1])["id"] == event


def test_a_template_that_fails_is_told_and_can_be_mended(stack: Stack, shop: Shop, until: Until) -> None:
    """The attempt says `template_error` and where, the event waits, and goes out once the template is mended."""
    body = {"url": stack.receiver.url("mended"), "event_types": ["order.created"]}
    made = shop.admin.post("/webhooks", {**body, "template": {"text": "${data.order.number}"}}).json
    data = shop.admin.get("/event-types/order.created").json["example"]
    broken = {"text": "${data.order.shipping_address.city}"}
    assert shop.admin.call("PATCH", f"/webhooks/{made['id']}", {"template": broken}, {"If-Match": "*"}).status == 200
    data["order"]["shipping_address"] = None
    assert shop.admin.post("/events", {"type": "order.created", "data": data}).status == 202
    failed = f"webhook={made['id']}&error=template_error&each=attempt"
    until(lambda: shop.lines(failed), what="the attempt without a call")
    first = shop.lines(failed)[-1]  # the next may have failed by now
    assert (first["outcome"], first["http_status"], first["attempt"]) == ("retrying", None, 1)
    shop.admin.call("PATCH", f"/webhooks/{made['id']}", {"template": OWN}, {"If-Match": "*"})
    until(lambda: any(path == "/mended" for path, _, _ in stack.receiver.calls), what="the call with the mended template")
