"""The Slack example: messages that Slack takes, each once, and Slack's own pace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from examples.slack import message
from examples.slack_stand_in import SlackStandIn, fault
from hookline.local.kafka_broker import free_port
from hookline.schemas.catalogue import EVENT_TYPES
from tests.examples.bodies import event

Start = Callable[..., Any]  # the fixture's class stands in conftest.py
ORDER = EVENT_TYPES["order.created"].example["order"]
HEADER = {"type": "header", "text": {"type": "plain_text", "text": "x"}}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"text": "hello"}, ""),
        ({"blocks": [HEADER, {"type": "divider"}]}, ""),
        ({"text": "x", "blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 10}]}, ""),
        ([], "invalid_payload"),
        (None, "invalid_payload"),
        ({"text": 5}, "invalid_payload"),
        ({"text": "x" * 40_001}, "invalid_payload"),
        ({}, "no_text"),
        ({"text": "", "blocks": []}, "no_text"),
        ({"blocks": [HEADER] * 51}, "invalid_blocks"),
        ({"blocks": {"type": "divider"}}, "invalid_blocks"),
        ({"blocks": [{"type": "headline", "text": "x"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": []}]}, "invalid_blocks"),
    ],
)
def test_the_stand_in_refuses_in_slacks_words(payload: object, words: str) -> None:
    """What Slack's format allows passes; each thing that it does not allow is named as Slack names it."""
    assert fault(payload) == words


@pytest.mark.unit
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"lines": []},
        {"lines": [{**ORDER["lines"][0], "title": "&" * 5_000, "quantity": 10**9}] * 300},
        {"number": "9" * 500},
        {"customer": {**ORDER["customer"], "first_name": None}},
        {"customer": {**ORDER["customer"], "first_name": "<" * 5_000}},
        {"shipping_address": {**ORDER["shipping_address"], "city": ">" * 5_000}},
    ],
)
def test_any_order_makes_a_message_that_slack_takes(changed: dict[str, Any]) -> None:
    """Long names, hundreds of lines, no lines, a guest: the message stays within Slack's limits."""
    assert fault(message({**ORDER, **changed})) == ""


@pytest.mark.unit
def test_names_cannot_write_markup() -> None:
    """A product called `<!channel>` alarms nobody."""
    made = message({**ORDER, "lines": [{**ORDER["lines"][0], "title": "<!channel> & co"}]})
    assert made["blocks"][1]["text"]["text"] == "2 x &lt;!channel&gt; &amp; co"
    assert made["text"] == "Order 10042: 111.10 EUR"


@pytest.mark.process
def test_a_message_is_posted_once_at_slacks_pace(program: Start) -> None:
    """Slack away or too busy: 503 with its Retry-After; a call that was passed on is not passed on again."""
    with SlackStandIn(busy_every=2) as channel:
        relay = program("slack", SLACK_WEBHOOK_URL=channel.url)
        first, second = event("order.created"), event("order.created")
        assert [relay.call(first)[0], relay.call(first)[0]] == [204, 204]
        status, headers = relay.call(second)
        assert (status, headers["Retry-After"], channel.asked_to_wait) == (503, "1", 1)
        assert relay.call(second)[0] == 204
        assert (len(channel.messages), channel.refused) == (2, [])
    away = program("slack", SLACK_WEBHOOK_URL=f"http://127.0.0.1:{free_port()}/")
    assert away.call(event("order.created"))[0] == 503
