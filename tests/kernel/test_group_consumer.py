"""A consumer of a group, on the real broker."""

from __future__ import annotations

import os
import time
from collections import Counter
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


def test_an_added_partition_is_read_soon(kafka_environ: dict[str, str]) -> None:
    """Events on it must not wait for the five minutes in which librdkafka looks again; what is there already is read too."""
    config = load(KafkaConfig, kafka_environ)
    admin, producer, topic = kafka.admin(config), kafka.producer(config), f"grows.{os.urandom(4).hex()}"
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])[topic].result(30)
    consumer = kafka.group_consumer(config, topic)
    try:
        consumer.subscribe([topic])
        waits(consumer, lambda: len(consumer.assignment()) == 1, 60)
        admin.create_partitions([NewPartitions(topic, 2)])[topic].result(30)
        waits(consumer, lambda: len(consumer.assignment()) == 2, 25)
        producer.produce(topic, b"x", partition=1)
        assert producer.flush(30) == 0
        assert [message.partition() for message in kafka.fetch(consumer, 1, 30)] == [1]
    finally:
        consumer.close()


def shares_of(members: list[Consumer]) -> list[Counter[str]]:
    """Poll members; return how many partitions of each topic they have."""
    for one in members:
        one.poll(0.1)
    return [Counter(place.topic for place in one.assignment()) for one in members]


def test_members_share_every_topic(kafka_environ: dict[str, str]) -> None:
    """Half of each for two: a rush of one category is not for one dispatcher alone."""
    config = load(KafkaConfig, kafka_environ)
    topics, group = [f"shared.{os.urandom(4).hex()}" for _ in range(3)], f"g{os.urandom(4).hex()}"
    admin = kafka.admin(config)
    for made in admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1) for topic in topics]).values():
        made.result(30)
    both = [kafka.group_consumer(config, group, protocol="consumer") for _ in range(2)]
    try:
        for one in both:
            one.subscribe(topics)
        waits(both[0], lambda: shares_of(both) == [dict.fromkeys(topics, 2)] * 2, 60)
    finally:
        for one in both:
            one.close()
