"""What is said of a single test call."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from hookline.console.api.deliveries_models import AttemptDetail
from hookline.console.api.trials import TrialResult, result_of
from hookline.console.panel import wording
from hookline.console.panel.pages.webhook_trial import said as trial_said
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
