"""The newest events of a store, read back from Kafka by type: the newest first, of this store alone, within bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from hookline.console import event_samples
from hookline.console.event_samples import PER_TYPE, EventSamples
from hookline.console.places import Places
from hookline.kernel.config import load
from hookline.kernel.errors import NotFound
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.erasures import Nothing
from hookline.schemas.registry import open_registry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Shop = Any
Reader = Callable[..., EventSamples]


@pytest.fixture
def reader(stack: Stack) -> Iterator[Reader]:
    """Give tests readers of the console's topics."""
    config, registry = load(KafkaConfig, stack.environ), open_registry(stack.environ)
    registry.start()

    def make(erased: Any = None) -> EventSamples:
        return EventSamples(config, Topics(config.topic_prefix), Places(config, Codec(registry), erased or Nothing()))

    yield make
    registry.stop()


def nothing_more() -> list[Mapping[str, Any]]:
    """Know of no more events."""
    return []


def test_the_newest_of_each_type_come_newest_first(reader: Reader, shop: Shop, stack: Stack) -> None:
    """Of 23 orders the last 20 come, of two customers both, of another type none; another store's events are not seen."""
    orders = [shop.publish() for _ in range(23)]
    customers = [shop.publish("customer.created") for _ in range(2)]
    other = stack.admin(f"{shop.store}x")
    example = other.get("/event-types/order.created").json["example"]
    assert other.post("/events", {"type": "order.created", "data": example}).status == 202
    found = reader().newest(shop.store, ["order.created", "customer.created", "return.created"], nothing_more)
    assert [one.event.id for one in found["order.created"]] == orders[: -PER_TYPE - 1 : -1]
    assert [one.event.id for one in found["customer.created"]] == customers[::-1]
    assert found["return.created"] == []


def test_no_newer_event_is_hidden_behind_others_of_its_partition(
    reader: Reader, shop: Shop, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest of all partitions is found though another store's event follows it, and another partition would fill the page at once."""
    other = stack.admin(f"{shop.store}x")
    mine, theirs = _orders(shop.admin, shop.store, reader()), _orders(other, f"{shop.store}x", reader())
    first, second = next((a, b) for a in mine for b in mine if mine[a] != mine[b] and mine[b] in theirs.values())
    after = next(order for order, partition in theirs.items() if partition == mine[second])
    _publish(shop.admin, first)
    newest = _publish(shop.admin, second)
    _publish(other, after)
    monkeypatch.setattr(event_samples, "PER_TYPE", 1)
    monkeypatch.setattr(event_samples, "_BACK", (1, 1_000))
    found = reader().newest(shop.store, ["order.created"], nothing_more)["order.created"]
    assert [one.event.id for one in found] == [newest]


def _orders(client: Any, store: str, samples: EventSamples) -> dict[str, int]:
    """Publish some orders, and return to which partition each order goes."""
    for number in range(12):
        _publish(client, f"ord_{number}")
    found = samples.newest(store, ["order.created"], nothing_more)["order.created"]
    return {one.event.data["order"]["id"]: one.place.partition for one in found}


def _publish(client: Any, order: str) -> str:
    example = client.get("/event-types/order.created").json["example"]
    example["order"]["id"] = order
    reply = client.post("/events", {"type": "order.created", "data": example})
    assert reply.status == 202
    return str(reply.json["id"])


def test_what_was_read_is_used_again_for_a_moment(reader: Reader, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody types, Kafka is read once; a moment later new events are seen."""
    first, samples = shop.publish(), reader()
    assert [one.event.id for one in samples.newest(shop.store, ["order.created"], nothing_more)["order.created"]] == [first]
    second = shop.publish()
    assert len(samples.newest(shop.store, ["order.created"], nothing_more)["order.created"]) == 1
    monkeypatch.setattr(event_samples, "FRESH_S", -1.0)
    assert [one.event.id for one in samples.newest(shop.store, ["order.created"], nothing_more)["order.created"]] == [second, first]


def test_further_places_are_asked_where_the_ends_do_not_reach(
    reader: Reader, shop: Shop, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind many events of other stores a store's own are found by the places that the log knows."""
    sample = reader()
    mine = shop.publish()
    place = sample.newest(shop.store, ["order.created"], nothing_more)["order.created"][0].place
    other = stack.admin(f"{shop.store}x")
    example = other.get("/event-types/order.created").json["example"]
    for number in range(20):
        example["order"]["id"] = f"ord_{number}"  # which decides the partition
        assert other.post("/events", {"type": "order.created", "data": example}).status == 202
    monkeypatch.setattr(event_samples, "_BACK", (1,))
    row = {
        "event_type": "order.created", "source_topic": place.topic, "source_partition": place.partition, "source_offset": place.offset,
        "source_timestamp_ms": time.time_ns() // 1_000_000,
    }  # fmt: skip
    gone = {**row, "source_offset": 10_000_000}
    found = reader().newest(shop.store, ["order.created"], lambda: [gone, row])
    assert [one.event.id for one in found["order.created"]] == [mine]


def test_an_erased_event_is_not_shown(reader: Reader, shop: Shop) -> None:
    """What was erased on the word of a person is no sample."""
    erased, kept = shop.publish(), shop.publish()

    class Erased:
        def refuse(self, store_id: str, event_id: str) -> None:
            if (store_id, event_id) == (shop.store, erased):
                raise NotFound("erased")

    found = reader(Erased()).newest(shop.store, ["order.created"], nothing_more)
    assert [one.event.id for one in found["order.created"]] == [kept]


def test_an_event_that_is_erased_is_shown_no_more(reader: Reader, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for the ten seconds for which what was read is used again."""
    monkeypatch.setattr(event_samples, "FRESH_S", 600.0)
    first, second = shop.publish(), shop.publish()
    erased: set[str] = set()

    class Erased:
        def refuse(self, _store_id: str, event_id: str) -> None:
            if event_id in erased:
                raise NotFound("erased")

    samples = reader(Erased())
    left = []
    for more in ((), (second,), (first,)):
        erased.update(more)
        left.append([one.event.id for one in samples.newest(shop.store, ["order.created"], nothing_more)["order.created"]])
    assert left == [[second, first], [first], []]


@pytest.mark.parametrize("bound", ["MOST_RECORDS", "MOST_S"])
def test_the_reading_is_bounded(reader: Reader, shop: Shop, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    """Without records or time left nothing more is read, and nobody is asked for further places."""
    shop.publish()
    monkeypatch.setattr(event_samples, bound, 0)

    def asked() -> list[Mapping[str, Any]]:
        raise AssertionError("further places were asked for")

    assert reader().newest(shop.store, ["order.created"], asked)["order.created"] == []
