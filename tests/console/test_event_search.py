"""Readers of events on a real Kafka: who fetches knows the partitions' leaders, for else it waits up to a second for them now and then."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Consumer

from hookline.console.event_samples import EventSamples
from hookline.console.event_search import EventSearch
from hookline.console.places import Places
from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerUnavailable
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.erasures import Nothing
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from tests.calm import calmly

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


@pytest.fixture
def silent() -> Iterator[KafkaConfig]:
    """Yield the address of a broker that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{server.getsockname()[1]}", "HOOKLINE_TOPIC_PREFIX": "silent"})


def test_a_silent_kafka_is_told_within_three_seconds(silent: KafkaConfig) -> None:
    """Whether the log knows where the event lies or not: a person does not wait for a client's usual patience."""
    topics = Topics(silent.topic_prefix)
    search = EventSearch(silent, topics, Places(silent, None, Nothing()), SystemClock())  # type: ignore[arg-type]  # decodes nothing
    place = {"source_topic": topics.all_events()[0], "source_partition": 0, "source_offset": 3}

    def attempt(known: list[dict[str, Any]]) -> None:
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            search.find("shop", "evt_1", known)
        assert time.monotonic() - began < 3

    for known in ([], [place]):
        calmly(partial(attempt, known))


def test_a_kafka_that_falls_silent_while_it_is_read_is_no_missing_event(cluster: tuple[KafkaConfig, Topics], monkeypatch: Any) -> None:
    """Offsets are told, and then not one record comes: that is not "no such event"."""
    config, topics = cluster

    def nothing(_reader: Consumer, _most: int, wait_s: float) -> list[Any]:
        time.sleep(wait_s)
        return []

    monkeypatch.setattr(kafka, "fetch", nothing)
    search = EventSearch(config, topics, Places(config, None, Nothing()), SystemClock())  # type: ignore[arg-type]  # decodes nothing

    def attempt() -> None:
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            search.find("shop", "own-1", [])
        assert time.monotonic() - began < 3.5

    calmly(attempt)


def test_samples_are_fetched_from_leaders_that_are_known(cluster: tuple[KafkaConfig, Topics], trace: Trace) -> None:
    """The ends of the topics are read, which hold no event of this store."""
    config, topics = cluster
    samples = EventSamples(config, topics, Places(config, None, Nothing()))  # type: ignore[arg-type]  # decodes nothing
    assert samples.newest("another", ["order.created"], list) == {"order.created": []}
    assert fetched_blindly(trace) == []
