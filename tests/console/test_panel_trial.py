"""What is said of a single test call."""

from __future__ import annotations

import pytest

from hookline.console.api.trials import TrialResult
from hookline.console.panel import wording
from hookline.console.panel.pages.webhook_trial import said as trial_said

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("server: x\nLocation: https://shop.example.com/new\nx: y", "It leads to https://shop.example.com/new: "),
        ("server: x", "the answer says so in its header location"),
    ],
)
def test_a_redirected_test_says_whereto(head: str, said: str) -> None:
    """The place that the answer names stands in the advice: nothing has to be looked for in the log."""
    result = TrialResult(
        delivery_id="msg_1", webhook_id="wh_1", event_id="evt_1", event_type="order.created", outcome="dead", http_status=308,
        error="http_status", detail="",
        response_time_ms=1.0, url="https://shop.example.com/old", request_headers="", response_headers=head, response_body="",
    )  # fmt: skip
    told = trial_said(result, 10.0)
    assert told is not None
    assert said in told.remedy
    assert "log" not in told.remedy


def test_nobody_gives_up_on_a_test() -> None:
    """What is made once and fails has failed."""
    assert (wording.outcome_said("dead", "test"), wording.outcome_said("dead", "event")) == ("Failed", "Given up")
    assert wording.outcome_said("delivered", "test") == "Delivered"
