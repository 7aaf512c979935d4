"""Readers of events on a real Kafka: who fetches knows the partitions' leaders, for else it waits up to a second for them now and then."""

from __future__ import annotations

import os
from typing import Any

import pytest
from confluent_kafka import Consumer

from hookline.console.event_samples import EventSamples
from hookline.console.event_search import EventSearch
from hookline.console.places import Places
from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.erasures import Nothing
from hookline.schemas.topics import Topics, TopicsConfig, create, specs

pytestmark = pytest.mark.kafka
Trace = list[list[str]]


@pytest.fixture
def cluster(kafka_environ: dict[str, str]) -> tuple[KafkaConfig, Topics]:
    """Return topics of the test's own that hold one record which is no event."""
    environ = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"f{os.urandom(4).hex()}", "HOOKLINE_EVENT_PARTITIONS": "2"}
    config = load(KafkaConfig, environ)
    topics = Topics(config.topic_prefix)
    create(config, specs(topics, load(TopicsConfig, environ)), 1)
    kafka.produce_sync(kafka.producer(config), topics.all_events()[0], key=b"shop:1", value=b"no event")
    consumer = kafka.plain_consumer(config)
    for topic in topics.all_events():
        for number in range(2):
            kafka.watermarks(consumer, topic, number, 30)  # waits until each new partition has a leader
    consumer.close()
    return config, topics


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Trace:
    """Note what each consumer is asked, in order."""
    found: Trace = []
    make = kafka.plain_consumer

    class Noted:
        def __init__(self, consumer: Consumer) -> None:
            self._consumer = consumer
            self._asked: list[str] = []
            found.append(self._asked)

        def __getattr__(self, name: str) -> Any:
            self._asked.append(name)
            return getattr(self._consumer, name)

    monkeypatch.setattr(kafka, "plain_consumer", lambda *given, **more: Noted(make(*given, **more)))
    return found


def fetched_blindly(trace: Trace) -> list[list[str]]:
    """Return the consumers that were assigned partitions before they were asked for them."""
    assigned = [asked for asked in trace if "assign" in asked]
    assert assigned
    return [asked for asked in assigned if "list_topics" not in asked[: asked.index("assign")]]


def test_a_search_fetches_from_leaders_that_it_knows(cluster: tuple[KafkaConfig, Topics], trace: Trace) -> None:
    """An id that is nowhere is looked for in all that there is, and not found."""
    config, topics = cluster
    search = EventSearch(config, topics, Places(config, None, Nothing()), SystemClock())  # type: ignore[arg-type]  # decodes nothing
    assert search.find("shop", "own-1", []).found is None
    assert fetched_blindly(trace) == []


def test_samples_are_fetched_from_leaders_that_are_known(cluster: tuple[KafkaConfig, Topics], trace: Trace) -> None:
    """The ends of the topics are read, which hold no event of this store."""
    config, topics = cluster
    samples = EventSamples(config, topics, Places(config, None, Nothing()))  # type: ignore[arg-type]  # decodes nothing
    assert samples.newest("another", ["order.created"], list) == {"order.created": []}
    assert fetched_blindly(trace) == []
