"""A delivery's payload, read back from where its event lies in Kafka: ClickHouse keeps no copy of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Consumer, Message, TopicPartition

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import NotFound
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas import payload
from hookline.schemas.registry import open_registry
from hookline.schemas.wire import Codec

_WAIT_S: Final = 10.0


def payload_of(environ: Mapping[str, str], row: Mapping[str, Any]) -> bytes:
    """Return the JSON body that a row of the log was about, as it is made now from the event.

    Raises `NotFound` when Kafka's retention has taken the event, `BrokerUnavailable`, `WireError` or a schema error.
    """
    if not row["source_topic"]:
        raise NotFound("The delivery was made from no event on Kafka", field="source_topic")
    message = read_back(load(KafkaConfig, environ), row["source_topic"], row["source_partition"], row["source_offset"])
    registry = open_registry(environ)
    registry.start()
    try:
        return payload.body(Codec(registry).decode(message.value() or b""))
    finally:
        registry.stop()


def read_back(config: KafkaConfig, topic: str, partition: int, offset: int) -> Message:
    """Return the record at exactly these coordinates; raise `NotFound` when it is gone, `BrokerUnavailable` without a broker."""
    consumer = kafka.plain_consumer(config)
    try:
        place = TopicPartition(topic, partition, offset)
        with kafka.translated():
            low, high = consumer.get_watermark_offsets(place, _WAIT_S, cached=False)
        found = _read(consumer, place) if low <= offset < high else None
    finally:
        consumer.close()
    if found is None:
        raise NotFound(f"The payload at {topic}/{partition}/{offset} is no longer on Kafka", field="source_offset")
    return found


def _read(consumer: Consumer, place: TopicPartition) -> Message | None:
    consumer.assign([place])
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        for message in kafka.fetch(consumer, 1, 0.1):
            return message if message.offset() == place.offset else None
    return None
