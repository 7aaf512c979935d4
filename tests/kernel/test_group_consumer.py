"""A consumer of a group, on the real broker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import NewPartitions, NewTopic  # type: ignore[attr-defined]  # public by its documentation

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]


def waits(consumer: Consumer, done: Callable[[], bool], most_s: float) -> float:
    """Poll until something is so; return after how many seconds it was."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < most_s
        consumer.poll(0.2)
    return time.monotonic() - began


def test_an_added_partition_is_read_within_half_a_minute(kafka_environ: dict[str, str]) -> None:
    """Events on it must not wait for the five minutes in which librdkafka looks again; what is there already is read too."""
    config = load(KafkaConfig, kafka_environ)
    admin, producer, topic = kafka.admin(config), kafka.producer(config), f"grows.{os.urandom(4).hex()}"
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])[topic].result(30)
    consumer = kafka.group_consumer(config, topic)
    try:
        consumer.subscribe([topic])
        waits(consumer, lambda: len(consumer.assignment()) == 1, 60)
        admin.create_partitions([NewPartitions(topic, 2)])[topic].result(30)
        waits(consumer, lambda: len(consumer.assignment()) == 2, 45)
        producer.produce(topic, b"x", partition=1)
        assert producer.flush(30) == 0
        assert [message.partition() for message in kafka.fetch(consumer, 1, 30)] == [1]
    finally:
        consumer.close()
