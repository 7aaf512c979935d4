"""A webhooks topic of its own on the session's broker, with any number of writers and readers."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec
from hookline.webhooks.model import SUBJECT, Webhook
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import MasterKey, Vault
from hookline.webhooks.store import NewWebhook, Webhooks
from hookline.webhooks.urls import UrlPolicy

KEY = MasterKey("test", base64.b64decode(base64.b64encode(os.urandom(32))))


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 14, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time it is set to."""
        return self.at

    def monotonic(self) -> float:
        """Return seconds."""
        return self.at.timestamp()

    def go_on(self, **how_long: float) -> None:
        """Move on."""
        self.at += timedelta(**how_long)


@dataclass
class Shop:
    """One topic, its codec, and whoever was started on it."""

    config: KafkaConfig
    topics: Topics
    codec: Codec
    producer: Producer
    clock: HandClock = field(default_factory=HandClock)
    readers: list[WebhookRegistry] = field(default_factory=list)

    def reader(self) -> WebhookRegistry:
        """Start a registry, as a new process would."""
        found = WebhookRegistry(self.config, self.topics, self.codec)
        self.readers.append(found)
        found.start()
        return found

    def writer(self, registry: WebhookRegistry | None = None, vault: Vault | None = None) -> Webhooks:
        """Return a store with a registry of its own, or on a given one."""
        policy = load(UrlPolicy, {})
        return Webhooks(self.config, self.topics, registry or self.reader(), vault or Vault((KEY,)), self.codec, policy, self.clock)

    def put(self, key: bytes, value: bytes | None) -> int:
        """Append a record as no writer would; return the offset behind it."""
        return kafka.produce_sync(self.producer, self.topics.webhooks, key=key, value=value) + 1

    def put_webhook(self, webhook: Webhook) -> int:
        """Append a webhook's record."""
        return self.put(webhook.id.encode(), self.codec.encode_record(SUBJECT, webhook.to_datum()))

    def log(self) -> list[tuple[bytes, bytes | None]]:
        """Return every record of the topic."""
        return [(_bytes(m.key()) or b"", _bytes(m.value())) for m in kafka.scan(self.config, [self.topics.webhooks])]

    def compacted(self) -> dict[str, Webhook]:
        """Return what compaction would leave: the last record of each key."""
        last = {key.decode(): value for key, value in self.log()}
        return {key: Webhook.from_datum(self.codec.decode_record(value)[1]) for key, value in last.items() if value is not None}

    def new(self, path: str = "a", *types: str, **more: Any) -> NewWebhook:
        """Return what a store would ask for."""
        wanted = NewWebhook(store_id="shop", url=f"https://hooks.example.com/{path}", event_types=types or ("order.created",))
        return replace(wanted, **more)


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


@pytest.fixture(scope="module")
def ground(kafka_environ: dict[str, str]) -> Iterator[tuple[KafkaConfig, Codec, Producer]]:
    """Yield what the tests of a module share: configuration, codec and a producer."""
    config = load(KafkaConfig, kafka_environ)
    registry = EmbeddedRegistry(config)
    registry.start()
    yield config, Codec(registry), kafka.producer(config, linger_ms=0)
    registry.stop()


@pytest.fixture
def shop(ground: tuple[KafkaConfig, Codec, Producer]) -> Iterator[Shop]:
    """Yield a webhooks topic of its own."""
    config, codec, producer = ground
    config = replace(config, topic_prefix=f"t{os.urandom(4).hex()}")
    topics = Topics(config.topic_prefix)
    create(config, [spec for spec in specs(topics, load(TopicsConfig, {})) if spec.name == topics.webhooks], 1)
    made = Shop(config, topics, codec, producer)
    yield made
    for reader in made.readers:
        reader.stop()
