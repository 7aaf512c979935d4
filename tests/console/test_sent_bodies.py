"""The body of a delivery's calls, made again with what is known of its webhook: what it is said to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from hookline.console.api.sent_bodies import SentBody, sent_body
from hookline.webhooks.model import State, Webhook

pytestmark = pytest.mark.unit
SECOND = 1_000_000
WEBHOOK = Webhook(
    id="wh_1", store_id="shop", name="", url="https://a.example.com/", event_types=("order.created",), filter="", state=State.ENABLED,
    state_reason="", state_since_us=10, secrets=(), headers=(), timeout_s=10.0, schedule="default", created_at_us=10 * SECOND,
    updated_at_us=10 * SECOND, version=1, write_id="", template='{"total": "${data.total}"}',
)  # fmt: skip
USUAL = orjson.dumps({"id": "e", "type": "order.created", "timestamp": "2026-11-23T14:02:00Z", "store_id": "shop", "data": {"total": 5}})
FILLED = b'{"total":5}'
CHANGED = replace(WEBHOOK, version=2, updated_at_us=60 * SECOND)


def call(second: int, attempt: int = 1) -> dict[str, Any]:
    """Return a row of the log; attempt 0 is one without a call."""
    return {"attempted_at_us": second * SECOND, "attempt": attempt}


CASES: dict[str, tuple[Webhook | None, list[dict[str, Any]], SentBody]] = {
    "never changed": (WEBHOOK, [call(11)], SentBody(FILLED, "as_sent")),
    "changed before the first call": (CHANGED, [call(70), call(80, 2)], SentBody(FILLED, "as_sent")),
    "changed a moment before": (CHANGED, [call(64)], SentBody(FILLED, "as_now")),
    "changed between calls": (CHANGED, [call(50), call(80, 2)], SentBody(FILLED, "as_now")),
    "no call was made": (WEBHOOK, [call(11, 0)], SentBody(FILLED, "as_now")),
    "held first, changed, then called": (CHANGED, [call(50, 0), call(80)], SentBody(FILLED, "as_sent")),
    "no template": (replace(WEBHOOK, template=""), [call(11)], SentBody(USUAL, "as_sent")),
    "no template now, changed since": (replace(CHANGED, template=""), [call(11)], SentBody(USUAL, "as_now")),
    "the template fails": (replace(WEBHOOK, template='{"total": "${data.nope}"}'), [call(11)], SentBody(USUAL, "event")),
    "deleted": (None, [call(11)], SentBody(USUAL, "event")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_body_says_what_it_is(name: str) -> None:
    """It is only said to be what was sent where the webhook cannot have had another template then."""
    webhook, rows, expected = CASES[name]
    assert sent_body(webhook, rows, USUAL) == expected
