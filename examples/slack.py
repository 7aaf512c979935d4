"""Slack: a message per order, straight to an incoming webhook of Slack. No program of the store's runs: the template does the work.

    SLACK_WEBHOOK_URL=https://hooks.slack.com/services/… HOOKLINE_CONSOLE_URL=… HOOKLINE_API_KEY=hlk_… python -m examples.slack

tries the template on the last orders and makes the webhook. When Slack says "too many" (one message a second is its limit), Hookline
waits as long as Slack's Retry-After says. Slack has no key against duplicates: a call whose answer is lost is a second message.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from examples.receiving import given

EVENT_TYPES: Final = ("order.created",)
_TITLE: Final = "Order ${data.order.number | cut(50) | slack}: ${data.order.totals.grand_total | money}"
_LINES: Final = "${data.order.lines | first(10) | each('{quantity} x {title | cut(50) | mrkdwn}') | join('\n')}"
_BUYER: Final = "${data.order.customer.first_name == null ? 'a guest' : data.order.customer.first_name | cut(50) | mrkdwn}"
_PLACE: Final = "${data.order.shipping_address == null ? 'no address' : data.order.shipping_address.city | cut(50) | mrkdwn}"
# `text` is what notifications show, `blocks` what the channel shows. Slack takes up to 3,000 characters a block: `slack` and
# `mrkdwn` write some characters as five, so texts are cut before. `verbatim`: no address in a text becomes a link.
TEMPLATE: Final[dict[str, Any]] = {
    "text": _TITLE,
    "mrkdwn": False,
    "unfurl_links": False,
    "blocks": [
        {"type": "header", "text": {"type": "plain_text", "text": _TITLE}},
        {"type": "section", "text": {"type": "mrkdwn", "verbatim": True, "text": f"*Lines: ${{data.order.lines | count}}*\n{_LINES}"}},
        {"type": "context", "elements": [{"type": "mrkdwn", "verbatim": True, "text": f"for {_BUYER}, to {_PLACE}"}]},
    ],
}
Ask: TypeAlias = Callable[[str, str, dict[str, object]], Any]
"""Makes a request (method, path, body) to the REST API and returns its answer."""


def tried(ask: Ask) -> list[str]:
    """Return what the template makes of the last orders; raise `ValueError` with the reason when it fails on one of them."""
    answer = ask("POST", "/templates/try", {"template": TEMPLATE, "event_types": list(EVENT_TYPES)})
    [orders] = answer["types"]
    wrong = [answer["problem"], *(one["error"] for one in orders["shown"])]
    if any(wrong):
        raise ValueError(next(filter(None, wrong)))
    return [json.loads(one["body"])["text"] for one in orders["shown"]]


def webhook(url: str) -> dict[str, object]:
    """Return the webhook to make."""
    return {"name": "Slack", "url": url, "event_types": list(EVENT_TYPES), "template": TEMPLATE}


def asked(method: str, path: str, body: dict[str, object]) -> Any:  # noqa: ANN401  # JSON
    """Make a request to the console that the environment names."""
    headers = {"Authorization": f"Bearer {given('HOOKLINE_API_KEY')}", "Content-Type": "application/json"}
    url = f"{given('HOOKLINE_CONSOLE_URL')}/api/v1{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)  # noqa: S310  # the operator's own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def main() -> None:
    """Try the template, then make the webhook; tell what the console refuses."""
    try:
        print(*tried(asked), sep="\n")
        made = asked("POST", "/webhooks", webhook(given("SLACK_WEBHOOK_URL")))
    except urllib.error.HTTPError as error:
        sys.exit(f"The console refused it: {error.read().decode('utf-8', 'replace')[:500]}")
    print(f"{made['id']} posts each order to Slack")


if __name__ == "__main__":
    main()
