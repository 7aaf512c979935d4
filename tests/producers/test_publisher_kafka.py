"""The publishers on a real broker: what they return can be read at that very place."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.errors import BrokerError, BrokerUnavailable, ConfigError
from hookline.local.kafka_broker import free_port
from hookline.producers.async_publisher import AsyncPublisher
from hookline.producers.publisher import Publisher
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import Event, example_event, validate
from tests.producers.fakes import event

pytestmark = pytest.mark.kafka

Cluster = Any  # the fixture's class stands in conftest.py


def read(cluster: Cluster, place: Any) -> Event:
    """Return the event at a place."""
    message = kafka.read_at(cluster.config, place.topic, place.partition, place.offset)
    assert message is not None
    found: Event = cluster.codec.decode(message.value() or b"")
    return found


def test_every_type_can_be_read_where_publish_says(cluster: Cluster) -> None:
    """Topic, partition and offset are right, and the bytes there are the event."""
    events = [example_event(name, "shop", clock=SystemClock()) for name in EVENT_TYPES]
    with Publisher.connect(environ=cluster.environ) as publisher:
        places = [publisher.publish(made) for made in events]
    assert [read(cluster, place) for place in places] == events


def test_publish_many_puts_thousands_down_once_each(cluster: Cluster) -> None:
    """As many records as events, in the order given."""
    events = [event(store_id="many") for _ in range(3_000)]
    with Publisher.connect(environ=cluster.environ) as publisher:
        publisher.publish_many(events)
    found = [cluster.codec.decode(m.value() or b"") for m in kafka.scan(cluster.config, [cluster.topics.events("products")])]
    assert [made.id for made in found if made.store_id == "many"] == [made.id for made in events]


async def test_the_loops_publisher_does_the_same(cluster: Cluster) -> None:
    """One by one, many at once, and with callbacks."""
    async with await AsyncPublisher.connect(environ=cluster.environ) as publisher:
        single = event(store_id="loop")
        assert read(cluster, await publisher.publish(single)) == validate(single)
        many = [event(store_id="loop") for _ in range(500)]
        places = await publisher.publish_many(many)
        assert read(cluster, places[250]) == validate(many[250])
        outcomes: list[object] = []
        publisher.send(event(), outcomes.append)
        await publisher.flush()
        assert len(outcomes) == 1


@pytest.mark.parametrize("wrong", [None, "", "127.0.0.1:{port}"])
def test_connect_says_what_is_missing(cluster: Cluster, wrong: str | None) -> None:
    """No servers set names the variable; servers that do not answer are named with the remedy."""
    environ = {name: text for name, text in cluster.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    kind = (BrokerUnavailable, BrokerError) if wrong else ConfigError
    with pytest.raises(kind) as caught:
        Publisher.connect(wrong.format(port=free_port()) if wrong else wrong, environ)
    assert "KAFKA_BOOTSTRAP_SERVERS" in str(caught.value)


def test_a_topic_that_is_not_there_is_an_error(cluster: Cluster) -> None:
    """Topics are made by the operator alone: an event for a missing one fails with a clear outcome."""
    environ = {**cluster.environ, "HOOKLINE_TOPIC_PREFIX": "nothere", "HOOKLINE_PUBLISHER_DELIVERY_TIMEOUT_S": "5"}
    with Publisher.connect(environ=environ) as publisher, pytest.raises(BrokerError):
        publisher.publish(event(), timeout_s=20)
