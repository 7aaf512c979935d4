"""What is said of a single test call."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hookline.console.api.deliveries_models import AttemptDetail
from hookline.console.api.table import ROUTES
from hookline.console.api.trials import TrialResult, result_of
from hookline.console.http.idempotency import Idempotency
from hookline.console.panel import wording
from hookline.console.panel.forms import ONCE, Form
from hookline.console.panel.page import Access, Page
from hookline.console.panel.pages.webhook_trial import said as trial_said
from hookline.console.panel.services import BRIEFLY_S
from hookline.console.panel.visit import Visit
from hookline.kernel.clock import SystemClock
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger

pytestmark = pytest.mark.unit


def answered(status: int, **more: Any) -> TrialResult:
    """Return what a test call gives whose receiver said a status; `more` are fields of the `Attempt`."""
    failed = {"outcome": Outcome.DEAD, "error_kind": ErrorKind.HTTP_STATUS} if status >= 300 else {"outcome": Outcome.DELIVERED}
    return result_of(
        Attempt(
            attempt_id="att_1", delivery_id="msg_1", store_id="demo", webhook_id="wh_1", event_id="evt_1", event_type="order.created",
            trigger=Trigger.TEST, attempt=1, attempted_at_us=1_764_000_000_000_000, http_status=status, **failed, **more,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "shown", "encoding", "cut"),
    [
        (b"thanks", "thanks", "utf-8", False),
        (b"\xff\x00", "/wA=", "base64", False),
        ("é".encode() * 8_192, "é" * 8_192, "utf-8", True),
        (b"x" + "é".encode() * 8_191 + b"\xc3", "x" + "é" * 8_191, "utf-8", True),
        (b"\xff" * 16_384, base64.b64encode(b"\xff" * 16_384).decode(), "base64", True),
    ],
    ids=["text", "no text", "full", "cut within a letter", "full and no text"],
)
def test_the_answer_of_a_test_is_told_as_that_of_any_attempt(body: bytes, shown: str, encoding: str, cut: bool) -> None:
    """Its fields are those of `AttemptDetail`, with the delivery that it is of: no byte is bent, and a full body says that it is cut."""
    result = answered(200, response_body=body)
    assert (result.response_body, result.response_body_encoding, result.response_body_cut) == (shown, encoding, cut)
    assert (result.error, result.detail, result.trigger, result.delivery_id) == (None, "", "test", "msg_1")
    more = {"delivery_id", "webhook_id", "event_id", "event_type"}
    assert set(TrialResult.model_fields) == {*AttemptDetail.model_fields, *more}


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("server: x\nLocation: https://shop.example.com/new\nx: y", "It leads to https://shop.example.com/new: "),
        ("server: x", "the answer says so in its header location"),
    ],
)
def test_a_redirected_test_says_whereto(head: str, said: str) -> None:
    """The place that the answer names stands in the advice: nothing has to be looked for in the log."""
    result = answered(308, response_headers=head, url="https://shop.example.com/old")
    told = trial_said(result, 10.0)
    assert told is not None
    assert said in told.remedy
    assert "log" not in told.remedy


def test_nobody_gives_up_on_a_test() -> None:
    """What is made once and fails has failed."""
    assert (wording.outcome_said("dead", "test"), wording.outcome_said("dead", "event")) == ("Failed", "Given up")
    assert wording.outcome_said("delivered", "test") == "Delivered"


async def test_what_a_receiver_said_is_remembered_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form that sent a test is good for a minute, since its answer may name somebody who is erased then; other forms for a day."""
    services = SimpleNamespace(
        routes={route.name: route for route in ROUTES}, once=Idempotency(SystemClock()), once_briefly=Idempotency(SystemClock(), BRIEFLY_S)
    )
    asked: list[str] = []

    async def change(_: Visit, __: Any, name: str, *___: Any, **____: Any) -> TrialResult:
        asked.append(name)
        return answered(200)

    async def known(self: Idempotency, place: Any, *_: Any) -> Any:
        asked.append("for a minute" if self is services.once_briefly else "for a day")
        return await once(self, place, *_)

    once = Idempotency.once
    monkeypatch.setattr(Visit, "change", change)
    monkeypatch.setattr(Idempotency, "once", known)
    presence = SimpleNamespace(user=SimpleNamespace(caller=SimpleNamespace(actor="user:1")))
    visit = Visit(
        services=cast("Any", services), request=cast("Any", SimpleNamespace(path="/x")),
        page=Page(name="x", path="/x", access=Access.STORE),
        presence=cast("Any", presence), ids={"store": "demo"}, form=Form([(ONCE, "mark")]), token="",
    )  # fmt: skip
    for _ in range(2):
        await visit.make(TrialResult, "webhooks.test", "wh_1")
    await visit.make(TrialResult, "webhooks.rotate-secret", "wh_1")
    assert asked == ["for a minute", "webhooks.test", "for a minute", "for a day", "webhooks.rotate-secret"]
    assert BRIEFLY_S <= 60
