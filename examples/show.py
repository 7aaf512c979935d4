"""The five examples at work: each starts its program, lets the shop publish, and holds what came out against what was published.

The programs never see this; it is what a person would look at to believe them.
"""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from examples import dashboard, erp, low_stock, marketing, slack
from examples.slack_stand_in import SlackStandIn
from examples.stand import Stand
from hookline.local.kafka_broker import free_port
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import Event

ABANDONED_AFTER_S: Final = 3.0
_AT_ITS_WORK: Final = 20
_SLOWEST_S: Final = 1.0
_STREAM_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What the shop does: so many events a second for so long; the seed chooses the day."""

    rate: float = 30.0
    for_s: float = 20.0
    seed: int = 7


Act: TypeAlias = Callable[[Stand, Shop], list[str]]
"""Returns what is wrong, in words: nothing, if all is as it should be."""


def show_erp(stand: Stand, shop: Shop) -> list[str]:
    """Book a shop's orders, with the program killed in the middle of it."""
    file = stand.folder / "books.sqlite"
    stand.program("erp", erp.EVENT_TYPES, DATABASE=str(file))
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as books:
        plan = stand.open_shop(shop.rate, shop.for_s, shop.seed)
        if stand.own:
            stand.wait(lambda: not stand.open or len(_booked(books)) >= _AT_ITS_WORK)
            stand.say("kill -9 of the program, at its work")
            stand.supervisor.kill("erp")
        wanted = _of(stand.published(plan), erp.EVENT_TYPES)
        stand.wait(lambda: {event.id for event in wanted} <= _booked(books).keys())
        for account, debit, credit in books.execute("SELECT account, debit_minor, credit_minor FROM balances ORDER BY account"):
            stand.say(f"  {account:22} debit {debit / 100:>12,.2f}   credit {credit / 100:>12,.2f}")
        customers = books.execute("SELECT count(*) FROM customers").fetchone()[0]
        stand.say(f"{sum(_booked(books).values()):,} events booked, {customers:,} customers known")
        return _misbooked(books, wanted)


def _booked(books: sqlite3.Connection) -> Counter[str]:
    return Counter(event_id for (event_id,) in books.execute("SELECT event_id FROM calls"))


def _misbooked(books: sqlite3.Connection, wanted: list[Event]) -> list[str]:
    booked = _booked(books)
    wrong = [f"{event.type} {event.id} is not booked" for event in wanted if event.id not in booked]
    wrong += [f"event {event_id} is booked {count} times" for event_id, count in booked.items() if count > 1]
    wrong += [f"the booking of {webhook_id} does not balance" for (webhook_id,) in books.execute("SELECT webhook_id FROM unbalanced")]
    sold = books.execute(
        "SELECT coalesce(sum(debit_minor), 0) FROM lines JOIN calls USING (webhook_id) WHERE event_type = 'order.created'"
    ).fetchone()[0]
    told = sum(event.data["order"]["totals"]["grand_total"]["amount_minor"] for event in wanted if event.type == "order.created")
    return wrong if sold == told else [*wrong, f"orders of {told} were published, {sold} is booked"]


class Mailbox:
    """Keeps what the mail server takes."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        """Take a mail."""
        self.mails.append(str(envelope.content or b"", "utf-8") if not isinstance(envelope.content, str) else envelope.content)
        return "250 OK"


def show_low_stock(stand: Stand, shop: Shop) -> list[str]:
    """Mail the purchaser over a real SMTP server, which is down at first."""
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    stand.program("low_stock", low_stock.EVENT_TYPES, low_stock.FILTER, SMTP_PORT=str(server.port))
    plan = stand.open_shop(shop.rate, shop.for_s, shop.seed)
    if stand.own:
        stand.wait(lambda: not stand.open, 2 * shop.for_s + 60)
        stand.say("the mail server comes up: what could not be mailed is tried again")
    server.start()
    try:
        events = stand.published(plan)
        low = [e for e in _of(events, low_stock.EVENT_TYPES) if e.data["available"] < 5 <= e.data["previous_available"]]  # noqa: PLR2004
        subjects = {f"Subject: Low stock: {event.data['available']} left of {event.data['sku']}" for event in low}
        stand.wait(lambda: all(any(subject in mail for mail in mailbox.mails) for subject in subjects))
        for mail in mailbox.mails:
            stand.say("  mail: " + next(line for line in mail.splitlines() if line.startswith("Subject: ")))
        missing = [f"no mail says {subject!r}" for subject in subjects if not any(subject in mail for mail in mailbox.mails)]
        return missing if low else ["nothing ran low: let the shop run longer"]
    finally:
        server.stop()


def show_marketing(stand: Stand, shop: Shop) -> list[str]:
    """Sort customers into segments."""
    file = stand.folder / "segments.sqlite"
    stand.program("marketing", marketing.EVENT_TYPES, DATABASE=str(file), ABANDONED_AFTER_S=str(ABANDONED_AFTER_S))
    events = _of(stand.published(stand.open_shop(shop.rate, shop.for_s, shop.seed)), marketing.EVENT_TYPES)
    own = {event.data["cart"]["id"] for event in events if "cart" in event.data} | {str(event.data.get("email")) for event in events}
    wanted, found = segments(events), set[tuple[str, str]]()

    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as now:

        def as_wanted() -> bool:
            found.clear()
            found.update(row for row in now.execute("SELECT segment, coalesce(cart_id, email) FROM segments") if row[1] in own)
            return wanted == found

        time.sleep(ABANDONED_AFTER_S)
        stand.wait(as_wanted)
    for segment, count in sorted(Counter(segment for segment, _ in found).items()):
        stand.say(f"  {segment:24} {count:>5,}")
    return [f"{segment} lacks {who}" for segment, who in wanted - found] + [f"{segment} has {who}" for segment, who in found - wanted]


def segments(events: Iterable[Event]) -> set[tuple[str, str]]:
    """Return (segment, e-mail or cart) as it should be once all carts have been left alone long enough."""
    states, carts, ordered = dict[str, str](), dict[str, dict[str, Any]](), set[str]()
    for event in events:  # the shop's order, which deliveries need not keep
        if event.type == "newsletter.signed_up":
            states[event.data["email"]] = event.data["consent"]["state"]
        elif event.type == "order.created":
            ordered.add(event.data["order"]["cart_id"])
        else:
            carts[event.data["cart"]["id"]] = event.data["cart"]
    left = {i for i, cart in carts.items() if i not in ordered and cart["lines"] and (cart["customer"] or {}).get("accepts_marketing")}
    names = {"SUBSCRIBED": "newsletter", "PENDING_CONFIRMATION": "newsletter-unconfirmed"}
    return {(names[state], email) for email, state in states.items() if state in names} | {("abandoned-cart", i) for i in left}


def show_slack(stand: Stand, shop: Shop) -> list[str]:
    """Tell a channel of every order, by a template alone, with a Slack that says "too many" now and then."""
    with SlackStandIn(busy_every=5 if stand.own else 0) as channel:
        for text in slack.tried(stand.ask):
            stand.say(f"  tried before it is saved: {text}")
        stand.made(slack.webhook(channel.url))
        orders = _of(stand.published(stand.open_shop(shop.rate, shop.for_s, shop.seed)), slack.EVENT_TYPES)
        wanted = {_titled(event.data["order"]) for event in orders}
        stand.wait(lambda: wanted <= {message["text"] for message in channel.messages})
        for message in channel.messages[:3]:
            stand.say(f"  {message['text']}: " + message["blocks"][1]["text"]["text"].replace("\n", ", "))
        stand.say(
            f"{len(channel.messages):,} messages taken, {channel.asked_to_wait:,} times asked to wait, {len(channel.refused):,} refused"
        )
        told = Counter(message["text"] for message in channel.messages)
        wrong = [f"no message says {text!r}" for text in wanted - told.keys()] + [f"Slack refused a message: {w}" for w in channel.refused]
        return wrong + [f"{count} messages say {text!r}" for text, count in told.items() if count > 1]


def _titled(order: Mapping[str, Any]) -> str:
    """Return what the message of an order is to say, worked out without the template."""
    total = order["totals"]["grand_total"]
    return f"Order {order['number']}: {total['amount_minor'] / 100:.2f} {total['currency']}"


def show_dashboard(stand: Stand, shop: Shop) -> list[str]:
    """Show a shop at work in the browser."""
    url = stand.program("dashboard", dashboard.EVENT_TYPES)
    stand.say(f"open {url}/ in a browser")
    events = _of(stand.published(stand.open_shop(shop.rate, shop.for_s, shop.seed)), dashboard.EVENT_TYPES)
    orders = {event.data["order"]["id"]: event.data["order"] for event in events if event.type == "order.created"}
    stand.wait(lambda: int(_state(url)["orders"]) >= len(orders))
    state = _state(url)
    stand.say(f"  {state['orders']:,} orders, {state['paid']:,} paid, revenue {state['revenue']} in minor units")
    stand.say("  " + " → ".join(f"{step} {count:,}" for step, count in state["funnel"].items()))
    waits_s = pushed(stand, url, 20)
    stand.say(f"  {len(waits_s)} more orders, one by one: each on the page within {max(waits_s) * 1000:,.0f} ms of its 202")
    revenue = sum(order["totals"]["grand_total"]["amount_minor"] for order in orders.values())
    wrong = [] if sum(state["revenue"].values()) == revenue else [f"the page's revenue is {state['revenue']}, the shop's {revenue}"]
    return wrong if max(waits_s) <= _SLOWEST_S else [*wrong, f"an order was on the page only after {max(waits_s):.2f} s"]


def pushed(stand: Stand, url: str, count: int) -> list[float]:
    """Publish orders one by one; return the seconds that each took from its confirmation to the page's stream."""
    with urllib.request.urlopen(f"{url}/stream", timeout=_STREAM_TIMEOUT_S) as stream:  # noqa: S310  # the program's own address
        return [_pushed(stand, stream, f"ord_live_{number}") for number in range(count)]


def _pushed(stand: Stand, stream: Iterable[bytes], order_id: str) -> float:
    order = EVENT_TYPES["order.created"].example["order"] | {"id": order_id}
    stand.ask("POST", "/events", {"type": "order.created", "data": {"order": order}})
    confirmed_at = time.monotonic()
    next(line for line in stream if line.startswith(b"data: ") and order_id.encode() in line)
    return time.monotonic() - confirmed_at


def _state(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/state") as answer:  # noqa: S310  # the program's own address
        found: dict[str, Any] = json.load(answer)
        return found


def _of(events: Iterable[Event], types: Iterable[str]) -> list[Event]:
    return [event for event in events if event.type in set(types)]


ACTS: Final[dict[str, Act]] = {
    "erp": show_erp,
    "low-stock": show_low_stock,
    "marketing": show_marketing,
    "slack": show_slack,
    "dashboard": show_dashboard,
}
