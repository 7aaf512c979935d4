"""A visitor's cart: lines, coupon, shipping, and what an event tells of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from hookline.producers.demo_store.countries import HOME, Country
from hookline.producers.demo_store.goods import SHOP_URL, Variant
from hookline.producers.demo_store.people import Person
from hookline.producers.demo_store.prices import Coupon, Data, DiscountKind, Item, Priced, price

FREE_FROM: Final = 7_500
WELCOME: Final = Coupon("WELCOME5", "Welcome", DiscountKind.FIXED_AMOUNT, 500, 3_000)
COUPONS: Final = (
    Coupon("SPRING10", "Spring sale", DiscountKind.PERCENTAGE, 10, 2_000),
    Coupon("FRIENDS15", "Friends and family", DiscountKind.PERCENTAGE, 15, 5_000),
    Coupon("SHIPSFREE", "Free shipping", DiscountKind.FREE_SHIPPING, 0, 2_500),
    WELCOME,
)


@dataclass(slots=True, eq=False)
class CartLine:
    """One line; its price is the one of the moment when it was put in."""

    line_id: str
    variant: Variant
    unit_price: int
    quantity: int
    attributes: dict[str, str]

    def item(self) -> Item:
        """Return what prices need to know."""
        variant = self.variant
        facts = variant.facts | {"line_id": self.line_id, "attributes": self.attributes}
        return Item(self.unit_price, self.quantity, variant.product.reduced_tax, facts)


@dataclass(slots=True, kw_only=True, eq=False)
class Cart:
    """A cart; `shipping` is None until a way of shipping is chosen, until then the cheapest is assumed."""

    id: str
    visitor_id: str
    created_at: datetime
    person: Person | None = None
    country: Country = HOME
    coupon: Coupon | None = None
    shipping: int | None = None
    lines: list[CartLine] = field(default_factory=list)
    updated_at: datetime = field(init=False)
    _numbered: int = field(default=0, init=False)
    _priced: Priced | None = field(default=None, init=False)
    _data: Data | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.updated_at = self.created_at

    def add(self, variant: Variant, quantity: int, attributes: dict[str, str], now: datetime) -> int:
        """Put something in and return the index of its line: the one there was, or a new one."""
        self.touch(now)
        for index, line in enumerate(self.lines):
            if line.variant is variant:
                line.quantity += quantity
                return index
        self._numbered += 1
        self.lines.append(CartLine(f"line_{self._numbered}", variant, variant.price, quantity, attributes))
        return len(self.lines) - 1

    def touch(self, now: datetime) -> None:
        """Note that something has changed."""
        self.updated_at = now
        self._priced = self._data = None

    @property
    def subtotal(self) -> int:
        """What the lines cost before discounts and shipping."""
        return sum(line.unit_price * line.quantity for line in self.lines)

    @property
    def standard_shipping(self) -> int:
        """What standard shipping costs."""
        return 0 if self.subtotal >= FREE_FROM or not self.lines else self.country.shipping_minor

    def priced(self) -> Priced:
        """Return lines and sums."""
        if self._priced is None:
            shipping = self.standard_shipping if self.shipping is None else self.shipping
            self._priced = price([line.item() for line in self.lines], self.coupon, shipping, self.country)
        return self._priced

    def data(self) -> Data:
        """Return the cart as an event tells it; unchanged carts share one object."""
        if self._data is None:
            priced = self.priced()
            self._data = {
                "id": self.id,
                "customer": self.person.ref if self.person is not None else None,
                "visitor_id": self.visitor_id,
                "lines": priced.lines,
                "discounts": priced.discounts,
                "totals": priced.totals,
                "created_at": self.created_at,
                "updated_at": self.updated_at,
                "recovery_url": f"{SHOP_URL}/carts/{self.id}" if self.lines else None,
            }
        return self._data
