"""A client that knows no broker any more is noticed, once; one whose broker is only away is not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from confluent_kafka import Consumer, KafkaException

from hookline.kernel import kafka, lost
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError, QueueFull, Undelivered
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.writer import Writer
from tests.kernel.empty_cluster import EmptyCluster, empty_cluster

pytestmark = pytest.mark.process

KNOWS = '{"brokers":{"a:1/1":{"source":"learned"},"GroupCoordinator":{"source":"logical"}}}'
STARTS = '{"brokers":{"a:1/bootstrap":{"source":"configured"}}}'
ALONE = '{"brokers":{":0/internal":{"source":"internal"},"GroupCoordinator":{"source":"logical"}}}'


@pytest.fixture
def cluster() -> Iterator[EmptyCluster]:
    """Give a cluster that can be empty."""
    with empty_cluster() as found:
        yield found


def config_of(cluster: EmptyCluster) -> KafkaConfig:
    """Return the configuration of its clients."""
    return load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers})


def polled(client: Consumer, until: Callable[[], object], most_s: float = 20.0) -> bool:
    """Poll a client until something is so, and tell whether it was in time."""
    deadline = time.monotonic() + most_s
    while not until() and time.monotonic() < deadline:
        client.poll(0.05)
    return bool(until())


def asked(client: Consumer, cluster: EmptyCluster) -> None:
    """Have a client ask for the cluster once."""
    before = cluster.asked
    client.list_topics(timeout=10)
    assert cluster.asked > before


class Watched:
    """A watched client, and what was told of it."""

    def __init__(self, cluster: EmptyCluster) -> None:
        self.told: list[bool] = []
        self.client = kafka.plain_consumer(config_of(cluster), **lost.watched(lambda: self.told.append(True)))

    def works(self) -> bool:
        """Tell whether it finds its broker."""
        try:
            return bool(self.client.list_topics(timeout=0.5).brokers)
        except KafkaException:
            return False


def test_a_client_of_an_empty_cluster_works_again_or_is_lost(cluster: EmptyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer that names nobody, and many never ask again, although the broker is there all the time.

    When none is lost any more, librdkafka has mended its issue 5301, and `hookline.kernel.lost` can go.
    """
    monkeypatch.setattr(lost, "_EVERY_MS", 200)
    found = [Watched(cluster) for _ in range(8)]
    for one in found:
        asked(one.client, cluster)
        assert not polled(one.client, lambda told=one.told: told, 0.5)  # type: ignore[misc]  # bound now
    cluster.empty = True
    for one in found:
        asked(one.client, cluster)
    cluster.empty = False
    for one in found:
        assert polled(one.client, lambda one=one: one.told or one.works())  # type: ignore[misc]  # bound now
        if one.told:
            assert not one.works()


def test_a_client_whose_broker_is_away_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back by itself."""
    monkeypatch.setattr(lost, "_EVERY_MS", 200)
    told: list[bool] = []
    with empty_cluster() as cluster:
        client = kafka.plain_consumer(config_of(cluster), **lost.watched(lambda: told.append(True)))
        asked(client, cluster)
    assert not polled(client, lambda: told, 3)


@pytest.mark.unit
def test_it_takes_two_in_a_row() -> None:
    """A client that starts over knows nobody for a moment; who is lost is told of once."""
    told: list[bool] = []
    hear = lost.watched(lambda: told.append(True))["stats_cb"]
    for statistics in (ALONE, KNOWS, ALONE, STARTS, ALONE):
        hear(statistics)
    assert told == []
    hear(ALONE)
    hear(ALONE)
    assert told == [True]


def statistics(*, state: str = "query-coord", broker: str = "INIT", age_s: int = 436) -> str:
    """Return what a member of a group says of itself and its connections, as one did that never came back."""
    real = {"source": "learned", "state": broker, "stateage": age_s * 1_000_000}
    coordinator = {"source": "logical", "state": "TRY_CONNECT", "stateage": 436_000_000, "outbuf_cnt": 5, "connects": 447}
    return json.dumps({"brokers": {"a:1/1": real, "GroupCoordinator": coordinator}, "cgrp": {"state": state}}, separators=(",", ":"))


@pytest.mark.unit
@pytest.mark.parametrize("broker", ["INIT", "TRY_CONNECT"])
def test_a_member_that_asks_no_broker_for_its_coordinator_is_lost(broker: str) -> None:
    """It looks for the coordinator and no broker was tried for long, twice in a row: told once."""
    told: list[bool] = []
    hear = lost.watched(lambda: told.append(True))["stats_cb"]
    hear(statistics(broker=broker))
    assert told == []
    for _ in range(5):
        hear(statistics(broker=broker))
    assert told == [True]


@pytest.mark.unit
@pytest.mark.parametrize(
    "well",
    [{"state": "up"}, {"broker": "UP"}, {"age_s": 2}, {"broker": "TRY_CONNECT", "age_s": 2}, {"broker": "CONNECT"}],
    ids=["in its group", "asks", "Kafka is away", "waits to try again", "tries"],
)
def test_a_member_that_goes_on_asking_is_not_lost(well: dict[str, Any]) -> None:
    """However long it lasts, and a single good moment begins the count anew."""
    told: list[bool] = []
    hear = lost.watched(lambda: told.append(True))["stats_cb"]
    for _ in range(10):
        hear(statistics(**well))
        hear(statistics())
    assert told == []


@pytest.mark.unit
def test_an_owner_sees_that_its_client_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It replaces it; the process is not told."""
    told: list[bool] = []
    monkeypatch.setattr(lost, "_listeners", [lambda: told.append(True)])
    loss = lost.Loss()
    hear = loss.settings()["stats_cb"]
    seen = []
    for _ in range(3):
        hear(ALONE)
        seen.append(loss.happened)
    assert (seen, told) == ([False, True, True], [])


def test_the_processes_listeners_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that nobody replaces ends its process."""
    told: list[bool] = []
    monkeypatch.setattr(lost, "_listeners", [])
    lost.on_loss(lambda: told.append(True))
    hear = lost.watched()["stats_cb"]
    hear(ALONE)
    hear(ALONE)
    assert told == [True]


def test_every_member_of_a_group_is_watched(cluster: EmptyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads for a group hears its own statistics."""
    heard: list[str] = []
    monkeypatch.setattr(lost, "_EVERY_MS", 100)
    monkeypatch.setattr(lost._Watch, "__call__", lambda _self, statistics: heard.append(statistics))
    client = kafka.group_consumer(config_of(cluster), "group")
    assert polled(client, lambda: heard, 5)
    client.close()


def test_a_writer_that_failed_writes_with_a_new_client(cluster: EmptyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a lost client costs one failure."""
    writer = Writer(config_of(cluster))
    first = writer.open()

    def refuse(*_: object, **__: object) -> int:
        raise Undelivered("not confirmed")

    monkeypatch.setattr(kafka, "produce_sync", refuse)
    assert writer.open() is first
    with pytest.raises(BrokerError):
        writer.write("topic", key=b"k", value=b"v")
    assert writer.open() is not first


def test_a_writer_that_has_no_room_keeps_its_client(cluster: EmptyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way would be lost with it; any other failure may be for good."""
    writer = Writer(config_of(cluster))
    for error, kept in ((QueueFull("no room"), True), (BrokerError("fatal"), False)):
        client = writer.open()
        monkeypatch.setattr(kafka, "produce_sync", Mock(side_effect=error))
        with pytest.raises(BrokerError):
            writer.write("topic", key=b"k", value=b"v")
        assert (writer.open() is client) == kept


def test_a_question_that_failed_is_asked_by_another_client(cluster: EmptyCluster) -> None:
    """The one that failed is closed."""
    config = config_of(cluster)
    first = kafka.plain_consumer(config)
    second = kafka.instead_of(first, config)
    assert second.list_topics(timeout=10).brokers
    with pytest.raises(RuntimeError):
        first.list_topics(timeout=1)
    second.close()
