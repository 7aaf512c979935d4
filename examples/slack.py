"""Slack: a message per order, by way of an incoming webhook of Slack.

Slack has no key against duplicates, so the program remembers the last `webhook-id`s that it passed on. When Slack says
"too many" (one message a second is its limit), the program passes Slack's Retry-After on, and Hookline slows down.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any, Final

import aiohttp

from examples.receiving import NotNowError, serve

EVENT_TYPES: Final = ("order.created",)
# So that a message stays below Slack's 3,000 characters a block even if each character is written as five.
_MOST_LINES: Final = 10
_LONGEST_NAME: Final = 50
_REMEMBERED: Final = 10_000
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0)


def escaped(text: str) -> str:
    """Return a text with the three characters that mean something in Slack's markup replaced, as Slack asks."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shown(money: dict[str, Any]) -> str:
    """Return an amount for people."""
    return f"{money['amount_minor'] / 100:,.2f} {money['currency']}"


def message(order: dict[str, Any]) -> dict[str, Any]:
    """Return what Slack shows of an order: `text` in notifications, `blocks` in the channel."""
    buyer = (order["customer"].get("first_name") or "a guest")[:_LONGEST_NAME]
    title = f"Order {order['number'][:_LONGEST_NAME]}: {shown(order['totals']['grand_total'])}"
    lines = [f"{line['quantity']} x {escaped(line['title'][:_LONGEST_NAME])}" for line in order["lines"]]
    more = [f"… and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    where = f"{order['shipping_address']['city'][:_LONGEST_NAME]}, {order['shipping_address']['country']}"
    return {
        "text": escaped(title),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": title}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join([*lines[:_MOST_LINES], *more]) or "no lines"}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": escaped(f"for {buyer}, to {where}")}]},
        ],
    }


class Relay:
    """Passes orders on to the incoming webhook at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._passed: OrderedDict[str, None] = OrderedDict()

    async def pass_on(self, webhook_id: str, event: dict[str, Any]) -> None:
        """Post the order's message; raise `NotNowError` when Slack does not take it."""
        if webhook_id in self._passed:
            return
        try:
            await self._post(message(event["data"]["order"]))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotNowError(f"Slack does not answer: {error}") from error
        self._passed[webhook_id] = None
        if len(self._passed) > _REMEMBERED:
            self._passed.popitem(last=False)

    async def _post(self, body: dict[str, Any]) -> None:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.post(self._url, json=body) as answer:
            if answer.status != 200:  # noqa: PLR2004  # Slack's one good answer
                wait = answer.headers.get("Retry-After", "")
                raise NotNowError(f"Slack: {answer.status} {(await answer.text())[:200]}", int(wait) if wait.isdecimal() else 1)


if __name__ == "__main__":
    serve(Relay(os.environ["SLACK_WEBHOOK_URL"]).pass_on)
