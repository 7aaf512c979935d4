"""A delivery's payload, read back from where its event lies in Kafka: ClickHouse keeps no copy of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookline.kernel.config import load
from hookline.kernel.errors import NotFound
from hookline.kernel.kafka import KafkaConfig, read_at
from hookline.schemas import payload
from hookline.schemas.erasures import following
from hookline.schemas.registry import open_registry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec


def payload_of(environ: Mapping[str, str], row: Mapping[str, Any]) -> bytes:
    """Return the JSON body that a row of the log was about, as it is made now from the event.

    Raises `NotFound` when Kafka's retention has taken the event or it was erased, `BrokerError`, `WireError` or a schema error.
    """
    topic, partition, offset = row["source_topic"], row["source_partition"], row["source_offset"]
    if not topic:
        raise NotFound("A test call is made from no event on Kafka", field="source_topic")
    config = load(KafkaConfig, environ)
    message = read_at(config, topic, partition, offset)
    value = message.value() if message is not None else None
    if not isinstance(value, bytes):
        raise NotFound(
            f"The payload at {topic}/{partition}/{offset} is no longer on Kafka",
            field="source_offset",
            remedy="It is older than HOOKLINE_RETENTION_DAYS.",
        )
    registry = open_registry(environ)
    registry.start()
    try:
        with following(config, Topics(config.topic_prefix), codec := Codec(registry)) as erasures:
            event = codec.decode(value)
            erasures.refuse(event.store_id, event.id)
            return payload.body(event)
    finally:
        registry.stop()
