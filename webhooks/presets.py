"""Templates that come with Hookline: messages for chats, and CloudEvents. Each is a template like a store's own.

Formats as their makers document them: Slack's incoming webhooks (text and blocks; a header has 150
characters; `&`, `<`, `>` escaped), Discord's "execute
webhook" (embeds: title 256 characters, description 4,096), Microsoft Teams' adaptive cards in a message (28 KB; text runs
know no Markdown), CloudEvents 1.0 with its JSON format and HTTP binding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from hookline.schemas.catalogue import event_type

Tree: TypeAlias = Any
"""JSON, with placeholders in its texts."""
_LONGEST: Final = 50
"""Characters of a value: Discord's titles have 256 at most, and each may get a backslash."""
_PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A template by name: `tree` gives its JSON for an event type; `headers` may hold placeholders too."""

    title: str
    tree: Callable[[str], Tree]
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


_CART: Final = ("Cart of ${data.cart.totals.grand_total | money}, lines: ${data.cart.lines | count}", "Cart ${data.cart.id}")
_STEP: Final = (
    "Checkout, ${data.session.step}: ${data.cart.totals.grand_total | money}",
    "Cart ${data.cart.id}, ${data.session.seconds_in_step} s in this step",
)
_ORDER_TOTAL: Final = "Order ${data.order.number}: ${data.order.totals.grand_total | money}"
LINES: Final[Mapping[str, tuple[str, str]]] = {
    "order.created": (
        _ORDER_TOTAL,
        "New order, paid by ${data.order.payment.method}, lines: ${data.order.lines | count}",
    ),
    "order.approved": (_ORDER_TOTAL, "Approved by the customer, lines: ${data.order.lines | count}"),
    "order.status_changed": ("Order ${data.order_number} is ${data.status}", "It was ${data.previous_status} before"),
    "order.paid": ("Order ${data.order_number} is paid: ${data.payment.amount | money}", "By ${data.payment.method}"),
    "product.changed": ("Product ${data.product.title}: ${data.change}", "${data.product.id} is ${data.product.status}"),
    "product.inventory_changed": (
        "Stock of ${data.sku}: ${data.available}",
        "It was ${data.previous_available} before; the reason is ${data.reason}",
    ),
    "category.changed": ("Category ${data.category.title}: ${data.change}", "${data.category.product_count} products"),
    "cart.item_added": _CART,
    "cart.updated": _CART,
    **dict.fromkeys(("checkout.cart_viewed", "checkout.address_viewed", "checkout.shipping_viewed", "checkout.approval_viewed"), _STEP),
    "checkout.thank_you_viewed": ("Order ${data.order_number}: the customer saw the confirmation", "Session ${data.session.id}"),
    "customer.created": ("New customer: ${data.customer.first_name} ${data.customer.last_name}", "${data.customer.id}"),
    "newsletter.signed_up": ("New reader of the newsletter", "Lists: ${data.lists | join}"),
    "return.created": ("Return of order ${data.return.order_number}", "Return ${data.return.id}"),
}
"""What a chat is told of each type of event: a headline, and a line below it. Neither addresses nor e-mail addresses: many read a chat."""


def _lines(name: str, *formats: str) -> tuple[str, str]:
    """Return headline and line of a type, every value cut and made safe for where it goes."""
    headline, line = LINES[event_type(name).name]
    more = "".join(f" | {one}" for one in (f"cut({_LONGEST})", *formats))
    return _PLACEHOLDER.sub(rf"${{\1{more}}}", headline), _PLACEHOLDER.sub(rf"${{\1{more}}}", line)


def _slack(name: str) -> Tree:
    headline, line = _lines(name, "slack")
    return {
        "text": headline,
        "mrkdwn": False,
        "unfurl_links": False,
        "blocks": [
            {"type": "header", "text": _plain_text(headline)},
            {"type": "section", "text": _plain_text(line)},
            {"type": "context", "elements": [_plain_text("${type} · ${store_id} · ${timestamp}")]},
        ],
    }


def _plain_text(text: str) -> Tree:
    """Return a text in which Slack reads no markup and makes no links."""
    return {"type": "plain_text", "text": text, "emoji": False}


def _discord(name: str) -> Tree:
    headline, line = _lines(name, "markdown")
    embed = {"title": headline, "description": line, "footer": {"text": "${type} · ${store_id}"}, "timestamp": "${timestamp}"}
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _teams(name: str) -> Tree:
    headline, line = _lines(name, "line")
    runs = [
        {"type": "TextRun", "text": headline, "weight": "Bolder", "size": "Medium"},
        {"type": "TextRun", "text": line},
        {"type": "TextRun", "text": "${type} · ${store_id} · ${timestamp}", "isSubtle": True, "size": "Small"},
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": [{"type": "RichTextBlock", "inlines": [run]} for run in runs],
    }
    content_type = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": content_type, "contentUrl": None, "content": card}]}


_ATTRIBUTES: Final = {
    "specversion": "1.0",
    "id": "${id}",
    "source": "/stores/${store_id}",
    "type": "${type}",
    "time": "${timestamp}",
}


def _structured(_: str) -> Tree:
    return {**_ATTRIBUTES, "datacontenttype": "application/json", "data": "${data}"}


def _binary(_: str) -> Tree:
    return "${data}"


PRESETS: Final[Mapping[str, Preset]] = {
    "slack": Preset(title="Slack: a message for an incoming webhook", tree=_slack),
    "discord": Preset(title="Discord: a message for a channel's webhook", tree=_discord),
    "teams": Preset(title="Microsoft Teams: a card for a workflow's webhook", tree=_teams),
    "cloudevents": Preset(title="CloudEvents 1.0, structured", tree=_structured, content_type="application/cloudevents+json"),
    "cloudevents-binary": Preset(
        title="CloudEvents 1.0, binary", tree=_binary, headers={f"ce-{name}": text for name, text in _ATTRIBUTES.items()}
    ),
}
