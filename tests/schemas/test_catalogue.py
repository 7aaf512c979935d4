"""The catalogue: 17 event types, each whole, described and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.kernel.errors import InputError, UnknownEventType
from hookline.schemas import payload
from hookline.schemas.catalogue import BY_SUBJECT, EVENT_TYPES, SCHEMAS, canonical, event_type, parsed
from hookline.schemas.events import Event, check_id, example_event, new_event_id, normalise, validate
from hookline.schemas.files import shared
from hookline.schemas.names import full_name
from hookline.schemas.topics import CATEGORIES

pytestmark = pytest.mark.unit

TYPES = {
    "orders": {"order.created", "order.status_changed", "order.paid"},
    "products": {"product.changed", "product.inventory_changed", "category.changed"},
    "checkout": {
        *("cart.item_added", "cart.updated", "checkout.cart_viewed", "checkout.address_viewed", "checkout.shipping_viewed"),
        *("checkout.approval_viewed", "checkout.thank_you_viewed", "order.approved"),
    },
    "customers": {"customer.created", "newsletter.signed_up", "return.created"},
}


class FixedClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Return one moment."""
        return datetime(2026, 3, 14, 9, 26, 53, 589793, UTC)

    def monotonic(self) -> float:
        """Return zero."""
        return 0.0


def fields_of(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, field) of every field that a schema defines."""
    if isinstance(schema, list):
        for branch in schema:
            yield from fields_of(branch, path)
    elif isinstance(schema, dict):
        for field in schema.get("fields", ()):
            yield f"{path}.{field['name']}", field
            yield from fields_of(field["type"], f"{path}.{field['name']}")
        for part in ("items", "values", "type"):
            yield from fields_of(schema.get(part), path)


def amounts(value: Any) -> Iterator[tuple[int, str]]:
    """Yield every amount of money in a value."""
    if isinstance(value, dict):
        if set(value) == {"amount_minor", "currency"}:
            yield value["amount_minor"], value["currency"]
        for part in value.values():
            yield from amounts(part)
    elif isinstance(value, list):
        for part in value:
            yield from amounts(part)


def test_the_types_of_each_category() -> None:
    """The catalogue holds exactly the 17 agreed types, in the four categories."""
    assert {c: {n for n, kind in EVENT_TYPES.items() if kind.category == c} for c in CATEGORIES} == TYPES
    assert len(EVENT_TYPES) == 17


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_type_is_whole(name: str) -> None:
    """Each type has a schema {id, store_id, occurred_at, data} that stands alone, a description and a valid example."""
    kind = EVENT_TYPES[name]
    assert [field["name"] for field in kind.schema["fields"]] == ["id", "store_id", "occurred_at", "data"]
    assert kind.description.endswith(".")
    assert kind.subject == full_name(kind.schema)
    assert BY_SUBJECT[kind.subject] is kind
    parsed(json.loads(canonical(kind.schema)))
    data = normalise(name, kind.example)
    assert kind.entity_of(data)
    assert validate(example_event(name, "shop", clock=FixedClock())).data == data


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_an_example_shows_every_field(name: str) -> None:
    """Each example names every field of its data, optional ones too, so that a reader sees what can come."""
    kind = EVENT_TYPES[name]
    data = next(field["type"] for field in kind.schema["fields"] if field["name"] == "data")
    assert {field["name"] for field in data["fields"]} == set(kind.example)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_examples_tell_one_currency_and_sane_amounts(name: str) -> None:
    """The amounts of an example are of one currency and not negative."""
    found = list(amounts(EVENT_TYPES[name].example))
    assert {currency for _, currency in found} <= {"EUR"}
    assert all(amount >= 0 for amount, _ in found)


def test_the_sums_of_the_example_order_add_up() -> None:
    """Lines add up to the subtotal and the totals to what is paid."""
    order = EVENT_TYPES["order.created"].example["order"]
    totals = {name: amount["amount_minor"] for name, amount in order["totals"].items()}
    assert sum(line["quantity"] * line["unit_price"]["amount_minor"] for line in order["lines"]) == totals["subtotal"]
    assert sum(line["total"]["amount_minor"] for line in order["lines"]) == totals["subtotal"] - totals["discount"]
    assert order["prices_include_tax"]
    assert totals["grand_total"] == totals["subtotal"] - totals["discount"] + totals["shipping"]
    assert order["payment"]["amount"]["amount_minor"] == totals["grand_total"]


def test_money_is_a_whole_number_of_minor_units() -> None:
    """No field of any event is a floating-point number."""
    for name, kind in EVENT_TYPES.items():
        for path, field in fields_of(kind.schema):
            assert field["type"] not in ("float", "double"), f"{name}{path}"


def test_a_schema_defines_each_shared_type_once() -> None:
    """A schema stands alone: it defines what it mentions at the first mention, and names it afterwards."""
    for kind in EVENT_TYPES.values():
        text = canonical(kind.schema)
        for name, schema in shared().items():
            defined = text.count(f'"name":"{schema["name"]}","namespace":"hookline.common"')
            assert defined == (1 if f'"{name}"' in text or defined else 0), f"{kind.name}: {name}"


def test_every_shared_type_is_used() -> None:
    """No file of a shared type is left over."""
    used = "".join(canonical(schema) for schema in SCHEMAS.values())
    assert [name for name, schema in shared().items() if f'"name":"{schema["name"]}","namespace":"hookline.common"' not in used] == []


@pytest.mark.parametrize(
    ("name", "close"), [("order.create", "order.created"), ("cart.item_add", "cart.item_added"), ("Order.Created", "order.created")]
)
def test_an_unknown_type_is_told_its_neighbours(name: str, close: str) -> None:
    """A misspelt event type is refused with the closest names."""
    with pytest.raises(UnknownEventType) as refused:
        event_type(name)
    assert close in refused.value.remedy


@pytest.mark.parametrize("name", ["", "x" * 1_000_000, "\ud800", None, 7])
def test_a_hostile_type_is_refused_shortly(name: Any) -> None:
    """Whatever is given as an event type, the answer is a short text that can be written anywhere."""
    with pytest.raises(UnknownEventType) as refused:
        event_type(name)
    assert len(refused.value.message.encode()) < 300


@pytest.mark.parametrize("text", ["a.b", "", "a" * 65, "ä", "a b", "a\n", "a\x00", None, 7, "../x"])
def test_ids_hold_no_dot_nor_anything_else(text: object) -> None:
    """Ids are of [A-Za-z0-9_-]: a dot would separate what is signed."""
    with pytest.raises(InputError):
        check_id(text, "id")


def test_event_ids_are_unique_and_in_order() -> None:
    """Ids made one after the other are valid, different, and sort by their time."""
    ids = [new_event_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert all(check_id(text, "id") == text for text in ids)
    assert [text[:14] for text in ids] == sorted(text[:14] for text in ids)


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), datetime(1969, 12, 31, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC), "2026", None])  # noqa: DTZ001
def test_the_time_of_an_event_is_aware_and_sane(at: Any) -> None:
    """A naive time, one before 1970 or after 9000, or no time at all is refused, naming the field."""
    event = Event(id="e1", type="order.created", store_id="s", occurred_at=at, data=dict(EVENT_TYPES["order.created"].example))
    with pytest.raises(InputError) as refused:
        validate(event)
    assert refused.value.field == "occurred_at"


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_the_body_is_the_example_in_json(name: str) -> None:
    """What receivers get is {id, type, timestamp, store_id, data}, the data just as the publisher gave it."""
    event = example_event(name, "shop", clock=FixedClock(), id="evt_1")
    body = json.loads(payload.body(event))
    assert list(body) == ["id", "type", "timestamp", "store_id", "data"]
    assert {key: body[key] for key in list(body)[:4]} == {
        "id": "evt_1",
        "type": name,
        "timestamp": "2026-03-14T09:26:53.589793Z",
        "store_id": "shop",
    }
    assert body["data"] == EVENT_TYPES[name].example
    assert payload.context(event) == {"type": name, "store_id": "shop", "data": EVENT_TYPES[name].example}
