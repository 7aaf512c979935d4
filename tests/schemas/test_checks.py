"""The checks of an event's data: strict, and with the path of what is wrong."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.errors import InputError
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.checks import compile_check
from hookline.schemas.events import normalise

pytestmark = pytest.mark.unit


class Kind(StrEnum):
    """An enum whose value is a symbol."""

    WEB = "WEB"


class Nowhere(tzinfo):
    """A zone that does not know its offset, which makes a time naive."""

    def utcoffset(self, dt: datetime | None, /) -> None:
        """Return nothing."""

    def dst(self, dt: datetime | None, /) -> None:
        """Return nothing."""

    def tzname(self, dt: datetime | None, /) -> None:
        """Return nothing."""


def order() -> dict[str, Any]:
    """Return the data of the example order."""
    return deepcopy(dict(EVENT_TYPES["order.created"].example))


def put(data: Any, path: str, value: Any) -> Any:
    """Set what lies at a dotted path such as `order.lines.0.quantity`."""
    *steps, last = path.split(".")
    at = data
    for step in steps:
        at = at[int(step)] if step.isdigit() else at[step]
    at[last] = value
    return data


BAD: list[tuple[str, Any, str, str]] = [
    # where, what, the path in the error, what the error says
    ("order", "x", "data.order", "an object"),
    ("order", None, "data.order", "not null"),
    ("order", ["x"], "data.order", "an object, not list"),
    ("order.lines", {}, "data.order.lines", "a list"),
    ("order.lines", "abc", "data.order.lines", "a list"),
    ("order.lines", [None], "data.order.lines[0]", "an object"),
    ("order.number", 10042, "data.order.number", "a text"),
    ("order.number", b"10042", "data.order.number", "a text"),
    ("order.number", None, "data.order.number", "not null"),
    ("order.number", "\ud800", "data.order.number", "surrogate"),
    ("order.number", 10**5000, "data.order.number", "a text, not int"),
    ("order.tags", ["a", "\udfff"], "data.order.tags[1]", "surrogate"),
    ("order.lines.0.attributes", {"a": "\ud83d"}, "data.order.lines[0].attributes.a", "surrogate"),
    ("order.lines.0.attributes", {"\ud800": "a"}, "data.order.lines[0].attributes (a key)", "surrogate"),
    ("order.lines.0.attributes", {1: "a"}, "data.order.lines[0].attributes (a key)", "a text"),
    ("order.lines.0.attributes", {"a": 1}, "data.order.lines[0].attributes.a", "a text"),
    ("order.lines.0.quantity", "2", "data.order.lines[0].quantity", "a whole number"),
    ("order.lines.0.quantity", 2.0, "data.order.lines[0].quantity", "a whole number"),
    ("order.lines.0.quantity", True, "data.order.lines[0].quantity", "a whole number, not bool"),
    ("order.lines.0.quantity", math.nan, "data.order.lines[0].quantity", "a whole number"),
    ("order.lines.0.quantity", 2**31, "data.order.lines[0].quantity", "Avro int"),
    ("order.lines.0.unit_price.amount_minor", 2**63, "data.order.lines[0].unit_price.amount_minor", "Avro long"),
    ("order.lines.0.unit_price.amount_minor", -(2**63) - 1, "data.order.lines[0].unit_price.amount_minor", "Avro long"),
    ("order.lines.0.unit_price.amount_minor", 10**5000, "data.order.lines[0].unit_price.amount_minor", "Avro long"),
    ("order.lines.0.unit_price.amount_minor", 19.99, "data.order.lines[0].unit_price.amount_minor", "a whole number"),
    ("order.lines.0.requires_shipping", 1, "data.order.lines[0].requires_shipping", "true or false"),
    ("order.lines.0.requires_shipping", "true", "data.order.lines[0].requires_shipping", "true or false"),
    ("order.status", "paid", "data.order.status", "one of PENDING"),
    ("order.status", 3, "data.order.status", "one of PENDING"),
    ("order.created_at", "2026-03-14T09:26:53", "data.order.created_at", "no time zone"),
    ("order.created_at", datetime(2026, 3, 14), "data.order.created_at", "no time zone"),  # noqa: DTZ001  # naive is the point
    ("order.created_at", datetime(2026, 3, 14, tzinfo=Nowhere()), "data.order.created_at", "no time zone"),
    ("order.created_at", "yesterday", "data.order.created_at", "a time such as"),
    ("order.created_at", 1_700_000_000, "data.order.created_at", "a time such as"),
    ("order.created_at", "0001-01-01T00:00:00+14:00", "data.order.created_at", "years 1970"),
    ("order.created_at", "9999-12-31T23:59:59-14:00", "data.order.created_at", "years 1970"),
    ("order.created_at", "1969-12-31T23:59:59Z", "data.order.created_at", "years 1970"),
    ("order.shipping.estimated_delivery", "2026-13-01", "data.order.shipping.estimated_delivery", "a date such as"),
    ("order.shipping.estimated_delivery", datetime.now(UTC), "data.order.shipping.estimated_delivery", "a date such as"),
    ("order.extra", 1, "data.order.extra", "not a field"),
    ("order.lines.1.extra", 1, "data.order.lines[1].extra", "not a field"),
    ("order.\ud800", 1, "data.order.\\ud800", "not a field"),
    ("order." + "x" * 200_000, 1, "data.order." + "x" * 60, "not a field"),
]


@pytest.mark.parametrize(("where", "value", "path", "said"), BAD, ids=[f"{b[0][:40]}-{n}" for n, b in enumerate(BAD)])
def test_what_is_wrong_is_named_with_its_path(where: str, value: Any, path: str, said: str) -> None:
    """A value of the wrong type or range is refused; the error names the path and what is wanted, shortly and in UTF-8."""
    with pytest.raises(InputError) as refused:
        normalise("order.created", put(order(), where, value))
    assert refused.value.field == path
    assert said in refused.value.message
    assert len(refused.value.message.encode()) < 400


@pytest.mark.parametrize("path", ["order", "order.number", "order.totals.tax", "order.lines.0.sku", "order.customer.email"])
def test_a_missing_field_is_named(path: str) -> None:
    """A field without a default must be there."""
    data = order()
    *steps, last = path.split(".")
    at: Any = data
    for step in steps:
        at = at[int(step)] if step.isdigit() else at[step]
    del at[last]
    with pytest.raises(InputError, match="is missing") as refused:
        normalise("order.created", data)
    assert refused.value.field == "data." + path.replace(".0.", "[0].")
    assert refused.value.remedy == "Add it. GET /api/v1/event-types/{name} of the console lists the fields of an event type."


def test_an_unknown_field_is_told_its_neighbours() -> None:
    """The remedy lists the fields that there are."""
    with pytest.raises(InputError) as refused:
        normalise("order.created", put(order(), "order.totals.taxes", 1))
    assert "grand_total" in refused.value.remedy


def test_defaults_are_filled_in_and_not_shared() -> None:
    """Optional fields get their default, each event its own list."""
    data = order()
    del data["order"]["tags"]
    first, second = normalise("order.created", data), normalise("order.created", data)
    first["order"]["tags"].append("x")
    assert second["order"]["tags"] == []
    assert normalise("order.created", data)["order"]["tags"] == []


def test_the_publishers_data_is_left_alone() -> None:
    """Checking changes nothing that the caller holds."""
    data = order()
    before = deepcopy(data)
    normalise("order.created", data)
    assert data == before


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2026-03-14T09:26:53Z", datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)),
        ("2026-03-14T10:26:53.25+01:00", datetime(2026, 3, 14, 9, 26, 53, 250_000, UTC)),
        (datetime(2026, 3, 14, 10, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 3, 14, 9, tzinfo=UTC)),
    ],
)
def test_times_become_utc(value: Any, found: datetime) -> None:
    """Times are taken as text or as aware datetimes and kept in UTC."""
    assert normalise("order.created", put(order(), "order.created_at", value))["order"]["created_at"] == found


def test_dates_and_enums_of_python_are_taken() -> None:
    """A date object and a string enum are as good as their texts."""
    data = put(put(order(), "order.shipping.estimated_delivery", date(2026, 3, 17)), "order.source", Kind.WEB)
    found = normalise("order.created", data)["order"]
    assert found["shipping"]["estimated_delivery"] == date(2026, 3, 17)
    assert found["source"] == "WEB"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, "1.5", None])
def test_a_number_is_finite(value: Any) -> None:
    """Where a schema has a double, only finite numbers pass; whole ones become one."""
    check = compile_check({"type": "record", "name": "R", "fields": [{"name": "x", "type": "double"}]})
    assert check({"x": 3}, "") == {"x": 3.0}
    with pytest.raises(InputError) as refused:
        check({"x": value}, "")
    assert refused.value.field == "x"


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(name=st.sampled_from(sorted(EVENT_TYPES)), value=_ANYTHING, pick=st.randoms(use_true_random=False))
def test_anything_anywhere_passes_or_is_refused(name: str, value: Any, pick: Any) -> None:
    """Whatever stands in the place of any value: the data passes, or `InputError` names a path."""
    data = json.loads(json.dumps(EVENT_TYPES[name].example))
    at, key = {"data": data}, "data"
    while isinstance(at[key], dict | list) and at[key] and pick.random() < 0.8:
        at = at[key]
        key = pick.choice(list(at) if isinstance(at, dict) else range(len(at)))
    at[key] = value
    assert refused_field(name, data).startswith("data")


def refused_field(name: str, data: Any) -> str:
    """Return the path that the refusal of data names, `data` when it is taken; the message must be writable as UTF-8."""
    try:
        normalise(name, data)
    except InputError as error:
        error.message.encode()
        return error.field
    return "data"


@given(_ANYTHING)
def test_data_that_is_anything_is_refused(value: Any) -> None:
    """Data that is no such event at all is refused with a path."""
    with pytest.raises(InputError) as refused:
        normalise("order.paid", value)
    assert refused.value.field.startswith("data")
