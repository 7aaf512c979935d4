"""Visits: filling a cart, changing one's mind, and the checkout funnel, where most leave before its end."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hookline.producers.demo_store.carts import COUPONS, WELCOME, Cart, CartLine
from hookline.producers.demo_store.countries import CODES, COURIER_TOWN, HOME
from hookline.producers.demo_store.orders import COURIER_UNTIL_H, SAME_DAY, Choice, approve, live, payment_method, place
from hookline.producers.demo_store.people import Person, consent
from hookline.producers.demo_store.prices import Data, money
from hookline.producers.demo_store.shop import MINUTE_S, Process, Shop

# Shares of visitors, after the published averages of online shops: seven or eight carts of ten are abandoned.
_KNOWN: Final = 0.35
_NEWSLETTER: Final = 0.08
_CONFIRMS: Final = 0.7
_ACCOUNT_ONLY: Final = 0.03
_ONE_MORE: Final = 0.45
_CHANGES: Final = 0.3
_TWO: Final = 0.2
_GIFT: Final = 0.1
_TYPES_COUPON: Final = 0.4
_DROPS_COUPON: Final = 0.2
_OTHER_QUANTITY: Final = 0.6
_WISHES_MAIL: Final = 0.4
_FASTEST: Final = 0.5
_CHECKS_OUT: Final = 0.5
_ENROLS: Final = 0.3
_STAYS: Final = {"CART": 0.8, "ADDRESS": 0.86, "SHIPPING": 0.9, "APPROVAL": 0.9}
_NO_FACTS: Final[Data] = {"line_id": None, "previous_quantity": None, "quantity": None, "discount_code": None}
_DEVICES: Final = ("PHONE", "PHONE", "PHONE", "DESKTOP", "DESKTOP", "TABLET")
_REFERRERS: Final = (None, None, "https://search.example.com/", "https://search.example.com/", "https://social.example.net/")
_CAMPAIGNS: Final[tuple[dict[str, str], ...]] = (
    {},
    {},
    {},
    {"source": "newsletter", "campaign": "spring"},
    {"source": "social", "medium": "paid", "campaign": "new-knitwear"},
)


@dataclass(slots=True, kw_only=True, eq=False)
class Trip:
    """One visitor's way: who it is, as far as known, the cart and the checkout session."""

    visitor_id: str
    person: Person | None
    device: str
    referrer: str | None
    utm: dict[str, str]
    cart: Cart
    session_id: str = ""
    started_at: datetime | None = None
    steps: int = 0
    waited_s: float = 0.0

    def session(self, step: str) -> Data:
        """Return the checkout session at a step; call it once per step."""
        self.steps += 1
        return {
            "id": self.session_id,
            "cart_id": self.cart.id,
            "visitor_id": self.visitor_id,
            "customer": self.person.ref if self.person is not None else None,
            "step": step,
            "step_number": self.steps,
            "started_at": self.started_at,
            "seconds_in_step": int(self.waited_s),
            "device": self.device,
            "referrer": self.referrer,
            "utm": self.utm,
        }


def visit(shop: Shop) -> Process:
    """One visit, from its first click to an abandoned cart or an order."""
    trip = _arrive(shop)
    if shop.chance(_NEWSLETTER):
        shop.start(_newsletter(shop, trip.person))
    if trip.person is None and shop.chance(_ACCOUNT_ONLY):
        _enrol(shop, shop.people.stranger(), "account page")
        return
    yield shop.within(5, 3 * MINUTE_S)
    trip.cart.created_at = shop.now()
    yield from _fill(shop, trip)
    if trip.cart.lines and shop.chance(_CHECKS_OUT):
        yield from _check_out(shop, trip)


def _arrive(shop: Shop) -> Trip:
    rng = shop.rng
    visitor_id = shop.new_id("vis")
    person = shop.people.known() if shop.chance(_KNOWN) else None
    return Trip(
        visitor_id=visitor_id,
        person=person,
        device=rng.choice(_DEVICES),
        referrer=rng.choice(_REFERRERS),
        utm=rng.choice(_CAMPAIGNS),
        cart=Cart(id=shop.new_id("cart"), visitor_id=visitor_id, created_at=shop.now(), person=person),
    )


# ---- the cart ----


def _fill(shop: Shop, trip: Trip) -> Process:
    while True:
        _add(shop, trip)
        yield shop.within(10, 4 * MINUTE_S)
        if trip.cart.lines and shop.chance(_CHANGES):
            _change(shop, trip.cart)
            yield shop.within(5, MINUTE_S)
        if not shop.chance(_ONE_MORE):
            return


def _add(shop: Shop, trip: Trip) -> None:
    variant = shop.shelf.pick()
    if variant is None:
        return
    quantity = 2 if variant.available > 1 and shop.chance(_TWO) else 1
    attributes = {"gift_wrap": "yes"} if shop.chance(_GIFT) else {}
    index = trip.cart.add(variant, quantity, attributes, shop.now())
    data = trip.cart.data()
    shop.tell("cart.item_added", {"cart": data, "line": data["lines"][index], "page_url": variant.product.url})


def _change(shop: Shop, cart: Cart) -> None:
    """Change one's mind: a coupon typed in or taken out, another quantity, a line removed."""
    line = shop.rng.choice(cart.lines)
    if cart.coupon is None and shop.chance(_TYPES_COUPON):
        cart.coupon = shop.rng.choice(COUPONS)
        _update(shop, cart, "DISCOUNT_APPLIED", discount_code=cart.coupon.code)
    elif cart.coupon is not None and shop.chance(_DROPS_COUPON):
        code, cart.coupon = cart.coupon.code, None
        _update(shop, cart, "DISCOUNT_REMOVED", discount_code=code)
    elif shop.chance(_OTHER_QUANTITY):
        _set_quantity(shop, cart, line, line.quantity % 3 + 1)
    else:
        _set_quantity(shop, cart, line, 0)


def _set_quantity(shop: Shop, cart: Cart, line: CartLine, quantity: int) -> None:
    """Change how many pieces a line has; 0 removes it."""
    before, line.quantity = line.quantity, quantity
    if not quantity:
        cart.lines.remove(line)
    change = "QUANTITY_CHANGED" if quantity else "ITEM_REMOVED" if cart.lines else "CLEARED"
    _update(shop, cart, change, line_id=line.line_id, previous_quantity=before, quantity=quantity)


def _update(shop: Shop, cart: Cart, change: str, **facts: str | int) -> None:
    cart.touch(shop.now())
    shop.tell("cart.updated", {"cart": cart.data(), "change": change, **_NO_FACTS, **facts})


# ---- the checkout ----


def _check_out(shop: Shop, trip: Trip) -> Process:
    trip.session_id, trip.started_at = shop.new_id("chk"), shop.now()
    shop.tell("checkout.cart_viewed", {"session": trip.session("CART"), "cart": trip.cart.data()})
    if not (yield from _stays(shop, trip, "CART")):
        return
    _view_address(shop, trip)
    if not (yield from _stays(shop, trip, "ADDRESS")):
        return
    person = _introduced(shop, trip)
    choice = _view_shipping(shop, trip, person)
    if not (yield from _stays(shop, trip, "SHIPPING")):
        return
    _view_approval(shop, trip, choice)
    if (yield from _stays(shop, trip, "APPROVAL")):
        yield from _order(shop, trip, choice)


def _stays(shop: Shop, trip: Trip, step: str) -> Generator[float, None, bool]:
    """Linger at a step; return whether the visitor goes on to the next."""
    if not shop.chance(_STAYS[step]):
        return False
    trip.waited_s = shop.within(5, 90)
    yield trip.waited_s
    return True


def _view_address(shop: Shop, trip: Trip) -> None:
    known = [trip.person.address] if trip.person is not None else []
    shop.tell(
        "checkout.address_viewed",
        {"session": trip.session("ADDRESS"), "cart": trip.cart.data(), "countries_offered": CODES, "known_addresses": known},
    )


def _introduced(shop: Shop, trip: Trip) -> Person:
    """Fill in the address form: from here on the shop knows who buys, and what the taxes of that country are."""
    person = trip.person
    if person is None:
        person = shop.people.stranger()
        if shop.chance(_ENROLS):
            _enrol(shop, person, "checkout")
    trip.person = trip.cart.person = person
    trip.cart.country = person.country
    trip.cart.touch(shop.now())
    return person


def _view_shipping(shop: Shop, trip: Trip, person: Person) -> Choice:
    """Show the ways to ship; return what the visitor chooses."""
    options = _options(shop, trip.cart, person)
    shop.tell(
        "checkout.shipping_viewed",
        {"session": trip.session("SHIPPING"), "cart": trip.cart.data(), "shipping_address": person.address, "options": options},
    )
    shipping = options[-1] if shop.chance(_FASTEST) else shop.rng.choice(options)
    trip.cart.shipping = shipping["price"]["amount_minor"]
    trip.cart.touch(shop.now())
    return Choice(person, shipping, payment_method(shop, person))


def _options(shop: Shop, cart: Cart, person: Person) -> list[Data]:
    """Return the ways to ship: standard and express, in town the courier who comes the same day."""
    abroad = cart.country is not HOME
    found = [_option(shop, "standard", "DHL", cart.standard_shipping, 4 if abroad else 2)]
    if not abroad:
        found.append(
            _option(shop, "pick-up", "DHL", min(390, cart.standard_shipping), 2)
            | {"pickup_point_id": f"locker-{person.address['postal_code']}"}
        )
        found.append(_option(shop, "express", "DHL", 1_290, 1))
    if person.town == COURIER_TOWN and shop.hour < COURIER_UNTIL_H:
        found.append(_option(shop, SAME_DAY, "Kiezkurier", 990, 0))
    return found


def _option(shop: Shop, method: str, carrier: str, minor: int, days: int) -> Data:
    day = (shop.now() + timedelta(days=days)).date()
    found: Data = {"method": method, "carrier": carrier, "price": money(minor), "estimated_delivery": day}
    return found | {"tracking_number": None, "tracking_url": None, "pickup_point_id": None}


def _view_approval(shop: Shop, trip: Trip, choice: Choice) -> None:
    shop.tell(
        "checkout.approval_viewed",
        {
            "session": trip.session("APPROVAL"),
            "cart": trip.cart.data(),
            "billing_address": choice.person.address,
            "shipping_address": choice.person.address,
            "shipping": choice.shipping,
            "payment_method": choice.method,
            "terms_accepted": False,
        },
    )


def _order(shop: Shop, trip: Trip, choice: Choice) -> Process:
    """Click on "buy": unless somebody else has bought the last piece, an order comes to life."""
    for line in list(trip.cart.lines):
        _keep_to_stock(shop, trip.cart, line)
    if not trip.cart.lines:
        return
    order = place(shop, trip.cart, choice, trip.device)
    session = trip.session("THANK_YOU")
    approve(shop, order, session)
    first = choice.person.orders == 0
    choice.person.orders += 1
    shop.start(live(shop, order))
    yield shop.within(1, 3)
    shop.tell(
        "checkout.thank_you_viewed",
        {"session": session, "order_id": order.id, "order_number": order.number, "totals": order.priced.totals, "first_order": first},
    )


def _keep_to_stock(shop: Shop, cart: Cart, line: CartLine) -> None:
    left = line.variant.available if line.variant.sellable else 0
    if line.quantity > left:
        _set_quantity(shop, cart, line, left)


# ---- accounts and newsletter ----


def _enrol(shop: Shop, person: Person, source: str) -> None:
    """Open an account, with or without a wish for the newsletter."""
    wishes = shop.chance(_WISHES_MAIL)
    person.enrol(shop.new_id("cust"), accepts_marketing=wishes)
    ip = shop.people.ip()
    consents = [consent("PENDING_CONFIRMATION", None, source, ip)] if wishes else []
    shop.tell("customer.created", {"customer": shop.people.account(person, consents, shop.now())})
    shop.people.remember(person)


def _newsletter(shop: Shop, person: Person | None) -> Process:
    """Sign up; most confirm the e-mail they get, and then have a coupon."""
    person = person or shop.people.stranger()
    ip = shop.people.ip()
    _sign_up(shop, person, consent("PENDING_CONFIRMATION", None, "footer form", ip), None)
    yield shop.within(30, 30 * MINUTE_S)
    if shop.chance(_CONFIRMS):
        _sign_up(shop, person, consent("SUBSCRIBED", shop.now(), "footer form", ip), WELCOME.code)


def _sign_up(shop: Shop, person: Person, given: Data, coupon_code: str | None) -> None:
    shop.tell(
        "newsletter.signed_up",
        {
            "email": person.email,
            "customer_id": person.id,
            "first_name": person.first_name,
            "locale": person.country.locale,
            "consent": given,
            "lists": ["weekly"],
            "coupon_code": coupon_code,
        },
    )
