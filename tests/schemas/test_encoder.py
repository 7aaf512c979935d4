"""The quick encoder against the slow way: the same bytes, and nothing let through that the checks refuse."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.kernel.errors import InputError
from hookline.schemas.catalogue import EVENT_TYPES, PARSED
from hookline.schemas.encoder import UNFIT, encoder_of
from hookline.schemas.events import Event, datum_of
from hookline.schemas.registry import SchemaRegistry
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 14, 9, 26, 53, 589_793, UTC)
JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, -(2**31) - 1, 2**63, 2**64, 1.0, 0.5, float("nan"), float("inf"), "", "x", "1", "\ud800", b"", b"x",
    [], {}, [None], {"x": None}, {"": 1}, ("x",), "2026-03-14T09:26:53Z", "2026-03-14T09:26:53.1234567+01:00", "2026-03-14T09:26:53",
    "2026-03-14", "20260314", "1969-12-31T23:59:59.999999Z", "9000-01-01T00:00:00Z", "8999-12-31T23:59:59.999999Z", NOW, NOW.date(),
    NOW.replace(tzinfo=None), 10**400,
)  # fmt: skip


def slowly(name: str, data: Any) -> bytes | None:
    """Return the bytes that checks and fastavro make, None when they refuse."""
    out = io.BytesIO()
    try:
        datum = datum_of(Event(id="evt_1", type=name, store_id="demo", occurred_at=NOW, data=data))
    except InputError:
        return None
    fastavro.schemaless_writer(out, PARSED[EVENT_TYPES[name].subject], datum)
    return out.getvalue()


def quickly(name: str, data: Any) -> bytes | None:
    """Return the bytes of the quick encoder, None when it leaves the decision to the slow way."""
    with suppress(*UNFIT):
        return encoder_of(EVENT_TYPES[name].subject)({"id": "evt_1", "store_id": "demo", "occurred_at": NOW, "data": data})
    return None


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container and key of a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from places(inner)


def as_json(value: Any) -> Any:
    """Return data as JSON brings them: times and dates are texts."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_right_data_give_the_same_bytes(strategy_of: Callable[[Any], st.SearchStrategy[Any]], name: str) -> None:
    """Typed or as JSON, with every optional field there or not: the bytes are fastavro's, and the slow way is not needed."""

    @settings(max_examples=40)
    @given(strategy_of(EVENT_TYPES[name].schema), st.booleans())
    def same(datum: dict[str, Any], as_text: bool) -> None:
        data = as_json(datum["data"]) if as_text else datum["data"]
        found = quickly(name, data)
        assert found is not None
        assert found == slowly(name, data)

    same()


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_wrong_data_never_pass(name: str) -> None:
    """Every value of an example replaced by every kind of junk, dropped, or given a stranger beside it: never more than the checks take."""
    example = dict(EVENT_TYPES[name].example)
    for number, _ in enumerate(places(example)):
        for change in (*JUNK, "drop", "stranger"):
            data = copy.deepcopy(example)
            within, key = list(places(data))[number]
            if change == "drop":
                del within[key]
            elif change == "stranger" and isinstance(within, dict):
                within["stranger"] = 1
            else:
                within[key] = change
            found = quickly(name, data)
            assert found is None or found == slowly(name, data), (within, key, change)


@pytest.mark.parametrize("data", [None, [], "x", 1, {"data": {}}])
def test_data_that_are_no_object_never_pass(data: Any) -> None:
    """What is no object at all is left to the slow way too."""
    assert quickly("order.paid", data) is None
    assert slowly("order.paid", data) is None


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_what_an_event_is_about_is_always_there(registry_type: Callable[..., SchemaRegistry], name: str) -> None:
    """An event's key is taken from the data as they came: the field is never one that a default fills in."""
    kind = EVENT_TYPES[name]
    data: Any = copy.deepcopy(dict(kind.example))
    *outer, last = kind.entity_path.split(".")
    within = data
    for step in outer:
        within = within[step]
    del within[last]
    codec = Codec(registry_type(kind.schema))
    with pytest.raises(InputError) as caught:
        codec.encode_checked(Event(id="evt_1", type=name, store_id="demo", occurred_at=NOW, data=data))
    assert caught.value.field == f"data.{kind.entity_path}"


@pytest.mark.parametrize(
    "change", [{"id": "a.b"}, {"store_id": ""}, {"occurred_at": NOW.replace(tzinfo=None)}, {"occurred_at": NOW.isoformat()}]
)
def test_a_wrong_envelope_is_refused(registry_type: Callable[..., SchemaRegistry], change: dict[str, Any]) -> None:
    """Ids that are none, a time without a zone, and a text for a time are wrong, however right the data."""
    kind = EVENT_TYPES["order.paid"]
    right: dict[str, Any] = {"id": "evt_1", "type": kind.name, "store_id": "demo", "occurred_at": NOW, "data": dict(kind.example)}
    with pytest.raises(InputError) as caught:
        Codec(registry_type(kind.schema)).encode_checked(Event(**(right | change)))
    assert caught.value.field == next(iter(change))
