"""What things cost: discounts, tax that is included in the price, sums. Pure integers in minor units, never floats.

The rules, each of which the tests add up again: a line's total = unit price * quantity - its discounts · an order's
discount = its lines' discounts + free shipping · grand total = subtotal - discount + shipping · tax = its lines' taxes
+ the tax in the shipping that is paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

from hookline.producers.demo_store.countries import Country

Data: TypeAlias = dict[str, Any]
CURRENCY: Final = "EUR"
_WHOLE_BP: Final = 10_000


class DiscountKind(StrEnum):
    """How a discount counts."""

    PERCENTAGE = "PERCENTAGE"
    FIXED_AMOUNT = "FIXED_AMOUNT"
    FREE_SHIPPING = "FREE_SHIPPING"


@dataclass(frozen=True, slots=True, eq=False)  # compared and hashed as the one object it is
class Coupon:
    """A code that customers type; `value` is in percent or in minor units, `minimum` the smallest subtotal."""

    code: str
    title: str
    kind: DiscountKind
    value: int
    minimum: int


@dataclass(frozen=True, slots=True)
class Item:
    """What prices need to know of a line; `facts` are its other fields, ready for the event."""

    unit_price: int
    quantity: int
    reduced_tax: bool
    facts: Data


@dataclass(frozen=True, slots=True)
class Priced:
    """The priced lines and sums of a cart or an order, ready for the event."""

    lines: list[Data]
    discounts: list[Data]
    taxes: list[Data]
    totals: Data
    grand_total: int


@lru_cache(maxsize=65_536)
def money(minor: int) -> Data:
    """Return an amount for an event; equal amounts share one object, so nobody may change it."""
    return {"amount_minor": minor, "currency": CURRENCY}


def tax_within(gross: int, rate_bp: int) -> int:
    """Return the tax that a gross price includes, rounded half up."""
    whole = _WHOLE_BP + rate_bp
    return (2 * gross * rate_bp + whole) // (2 * whole)


def price(items: Sequence[Item], coupon: Coupon | None, shipping: int, country: Country) -> Priced:
    """Price a cart; a coupon whose minimum is not reached counts as none."""
    subtotal = sum(item.unit_price * item.quantity for item in items)
    coupon = coupon if coupon is not None and subtotal >= coupon.minimum else None
    cuts = _cuts(items, coupon, subtotal)
    free = shipping if coupon is not None and coupon.kind is DiscountKind.FREE_SHIPPING else 0
    lines, taxes = _lines(items, cuts, coupon, country)
    if shipping > free:
        taxes[country.standard_bp] = taxes.get(country.standard_bp, 0) + tax_within(shipping - free, country.standard_bp)
    cut = sum(cuts) + free
    return Priced(
        lines=lines,
        discounts=[_discount(coupon, cut)] if coupon is not None and cut else [],
        taxes=[tax_line(country, rate, amount) for rate, amount in taxes.items()],
        totals=_totals(subtotal, cut, shipping, sum(taxes.values())),
        grand_total=subtotal - cut + shipping,
    )


def _lines(items: Sequence[Item], cuts: Sequence[int], coupon: Coupon | None, country: Country) -> tuple[list[Data], dict[int, int]]:
    """Return the lines and, by rate, the sum of their taxes."""
    lines: list[Data] = []
    taxes: dict[int, int] = {}
    for item, cut in zip(items, cuts, strict=True):
        total = item.unit_price * item.quantity - cut
        rate = country.reduced_bp if item.reduced_tax else country.standard_bp
        tax = tax_within(total, rate)
        taxes[rate] = taxes.get(rate, 0) + tax
        lines.append(
            item.facts
            | {
                "quantity": item.quantity,
                "unit_price": money(item.unit_price),
                "discounts": [_discount(coupon, cut)] if coupon is not None and cut else [],
                "taxes": [tax_line(country, rate, tax)],
                "total": money(total),
            }
        )
    return lines, taxes


def _cuts(items: Sequence[Item], coupon: Coupon | None, subtotal: int) -> list[int]:
    """Return each line's discount; a fixed amount is shared by worth, the last line takes the rounding."""
    if coupon is None or coupon.kind is DiscountKind.FREE_SHIPPING:
        return [0] * len(items)
    worths = [item.unit_price * item.quantity for item in items]
    if coupon.kind is DiscountKind.PERCENTAGE:
        return [worth * coupon.value // 100 for worth in worths]
    shares = [worth * coupon.value // subtotal for worth in worths[:-1]]
    return [*shares, coupon.value - sum(shares)]


@lru_cache(maxsize=16_384)
def _discount(coupon: Coupon, amount: int) -> Data:
    return {"code": coupon.code, "title": coupon.title, "kind": coupon.kind.value, "amount": money(amount)}


@lru_cache(maxsize=65_536)
def tax_line(country: Country, rate_bp: int, amount: int) -> Data:
    """Return a tax for an event."""
    return {"title": _tax_title(country.tax, rate_bp), "rate_basis_points": rate_bp, "amount": money(amount)}


@cache
def _tax_title(name: str, rate_bp: int) -> str:
    percent = f"{rate_bp / 100:g}".replace(".", ",")
    return f"{name} {percent} %"


def _totals(subtotal: int, discount: int, shipping: int, tax: int) -> Data:
    return {
        "subtotal": money(subtotal),
        "discount": money(discount),
        "shipping": money(shipping),
        "tax": money(tax),
        "grand_total": money(subtotal - discount + shipping),
    }
