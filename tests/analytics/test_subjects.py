"""Whom a path and a value mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.analytics.subjects import subject
from hookline.kernel.errors import InputError
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import Event

pytestmark = pytest.mark.unit

ORDER = EVENT_TYPES["order.created"].example
EMAIL = ORDER["order"]["customer"]["email"]


def event(data: Any, store_id: str = "shop") -> Event:
    """Return an event with some data."""
    return Event(id="evt_1", type="order.created", store_id=store_id, occurred_at=datetime(2026, 3, 14, tzinfo=UTC), data=data)


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("customer.email", EMAIL, True),
        ("order.customer.email", EMAIL, True),
        ("data.order.customer.email", EMAIL, True),
        ("email", EMAIL, True),
        ("data.customer.email", EMAIL, False),
        ("data.email", EMAIL, False),
        ("customer.name", EMAIL, False),
        ("customer.email", EMAIL.upper(), False),
        ("customer.email", EMAIL[:-1], False),
        ("customer", EMAIL, False),
        ("lines.sku", ORDER["order"]["lines"][1]["sku"], True),
        ("data.order.lines.sku", ORDER["order"]["lines"][0]["sku"], True),
        ("data.order.lines.0.sku", ORDER["order"]["lines"][0]["sku"], False),
    ],
)
def test_paths(path: str, value: str, found: bool) -> None:
    """A path that begins with data is the whole one, another may begin anywhere; lists are looked through; the value is the whole text."""
    assert subject("shop", path, value).of(event(ORDER)) is found


def test_another_stores_person_is_nobody() -> None:
    """The same address in another store is another matter."""
    assert not subject("shop", "customer.email", EMAIL).of(event(ORDER, "other"))


@pytest.mark.parametrize(
    ("path", "value"), [("", "abc"), (".", "abc"), ("a..b", "abc"), ("data", "abc"), ("a" + ".a" * 20, "abc"), ("a", "ab"), ("a", "   ")]
)
def test_what_would_mean_too_many_is_refused(path: str, value: str) -> None:
    """No path, or a value that is next to nothing."""
    with pytest.raises(InputError):
        subject("shop", path, value)
