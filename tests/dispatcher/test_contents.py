"""Templates on their way out: what is sent is what is signed, once filled in for each event, and a failure is an attempt."""

from __future__ import annotations

import json
from typing import Any

import pytest
import standardwebhooks.webhooks

from hookline.dispatcher import contents as contents_module
from hookline.dispatcher.contents import Contents
from hookline.dispatcher.delivery import Delivery
from hookline.dispatcher.signatures import Signatures
from hookline.kernel.clock import SystemClock
from hookline.kernel.errors import TemplateError
from hookline.schemas.records import ErrorKind, Outcome, Trigger
from hookline.webhooks.templates import Template, template_text
from tests.dispatcher.fakes import KEY, VAULT, delivery, reply, webhook
from tests.dispatcher.rig import Rig
from tests.dispatcher.test_signing import whsec

pytestmark = pytest.mark.unit

BODY = b'{"id":"evt_1","type":"order.created","timestamp":"2026-03-14T09:26:53.589793Z","store_id":"shop","data":{"n":7}}'
OWN = template_text({"text": "n is ${data.n}"})
BROKEN = template_text({"text": "n is ${data.nothing}"})


def a_delivery(number: int = 1, of: Any = None, **more: Any) -> Delivery:
    """Return a delivery of the event above."""
    made = delivery(number, of, **more)
    made.body = BODY
    return made


def submitted(rig: Rig, template: str, **waiting: Any) -> None:
    """Submit one delivery to a webhook with a template."""
    rig.directory.add(webhook(1, template=template))
    rig.offset += 1
    rig.sending.submit(a_delivery(1, rig.unit(), **waiting))


@pytest.mark.parametrize("template", [OWN, "cloudevents", "cloudevents-binary", ""])
def test_what_is_sent_is_what_is_signed(template: str) -> None:
    """The official library takes the signature with the body as it goes out; the usual body stays what it was."""
    content = Contents().of(template, BODY) if template else None
    headers = Signatures(VAULT, SystemClock()).headers(webhook(template=template), a_delivery(), None, content)
    body = content.body if content is not None else BODY
    assert (
        json.loads(body)
        == {
            OWN: {"text": "n is 7"},
            "cloudevents": json.loads(body),
            "cloudevents-binary": {"n": 7},
            "": json.loads(BODY),
        }[template]
    )
    standardwebhooks.webhooks.Webhook(whsec(KEY)).verify(body, dict(headers))
    assert len(dict(headers)) == len(headers)


def test_headers_follow_the_template() -> None:
    """The content type is the template's; the binary form of CloudEvents has its attributes as headers, before the store's own."""
    rig = Rig()
    for template in (OWN, "cloudevents", "cloudevents-binary", ""):
        submitted(rig, template)
    types = [dict(request.headers)["content-type"] for request in rig.transport.sent]
    assert types == ["application/json", "application/cloudevents+json", "application/json", "application/json"]
    assert [sum(name.startswith("ce-") for name, _ in request.headers) for request in rig.transport.sent] == [0, 0, 5, 0]
    assert [request.body for request in rig.transport.sent][::3] == [b'{"text":"n is 7"}', BODY]


def test_the_log_shows_the_headers_that_went_out() -> None:
    """With the template's own, so that one sees in what form the event was sent."""
    rig = Rig()
    submitted(rig, "cloudevents-binary")
    rig.transport.answer(reply(200))
    [record] = rig.records()
    assert record.outcome is Outcome.DELIVERED
    assert "ce-type: order.created" in record.request_headers


def test_a_template_that_fails_is_an_attempt_that_is_tried_again() -> None:
    """No call is made; the attempt says why, the event waits, and nothing is held against the receiver."""
    rig = Rig()
    for _ in range(20):
        submitted(rig, BROKEN)
    assert rig.transport.sent == []
    assert {(r.outcome, r.error_kind, r.attempt) for r in rig.records()} == {(Outcome.RETRYING, ErrorKind.TEMPLATE, 1)}
    assert {r.error_detail for r in rig.records()} == {"template.text, ${data.nothing}: the event has no data.nothing"}
    assert rig.parked("5s") == 20
    assert not rig.lanes.lane("wh_1").opened
    assert rig.settled() == 20
    assert rig.at_rest()


def test_a_retry_takes_the_template_as_it_is_by_then() -> None:
    """Somebody mended it: what waited goes out in its new form."""
    rig = Rig()
    submitted(rig, BROKEN)
    submitted(rig, OWN, attempt=1)
    assert [request.body for request in rig.transport.sent] == [b'{"text":"n is 7"}']


def test_a_template_that_nobody_mends_ends_in_a_dead_letter() -> None:
    """After the last attempt the event is kept with the reason, as after any other failure; a test is tried once."""
    rig = Rig()
    submitted(rig, BROKEN, attempt=7)
    assert [(r.outcome, r.error_kind) for r in rig.records()] == [(Outcome.DEAD, ErrorKind.TEMPLATE)]
    [letter] = rig.ledger.of("dead-letters")
    assert letter.headers["hookline-reason"] == b"template_error"
    submitted(rig, BROKEN, trigger=Trigger.TEST)
    assert rig.records()[-1].outcome is Outcome.DEAD
    assert len(rig.ledger.of("dead-letters")) == 1
    assert rig.settled() == 2
    assert rig.at_rest()


def test_a_template_of_another_build_is_an_attempt_too() -> None:
    """A preset that this build does not know stops nothing: the delivery waits for one that does."""
    rig = Rig()
    submitted(rig, "telegram")
    assert [(r.outcome, r.error_kind) for r in rig.records()] == [(Outcome.RETRYING, ErrorKind.TEMPLATE)]
    assert rig.settled() == 1
    assert rig.at_rest()


def test_a_fault_of_ours_in_a_template_gives_its_places_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised while a template is filled in, the delivery ends as an attempt and the next one goes on."""

    class Bug(Template):
        def fill(self, *_: object) -> Any:
            raise ZeroDivisionError

    monkeypatch.setattr(contents_module, "compile_template", lambda text: Bug(text, lambda _: None))  # type: ignore[arg-type, return-value]
    rig = Rig()
    submitted(rig, OWN)
    assert [(r.outcome, r.error_kind) for r in rig.records()] == [(Outcome.RETRYING, ErrorKind.TEMPLATE)]
    assert "ZeroDivisionError" in rig.records()[0].error_detail
    assert rig.settled() == 1
    assert rig.at_rest()


def test_a_template_is_filled_in_once_for_an_event() -> None:
    """Ten webhooks with the same template share what was made; another event, or another template, is made anew."""
    contents, other = Contents(), bytes(bytearray(BODY))
    first = contents.of(OWN, BODY)
    assert all(contents.of(OWN, BODY) is first for _ in range(9))
    assert contents.of("cloudevents", BODY).body != first.body
    assert contents.of(OWN, other) is not first
    for _ in range(2):
        with pytest.raises(TemplateError):
            contents.of(BROKEN, other)
    assert contents.of(OWN, other).body == first.body
