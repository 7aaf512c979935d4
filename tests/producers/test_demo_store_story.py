"""The demo store's story: sums that add up, and an order of things that a real shop could have."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from hookline.producers.demo_store.store import DemoStore
from hookline.schemas.events import Event

pytestmark = pytest.mark.unit

START = datetime(2026, 3, 14, 7, tzinfo=UTC)
DAYS = 12
STEPS = ["checkout.cart_viewed", "checkout.address_viewed", "checkout.shipping_viewed", "checkout.approval_viewed"]


@cache
def history() -> tuple[Event, ...]:
    """Return twelve days of one shop: long enough for deliveries abroad, invoices and returns."""
    found = []
    for event in DemoStore(11, START):
        if event.occurred_at >= START + timedelta(days=DAYS):
            break
        found.append(event)
    return tuple(found)


def of(*names: str) -> list[Event]:
    """Return the events of these types in their order."""
    return [event for event in history() if event.type in names]


def minor(money: dict[str, Any]) -> int:
    """Return an amount."""
    return int(money["amount_minor"])


# ---- sums ----


def carts_and_orders() -> Iterator[dict[str, Any]]:
    """Yield everything that has lines and totals."""
    for event in history():
        if "cart" in event.data:
            yield event.data["cart"]
        if "order" in event.data:
            yield event.data["order"]


def test_totals_add_up() -> None:
    """Lines, discounts, shipping and taxes add up to the totals, in every cart and order."""
    seen = Counter[str]()
    for found in carts_and_orders():
        lines, totals = found["lines"], {name: minor(money) for name, money in found["totals"].items()}
        assert totals["subtotal"] == sum(minor(line["unit_price"]) * line["quantity"] for line in lines)
        assert totals["grand_total"] == totals["subtotal"] - totals["discount"] + totals["shipping"]
        assert totals["discount"] == sum(minor(cut["amount"]) for cut in found["discounts"])
        free = sum(minor(cut["amount"]) for cut in found["discounts"] if cut["kind"] == "FREE_SHIPPING")
        assert totals["discount"] - free == sum(minor(cut["amount"]) for line in lines for cut in line["discounts"])
        assert all(line["quantity"] > 0 and minor(line["total"]) > 0 for line in lines)
        seen.update(cut["kind"] for cut in found["discounts"])
    assert set(seen) == {"PERCENTAGE", "FIXED_AMOUNT", "FREE_SHIPPING"}


def test_taxes_are_those_of_the_country_and_add_up() -> None:
    """Each line's tax is its rate's share of its total; the order's taxes are its lines' and the shipping's."""
    countries = set()
    for event in of("order.created"):
        order = event.data["order"]
        country = order["shipping_address"]["country"]
        standard = {"DE": 1900, "AT": 2000, "FR": 2000, "NL": 2100}[country]
        taxes = Counter[int]()
        for line in order["lines"]:
            [tax] = line["taxes"]
            rate = tax["rate_basis_points"]
            assert abs(minor(tax["amount"]) - minor(line["total"]) * rate / (10_000 + rate)) <= 0.5
            taxes[rate] += minor(tax["amount"])
        free = sum(minor(cut["amount"]) for cut in order["discounts"] if cut["kind"] == "FREE_SHIPPING")
        shipped = minor(order["totals"]["shipping"]) - free
        taxes[standard] += round(shipped * standard / (10_000 + standard))
        assert {tax["rate_basis_points"]: minor(tax["amount"]) for tax in order["taxes"]} == {r: t for r, t in taxes.items() if t}
        assert minor(order["totals"]["tax"]) == sum(taxes.values())
        countries.add(country)
    assert countries == {"DE", "AT", "FR", "NL"}


def test_there_is_one_currency() -> None:
    """Every amount anywhere in an event is in the shop's currency."""

    def currencies(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            if "currency" in value:
                yield value["currency"]
            for part in value.values():
                yield from currencies(part)
        elif isinstance(value, list):
            for part in value:
                yield from currencies(part)

    assert {found for event in history()[:8_000] for found in currencies(event.data)} == {"EUR"}


# ---- orders ----


def by_order() -> dict[str, list[Event]]:
    """Return each order's events, whatever they call its id."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in of("order.created", "order.approved", "order.paid", "order.status_changed", "checkout.thank_you_viewed", "return.created"):
        data = event.data.get("return", event.data)
        found[data["order"]["id"] if "order" in data else data["order_id"]].append(event)
    return found


def test_an_order_begins_with_its_creation_and_goes_its_way() -> None:
    """Nothing is told of an order before it was created; each status follows the one told before, on a way that exists."""
    ways = {
        "PENDING": {"APPROVED", "PAID", "CANCELLED"},
        "APPROVED": {"PENDING", "PAID", "PACKED", "CANCELLED"},
        "PAID": {"PACKED", "CANCELLED"},
        "PACKED": {"SHIPPED"},
        "SHIPPED": {"DELIVERED"},
        "DELIVERED": {"RETURNED"},
    }
    reached = Counter[str]()
    for events in by_order().values():
        assert [event.type for event in events][:2] == ["order.created", "order.approved"]
        status = events[0].data["order"]["status"]
        assert status == "PENDING"
        for event in events:
            if event.type == "order.status_changed":
                assert event.data["previous_status"] == status
                assert event.data["status"] in ways[status]
                status = event.data["status"]
        reached[status] += 1
    assert {"DELIVERED", "RETURNED", "CANCELLED", "PACKED"} <= set(reached)
    assert reached["DELIVERED"] > reached["RETURNED"] + reached["CANCELLED"]


def test_payments_come_after_their_order_and_cover_it() -> None:
    """What is paid adds up to the grand total, `outstanding` says what is missing, and no cancelled-unpaid order is paid."""
    methods = Counter[str]()
    for events in by_order().values():
        owed = minor(events[0].data["order"]["totals"]["grand_total"])
        paid = [event for event in events if event.type == "order.paid"]
        for event in paid:
            owed -= minor(event.data["payment"]["amount"])
            assert minor(event.data["outstanding"]) == owed
            methods[event.data["payment"]["method"]] += 1
        assert not paid or owed == 0 or paid[-1] is events[-1]
        statuses = [event.data["status"] for event in events if event.type == "order.status_changed"]
        if "PAID" in statuses:
            before = events[: next(i for i, e in enumerate(events) if e.data.get("status") == "PAID")]
            assert any(event.type == "order.paid" and minor(event.data["outstanding"]) == 0 for event in before)
    assert {"CARD", "PAYPAL", "INVOICE", "SEPA", "GIFT_CARD"} <= set(methods)


def test_some_payments_fail_and_most_of_those_are_made_good() -> None:
    """A failed payment sends the order back to PENDING; it is paid at the second try or cancelled."""
    ends = Counter[str]()
    for events in by_order().values():
        statuses = [event.data["status"] for event in events if event.type == "order.status_changed"]
        if "PENDING" in statuses:
            ends[(*statuses, "")[statuses.index("PENDING") + 1]] += 1
    assert ends["PAID"] > ends["CANCELLED"] > 0
    assert set(ends) <= {"PAID", "CANCELLED", ""}


def test_returns_follow_the_delivery() -> None:
    """Nobody sends back what has not arrived, more pieces than were bought, or for more money than was paid."""
    returned = 0
    for events in by_order().values():
        for index, event in enumerate(events):
            if event.type != "return.created":
                continue
            returned += 1
            assert any(before.data.get("status") == "DELIVERED" for before in events[:index])
            lines = {line["line_id"]: line for line in events[0].data["order"]["lines"]}
            found = event.data["return"]
            assert minor(found["refund_total"]) == sum(minor(line["refund"]) for line in found["lines"])
            for line in found["lines"]:
                assert 1 <= line["quantity"] <= lines[line["line_id"]]["quantity"]
                assert minor(line["refund"]) <= minor(lines[line["line_id"]]["total"])
    assert returned > 20


# ---- the funnel ----


def test_checkouts_go_through_the_funnel_in_order_and_many_end_early() -> None:
    """Each checkout's steps come in their order without gaps; carts are abandoned before it and on every step."""
    sessions: dict[str, list[Event]] = defaultdict(list)
    for event in history():
        if "session" in event.data:
            sessions[event.data["session"]["id"]].append(event)
    lengths = Counter[int]()
    for events in sessions.values():
        assert [event.type for event in events] == [*STEPS, "order.approved", "checkout.thank_you_viewed"][: len(events)]
        assert [event.data["session"]["step_number"] for event in events] == [1, 2, 3, 4, 5, 5][: len(events)]
        assert len({event.data["session"]["cart_id"] for event in events}) == 1
        assert all(event.data["cart"]["lines"] for event in events if "cart" in event.data)
        lengths[len(events)] += 1
    assert set(lengths) >= {1, 2, 3, 4, 6}
    carts = {event.data["cart"]["id"] for event in of("cart.item_added")}
    orders = len(of("order.created"))
    assert 0.15 < orders / len(carts) < 0.35


def test_carts_are_what_was_put_in() -> None:
    """A cart's lines are those of the event before, plus what was added, changed or removed."""
    carts: dict[str, dict[str, int]] = defaultdict(dict)
    for event in of("cart.item_added", "cart.updated", "checkout.cart_viewed"):
        cart = event.data["cart"]
        known, now = carts[cart["id"]], {line["line_id"]: line["quantity"] for line in cart["lines"]}
        changed = {line for line in known | now if known.get(line) != now.get(line)}
        line_id = event.data["line"]["line_id"] if "line" in event.data else event.data.get("line_id")
        assert changed == ({line_id} if line_id else set())
        if event.type == "cart.updated" and line_id is not None:
            assert (event.data["previous_quantity"], event.data["quantity"]) == (known[line_id], now.get(line_id, 0))
        carts[cart["id"]] = now


def test_the_order_is_the_cart_that_was_approved() -> None:
    """An order has the lines and totals of its cart's last event."""
    carts: dict[str, dict[str, Any]] = {}
    for event in history():
        if "cart" in event.data:
            carts[event.data["cart"]["id"]] = event.data["cart"]
        if event.type == "order.created":
            order = event.data["order"]
            cart = carts[order["cart_id"]]
            assert (order["lines"], order["totals"], order["customer"]) == (cart["lines"], cart["totals"], cart["customer"])


# ---- goods and people ----


def test_stock_goes_down_with_sales_and_is_refilled() -> None:
    """Every change begins where the one before ended, stock never falls below nothing, low stock is refilled."""
    stock: dict[str, int] = {}
    low, refilled, reasons = set[str](), set[str](), Counter[str]()
    for event in of("product.inventory_changed"):
        data = event.data
        variant = data["variant_id"]
        assert data["previous_available"] == stock.get(variant, data["previous_available"])
        assert data["available"] == data["previous_available"] + data["delta"] >= 0
        assert (data["delta"] < 0) == (data["reason"] == "SALE") or data["reason"] == "CORRECTION"
        stock[variant] = data["available"]
        reasons[data["reason"]] += 1
        if data["available"] < data["low_stock_threshold"]:
            low.add(variant)
        if data["reason"] == "REFILL":
            assert data["previous_available"] <= data["low_stock_threshold"] + 5
            refilled.add(variant)
    assert set(reasons) == {"SALE", "REFILL", "RETURN", "CORRECTION"}
    assert len(low & refilled) > 20


def test_a_sale_takes_what_was_ordered() -> None:
    """The stock changes that refer to an order are its lines, right after it."""
    sold: dict[str, Counter[str]] = defaultdict(Counter)
    for event in of("product.inventory_changed"):
        if event.data["reason"] == "SALE":
            sold[event.data["reference"]][event.data["variant_id"]] -= event.data["delta"]
    for event in of("order.created"):
        order = event.data["order"]
        assert sold[order["id"]] == Counter({line["variant_id"]: line["quantity"] for line in order["lines"]})


def test_customers_are_created_before_they_act() -> None:
    """No event names a customer's id before the event that created it."""
    created = {event.data["customer"]["id"]: index for index, event in enumerate(history()) if event.type == "customer.created"}
    acted = set[str]()
    for index, event in enumerate(history()):
        data = event.data.get("order") or event.data.get("session") or event.data.get("cart") or event.data
        customer = data.get("customer")
        name = customer.get("customer_id") if isinstance(customer, dict) else event.data.get("customer_id")
        if isinstance(name, str) and name in created:
            acted.add(name)
            assert created[name] < index
    assert len(acted) > 100


def test_the_newsletter_is_confirmed_after_the_sign_up() -> None:
    """A consent counts only after the e-mail was confirmed: pending first, with its time afterwards."""
    pending, confirmed = set[str](), 0
    for event in of("newsletter.signed_up"):
        consent = event.data["consent"]
        if consent["state"] == "PENDING_CONFIRMATION":
            assert consent["given_at"] is None
            pending.add(event.data["email"])
        else:
            assert consent["given_at"] == event.occurred_at
            assert event.data["email"] in pending
            confirmed += 1
    assert 0.5 < confirmed / len(of("newsletter.signed_up")) * 2 < 1


@pytest.mark.parametrize(("name", "key"), [("product.changed", "product"), ("category.changed", "category")])
def test_what_is_created_is_changed_and_deleted_in_that_order(name: str, key: str) -> None:
    """A new product or category is created before it is changed or deleted, and is not changed after that."""
    alive: dict[str, bool] = {}
    seen = Counter[str]()
    for event in of(name):
        change, identity = event.data["change"], event.data[key]["id"]
        assert change == "CREATED" or alive.get(identity, True)
        assert change != "CREATED" or not alive.get(identity, False)
        alive[identity] = change != "DELETED"
        seen[change] += 1
    assert set(seen) == {"CREATED", "UPDATED", "DELETED"}


def test_the_goods_have_ids_of_their_own() -> None:
    """Variants' ids, article numbers and barcodes are unique, and the barcodes' check digits are right."""
    store = DemoStore(1, START)
    shelf = store._shop.shelf
    variants = [variant for product in [*shelf.products, *shelf.novelties] for variant in product.variants]
    assert len(variants) > 100
    for field in ("id", "sku", "barcode"):
        assert len({getattr(variant, field) for variant in variants}) == len(variants)
    for variant in variants:
        digits = [int(digit) for digit in variant.barcode]
        assert len(digits) == 13
        assert (sum(digits[::2]) + 3 * sum(digits[1::2])) % 10 == 0
