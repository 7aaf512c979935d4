"""A cluster that for a moment names no topic, as one that has just started may: who writes goes on soon after."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # public by its documentation

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from tests.integration.nameless import BehindDoor, Door

pytestmark = [pytest.mark.kafka, pytest.mark.process, pytest.mark.timeout(180)]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """Yield the door in front of a broker."""
    made = Door()
    broker = BehindDoor(tmp_path / "broker", made)
    broker.start()
    yield made
    broker.stop()
    made.close()


def refuses(producer: Producer, topic: str) -> bool:
    """Whether a record for a topic is refused without asking anybody."""
    try:
        producer.produce(topic, b"x")
    except KafkaException:
        return True
    finally:
        producer.poll(0.1)
    return False


def writes(producer: Producer, topic: str) -> None:
    """Write a record and have it confirmed."""
    producer.produce(topic, b"x")
    assert producer.flush(30) == 0


def test_a_topic_that_is_missing_for_a_moment(door: Door) -> None:
    """It is written again soon, not after librdkafka's five minutes.

    A topic that is back is trusted only after a while, and then when its partitions are asked for the next time.
    What it calls a while is 6 s here, not 30. An answer without a topic counts only when one with it is older than that.
    """
    config = load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{door.port}"})
    topic = f"hidden.{os.urandom(4).hex()}"
    admin, producer = kafka.admin(config), kafka.producer(config, topic_metadata_propagation_max_ms=6_000)
    admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])[topic].result(30)
    writes(producer, topic)
    time.sleep(6.5)
    door.drop()
    writes(producer, topic)
    door.hides = True
    door.drop()
    while not refuses(producer, topic):
        assert door.asked < 20
        time.sleep(0.1)
    door.hides = False
    door.drop()
    assert refuses(producer, topic)
    began = time.monotonic()
    while refuses(producer, topic):
        assert time.monotonic() - began < 30
        time.sleep(0.1)
    assert producer.flush(30) == 0
