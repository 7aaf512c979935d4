"""The demo store's events: valid, repeatable, and in an order that a real shop could have."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise

import fastavro
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.producers.demo_store.countries import COUNTRIES
from hookline.producers.demo_store.shop import DayIn, Steady
from hookline.producers.demo_store.store import DemoStore
from hookline.schemas.catalogue import EVENT_TYPES, PARSED
from hookline.schemas.events import Event, validate

pytestmark = pytest.mark.unit

START = datetime(2026, 3, 14, 7, tzinfo=UTC)
DAY = timedelta(days=1)


def until(store: Iterator[Event], end: datetime) -> Iterator[Event]:
    """Yield a store's events before a time."""
    for event in store:
        if event.occurred_at >= end:
            return
        yield event


@cache
def history() -> tuple[Event, ...]:
    """Return three days of one shop."""
    return tuple(until(DemoStore(11, START), START + 3 * DAY))


def test_every_event_passes_the_check_and_survives_avro() -> None:
    """Thousands of events fit their schemas as they are, and come back the same from their bytes."""
    assert len(history()) > 8_000
    for event in history():
        checked = validate(event)
        assert checked.data.keys() >= event.data.keys()
        schema = PARSED[EVENT_TYPES[event.type].subject]
        datum = {"id": event.id, "store_id": event.store_id, "occurred_at": event.occurred_at, "data": checked.data}
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, datum)
        out.seek(0)
        assert fastavro.schemaless_reader(out, schema, None) == datum


@pytest.mark.parametrize("seed", range(6))
def test_all_types_appear_within_a_simulated_day(seed: int) -> None:
    """One day of the usual shop tells every type of the catalogue."""
    seen = Counter(event.type for event in until(DemoStore(seed, START), START + DAY))
    assert set(seen) == set(EVENT_TYPES)


@given(seed=st.integers(0, 2**63), hours=st.integers(-10_000, 10_000), rate=st.none() | st.floats(0.5, 5_000))
@settings(max_examples=25)
def test_the_same_seed_and_start_give_the_same_events(seed: int, hours: int, rate: float | None) -> None:
    """Two stores agree in every event, ids too; another seed shares no id."""
    start = START + timedelta(hours=hours)
    timeline = Steady(rate) if rate is not None else DayIn()
    first, second, other = (list(islice(DemoStore(s, start, timeline=timeline), 150)) for s in (seed, seed, seed + 1))
    assert first == second
    assert not {event.id for event in first} & {event.id for event in other}


def test_another_store_tells_another_story() -> None:
    """With the same seed two stores do not share ids."""
    first, second = ({event.id for event in islice(DemoStore(5, START, store_id=name), 200)} for name in ("one", "two"))
    assert not first & second


def test_ids_are_unique_and_times_never_go_back() -> None:
    """Event ids are unique and sort like their milliseconds; `occurred_at` is aware and never goes back."""
    ids = [event.id for event in history()]
    assert len(set(ids)) == len(ids)
    assert all(a.occurred_at <= b.occurred_at for a, b in pairwise(history()))
    assert all(a.id < b.id for a, b in pairwise(history()) if b.occurred_at - a.occurred_at > timedelta(milliseconds=1))
    assert {event.occurred_at.tzinfo for event in history()} == {UTC}


def test_told_events_do_not_change_afterwards() -> None:
    """Though events share parts, none changes while the shop goes on."""
    store = DemoStore(3, START)
    kept = [(event, orjson.dumps(event.data)) for event in islice(store, 3_000)]
    list(islice(store, 10_000))
    assert all(orjson.dumps(event.data) == then for event, then in kept)


# ---- time ----


def test_the_evening_is_busier_than_the_night() -> None:
    """Carts fill after the day's curve: the busiest hour has many times the visitors of the quietest."""
    hours = Counter(event.occurred_at.hour for event in history() if event.type == "cart.item_added")
    assert hours[20] > 5 * hours[4]
    assert hours[12] > 3 * hours[6]


def test_a_day_can_pass_in_a_minute() -> None:
    """`DayIn(60)` tells the same story in 60 s: the same events, each at 1/1440 of its time."""
    day, minute = (list(islice(DemoStore(4, START, timeline=line), 2_000)) for line in (DayIn(), DayIn(60)))
    assert [event.type for event in day] == [event.type for event in minute]
    for slow, quick in zip(day, minute, strict=True):
        assert abs((slow.occurred_at - START) / 1_440 - (quick.occurred_at - START)) < timedelta(milliseconds=1)


def test_a_steady_rate_is_even() -> None:
    """`Steady(50)` spaces events 20 ms apart, and the times inside an event are those of when it was told."""
    events = list(islice(DemoStore(4, START, timeline=Steady(50)), 500))
    assert {b.occurred_at - a.occurred_at for a, b in pairwise(events)} == {timedelta(milliseconds=20)}
    assert all(event.data["paid_at"] == event.occurred_at for event in events if event.type == "order.paid")


def test_only_what_is_wanted_is_told() -> None:
    """A store of orders only tells the very orders that the whole store tells, at an even rate too."""
    wanted = frozenset({"order.created", "order.paid"})
    whole = [event for event in islice(DemoStore(9, START), 4_000) if event.type in wanted]
    part = list(islice(DemoStore(9, START, wanted=wanted), len(whole)))
    assert [(event.type, event.occurred_at, event.data) for event in part] == [(e.type, e.occurred_at, e.data) for e in whole]
    steady = list(islice(DemoStore(9, START, wanted=wanted, timeline=Steady(10)), 50))
    assert {event.type for event in steady} == wanted
    assert steady[-1].occurred_at == START + timedelta(seconds=4.9)


def test_a_long_life_does_not_grow() -> None:
    """After sixty days no more is in flight than after thirty, give or take."""
    store = DemoStore(2, START)
    sizes = []
    for days in (30, 60):
        while store.simulated_days < days:
            next(store)
        sizes.append(len(store._shop._agenda))
    assert sizes[1] < 1.5 * sizes[0]
    assert len(store._shop.people._known) <= 5_000


@pytest.mark.parametrize(
    ("code", "line", "count"),
    [("DE", r"\d{5}", 9), ("AT", r"\d{4}", 5), ("FR", r"\d{5}", 5), ("NL", r"\d{4} [A-Z]{2}", 4)],
)
def test_towns_have_the_postal_codes_of_their_country(code: str, line: str, count: int) -> None:
    """Five digits in Germany and France, four in Austria, four and two letters in the Netherlands; the name is the rest."""
    country = next(one for one in COUNTRIES if one.code == code)
    assert len(country.towns) == count
    for postal_code, name in country.towns:
        assert re.fullmatch(line, postal_code), (postal_code, name)
        assert re.fullmatch(r"[A-Z][a-zäöü]+", name), (postal_code, name)


def test_every_country_has_a_format_of_its_postal_codes() -> None:
    """A country that is added needs its line in the test above."""
    assert [country.code for country in COUNTRIES] == ["DE", "AT", "FR", "NL"]
