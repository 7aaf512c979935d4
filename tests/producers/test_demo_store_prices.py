"""Prices: integers that add up, whatever is bought, with whatever coupon, wherever it goes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.producers.demo_store.carts import COUPONS
from hookline.producers.demo_store.countries import COUNTRIES, Country
from hookline.producers.demo_store.prices import Coupon, Item, price, tax_within

pytestmark = pytest.mark.unit

items = st.lists(st.builds(Item, st.integers(500, 50_000), st.integers(1, 5), st.booleans(), st.just({})), min_size=1, max_size=6)


def minor(money: dict[str, Any]) -> int:
    """Return an amount."""
    return int(money["amount_minor"])


@given(items, st.none() | st.sampled_from(COUPONS), st.sampled_from([0, 490, 1290]), st.sampled_from(COUNTRIES))
def test_everything_adds_up(bought: list[Item], coupon: Coupon | None, shipping: int, country: Country) -> None:
    """Lines, discounts, taxes and totals agree, and nothing becomes negative."""
    priced = price(bought, coupon, shipping, country)
    totals = {name: minor(money) for name, money in priced.totals.items()}
    lines = sum(minor(line["total"]) for line in priced.lines)
    free = sum(minor(cut["amount"]) for cut in priced.discounts if cut["kind"] == "FREE_SHIPPING")
    assert totals["subtotal"] == sum(item.unit_price * item.quantity for item in bought)
    assert totals["grand_total"] == priced.grand_total == lines + shipping - free
    assert totals["grand_total"] == totals["subtotal"] - totals["discount"] + totals["shipping"]
    assert totals["tax"] == sum(minor(tax["amount"]) for tax in priced.taxes)
    assert all(minor(line["total"]) >= 0 for line in priced.lines)
    assert 0 < totals["tax"] < totals["grand_total"]


@given(st.integers(0, 10**9), st.integers(0, 10_000))
def test_the_tax_in_a_price_is_rounded_half_up(gross: int, rate_bp: int) -> None:
    """The tax within a gross price is off the exact share by half a unit at most, and exact halves go up."""
    whole = 10_000 + rate_bp
    rest = 2 * (gross * rate_bp - tax_within(gross, rate_bp) * whole)
    assert -whole <= rest < whole


def test_the_published_example() -> None:
    """98.00 less 10 % and 20.00 less 10 % with 4.90 shipping in Germany are the sums of the catalogue's examples."""
    spring = next(coupon for coupon in COUPONS if coupon.code == "SPRING10")
    priced = price([Item(4_900, 2, False, {}), Item(2_000, 1, False, {})], spring, 490, COUNTRIES[0])
    assert {name: minor(money) for name, money in priced.totals.items()} == {
        "subtotal": 11_800,
        "discount": 1_180,
        "shipping": 490,
        "tax": 1_773,
        "grand_total": 11_110,
    }


def test_a_coupon_below_its_minimum_counts_for_nothing() -> None:
    """Under the minimum there is no discount at all."""
    welcome = next(coupon for coupon in COUPONS if coupon.code == "WELCOME5")
    priced = price([Item(welcome.minimum - 1, 1, False, {})], welcome, 490, COUNTRIES[0])
    assert priced.discounts == []
    assert minor(priced.totals["discount"]) == 0
