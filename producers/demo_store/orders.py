"""An order's life: placed, paid (some payments fail and are tried again), packed, shipped, delivered, sometimes sent back."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from hookline.producers.demo_store.carts import Cart, CartLine
from hookline.producers.demo_store.countries import HOME
from hookline.producers.demo_store.people import Person
from hookline.producers.demo_store.prices import Data, Priced, money
from hookline.producers.demo_store.shop import DAY_S, HOUR_S, MINUTE_S, Process, Shop

SAME_DAY: Final = "same-day"
COURIER_UNTIL_H: Final = 18.0
_TERMS: Final = "2026-01"
_OPEN_H: Final = 7.0
_CLOSED_H: Final = 20.0
_PICK_UP_H: Final = 17.5
_METHODS: Final = ("CARD", "CARD", "CARD", "PAYPAL", "PAYPAL", "KLARNA", "SEPA", "APPLE_PAY", "GOOGLE_PAY")
_PROVIDERS: Final = {"PAYPAL": "paypal", "KLARNA": "klarna", "SEPA": "examplebank", "INVOICE": "own", "GIFT_CARD": "own"}
_BRANDS: Final = ("visa", "mastercard")
_FAILS: Final = 0.07
_PAYS_LATER: Final = 0.75
_TRIES: Final = 2
_GIFT_CARD: Final = 0.04
_GIFT_CARDS: Final = (1_000, 2_500, 5_000)
_INVOICE: Final = 0.12
_CANCELS: Final = 0.02
_RETURNS_AT_ONCE: Final = 0.5
_RETURNS: Final = 0.18
_SENDS_ALL: Final = 0.4
_APP: Final = 0.2
_NOTES: Final = (
    *(None,) * 12,
    "Please ring twice.",
    "Leave it with the neighbours, please.",
    "A present: no invoice in the parcel, please.",
)
_FAILURES: Final = ("card declined", "insufficient funds", "3-D Secure not completed", "direct debit returned")
_FIT: Final = ("TOO_SMALL", "TOO_LARGE", "TOO_SMALL", "TOO_LARGE", "NOT_AS_DESCRIBED", "CHANGED_MIND")
_OTHER: Final = ("DEFECTIVE", "WRONG_ITEM", "NOT_AS_DESCRIBED", "CHANGED_MIND", "ARRIVED_LATE", "OTHER")
_REMARKS: Final = {"TOO_SMALL": "Runs small.", "DEFECTIVE": "Came broken.", "WRONG_ITEM": "I had ordered another one."}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a visitor has decided in the checkout: who pays, how it is shipped, how it is paid."""

    person: Person
    shipping: Data
    method: str


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """An order; `lines` are those of the cart it came from, `status` is the last one that was told."""

    id: str
    number: str
    created_at: datetime
    person: Person
    lines: list[CartLine]
    priced: Priced
    payment: Data
    shipping: Data
    status: str
    facts: Data

    def data(self) -> Data:
        """Return the order as an event tells it."""
        return {
            "id": self.id,
            "number": self.number,
            "status": self.status,
            "created_at": self.created_at,
            "lines": self.priced.lines,
            "discounts": self.priced.discounts,
            "taxes": self.priced.taxes,
            "totals": self.priced.totals,
            "billing_address": self.person.address,
            "shipping_address": self.person.address,
            "payment": self.payment,
            "shipping": self.shipping,
            **self.facts,
        }


def payment_method(shop: Shop, person: Person) -> str:
    """Return how somebody wants to pay; on invoice only customers with an account."""
    if person.id is not None and shop.chance(_INVOICE):
        return "INVOICE"
    return shop.rng.choice(_METHODS)


# ---- placed ----


def place(shop: Shop, cart: Cart, choice: Choice, device: str) -> Order:
    """Make an order of a cart whose lines are in stock, tell it, and take its goods off the shelf."""
    priced, person = cart.priced(), choice.person
    order = Order(
        id=shop.new_id("ord"),
        number=shop.number("order"),
        created_at=shop.now(),
        person=person,
        lines=list(cart.lines),
        priced=priced,
        payment=_payment(shop, choice.method, "PENDING", priced.grand_total),
        shipping=choice.shipping,
        status="PENDING",
        facts={
            "customer": person.ref,
            "note": shop.rng.choice(_NOTES),
            "tags": ["returning"] if person.orders else ["first-order"],
            "source": "MOBILE_APP" if device == "PHONE" and shop.chance(_APP) else "WEB",
            "cart_id": cart.id,
            "prices_include_tax": True,
        },
    )
    shop.tell("order.created", {"order": order.data()})
    for line in order.lines:
        line.variant.reserved += line.quantity
        shop.move_stock(line.variant, -line.quantity, "SALE", order.id)
    return order


def approve(shop: Shop, order: Order, session: Data) -> None:
    """Note that the customer has approved the order at the end of the checkout."""
    order.payment = order.payment | {"status": "PENDING" if _is_slow(order) else "AUTHORISED"}
    approved = order.data() | {"status": "APPROVED"}
    shop.tell("order.approved", {"order": approved, "session": session, "terms_version": _TERMS, "approved_at": shop.now()})
    _turn(shop, order, "APPROVED", "customer")


def _payment(shop: Shop, method: str, status: str, minor: int) -> Data:
    card = method in {"CARD", "APPLE_PAY", "GOOGLE_PAY"}
    return {
        "method": method,
        "status": status,
        "provider": _PROVIDERS.get(method, "examplepay"),
        "transaction_id": shop.new_id("txn"),
        "card_brand": shop.rng.choice(_BRANDS) if card else None,
        "card_last4": f"{shop.rng.randrange(10_000):04d}" if card else None,
        "amount": money(minor),
    }


def _is_slow(order: Order) -> bool:
    return order.payment["method"] in {"SEPA", "INVOICE"}


def _turn(shop: Shop, order: Order, status: str, by: str, comment: str | None = None) -> None:
    """Give an order another status and tell it."""
    before, order.status = order.status, status
    shop.tell(
        "order.status_changed",
        {
            "order_id": order.id,
            "order_number": order.number,
            "previous_status": before,
            "status": status,
            "changed_at": shop.now(),
            "changed_by": by,
            "comment": comment,
            "customer": order.facts["customer"],
            "shipping": order.shipping,
            "totals": order.priced.totals,
        },
    )


# ---- its life ----


def live(shop: Shop, order: Order) -> Process:
    """Everything that happens to an order after it was placed."""
    on_invoice = order.payment["method"] == "INVOICE"
    if not on_invoice and not (yield from _pay(shop, order)):
        yield from _cancel(shop, order, "payments", "The payment failed again.")
        return
    if shop.chance(_CANCELS):
        yield shop.within(MINUTE_S, 10 * MINUTE_S)
        yield from _cancel(shop, order, "customer", "Changed my mind, sorry.")
        return
    yield from _ship(shop, order)
    if on_invoice:
        shop.start(_pay_invoice(shop, order))
    quick = order.shipping["method"] == SAME_DAY
    if shop.chance(_RETURNS_AT_ONCE if quick else _RETURNS):
        yield shop.within(40 * MINUTE_S, 3 * HOUR_S) if quick else shop.within(DAY_S / 2, 8 * DAY_S)
        yield from _send_back(shop, order)


def _pay(shop: Shop, order: Order) -> Generator[float, None, bool]:
    """Collect the money; return whether it came, at once or after the customer was asked again."""
    for trial in range(_TRIES):
        yield shop.within(4 * HOUR_S, 20 * HOUR_S) if _is_slow(order) else shop.within(2, 40)
        if not shop.chance(_FAILS if trial == 0 else 1 - _PAYS_LATER):
            yield from _collect(shop, order)
            _turn(shop, order, "PAID", "payments", "Paid at the second try." if trial else None)
            return True
        if trial == 0:
            _turn(shop, order, "PENDING", "payments", f"Payment failed: {shop.rng.choice(_FAILURES)}. The customer was asked to pay again.")
            yield shop.within(2 * MINUTE_S, 40 * MINUTE_S)
            order.payment = _payment(shop, shop.rng.choice(_METHODS), "PENDING", order.priced.grand_total)
    return False


def _collect(shop: Shop, order: Order) -> Process:
    """Tell that the money has come: all of it, or first what a gift card holds and then the rest."""
    owed = order.priced.grand_total
    gift = shop.rng.choice(_GIFT_CARDS)
    if gift < owed and shop.chance(_GIFT_CARD):
        owed -= gift
        _tell_paid(shop, order, _payment(shop, "GIFT_CARD", "PAID", gift), owed)
        yield shop.within(1, 5)
    order.payment = order.payment | {"status": "PAID"}
    _tell_paid(shop, order, order.payment | {"amount": money(owed)}, 0)


def _tell_paid(shop: Shop, order: Order, payment: Data, outstanding: int) -> None:
    shop.tell(
        "order.paid",
        {
            "order_id": order.id,
            "order_number": order.number,
            "payment": payment,
            "paid_at": shop.now(),
            "customer": order.facts["customer"],
            "totals": order.priced.totals,
            "outstanding": money(outstanding),
        },
    )


def _pay_invoice(shop: Shop, order: Order) -> Process:
    yield shop.within(DAY_S, 10 * DAY_S)
    yield from _collect(shop, order)


def _cancel(shop: Shop, order: Order, by: str, comment: str) -> Process:
    yield shop.within(1, MINUTE_S)
    _turn(shop, order, "CANCELLED", by, comment)
    for line in order.lines:
        line.variant.reserved -= line.quantity
        shop.move_stock(line.variant, line.quantity, "CORRECTION", order.id)


def _ship(shop: Shop, order: Order) -> Process:
    """Pack in working hours; the courier leaves at once, the parcel service comes in the afternoon."""
    quick = order.shipping["method"] == SAME_DAY
    yield shop.within(5 * MINUTE_S, 25 * MINUTE_S) if quick else shop.within(20 * MINUTE_S, 3 * HOUR_S)
    if not _OPEN_H <= shop.hour < _CLOSED_H:
        yield shop.until_hour(_OPEN_H) + shop.within(0, HOUR_S)
    _turn(shop, order, "PACKED", "warehouse")
    yield shop.within(5 * MINUTE_S, 20 * MINUTE_S) if quick else shop.until_hour(_PICK_UP_H) + shop.within(0, HOUR_S / 2)
    _hand_over(shop, order)
    yield _travel_s(shop, order)
    _turn(shop, order, "DELIVERED", "carrier")


def _hand_over(shop: Shop, order: Order) -> None:
    number = f"{shop.rng.randrange(10**17):020d}"
    order.shipping = order.shipping | {"tracking_number": number, "tracking_url": f"https://track.example.com/{number}"}
    for line in order.lines:
        line.variant.reserved -= line.quantity
    _turn(shop, order, "SHIPPED", "warehouse")


def _travel_s(shop: Shop, order: Order) -> float:
    method = order.shipping["method"]
    if method == SAME_DAY:
        return shop.within(20 * MINUTE_S, 90 * MINUTE_S)
    nights = 0 if method == "express" else shop.rng.randrange(2)
    abroad = 0 if order.person.country is HOME else 2
    return shop.until_hour(9) + shop.within(0, 8 * HOUR_S) + (nights + abroad) * DAY_S


# ---- sent back ----


def _send_back(shop: Shop, order: Order) -> Process:
    """Announce a return with its reasons; days later the goods are back on the shelf."""
    return_id = shop.new_id("ret")
    lines = _returned(shop, order)
    shop.tell(
        "return.created",
        {
            "return": {
                "id": return_id,
                "order_id": order.id,
                "order_number": order.number,
                "customer": order.facts["customer"],
                "lines": [_return_line(shop, order, line) for line in lines],
                "status": "REQUESTED",
                "refund_total": money(sum(_refund(order, line) for line in lines)),
                "label_url": f"https://returns.example.com/labels/{return_id}.pdf",
                "requested_at": shop.now(),
            }
        },
    )
    yield shop.within(DAY_S, 4 * DAY_S)
    for line in lines:
        shop.move_stock(line.variant, line.quantity, "RETURN", return_id)
    if sum(line.quantity for line in lines) == sum(line.quantity for line in order.lines):
        _turn(shop, order, "RETURNED", "warehouse")


def _returned(shop: Shop, order: Order) -> list[CartLine]:
    """Return what is sent back: everything, or some pieces of one line."""
    if shop.chance(_SENDS_ALL):
        return order.lines
    line = shop.rng.choice(order.lines)
    return [replace(line, quantity=shop.rng.randint(1, line.quantity))]


def _return_line(shop: Shop, order: Order, line: CartLine) -> Data:
    reason = shop.rng.choice(_FIT if line.variant.product.wearable else _OTHER)
    return {
        "line_id": line.line_id,
        "sku": line.variant.sku,
        "product_id": line.variant.product.id,
        "variant_id": line.variant.id,
        "quantity": line.quantity,
        "reason": reason,
        "comment": _REMARKS.get(reason),
        "condition": "DAMAGED" if reason == "DEFECTIVE" else shop.rng.choice(("UNOPENED", "OPENED")),
        "refund": money(_refund(order, line)),
    }


def _refund(order: Order, line: CartLine) -> int:
    """Return what a returned line is worth: its share of what was paid for it."""
    bought, paid = next((b, p) for b, p in zip(order.lines, order.priced.lines, strict=True) if b.line_id == line.line_id)
    return int(paid["total"]["amount_minor"]) * line.quantity // bought.quantity
