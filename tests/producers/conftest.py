"""What the producers' tests share: a cluster with its own topics on the session's broker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec

pytest.register_assert_rewrite("tests.producers.fakes", "tests.producers.serving")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Topics of one test module on the session's broker, and a registry that is started."""

    environ: dict[str, str]
    config: KafkaConfig
    topics: Topics
    registry: EmbeddedRegistry
    codec: Codec


@pytest.fixture(scope="module")
def cluster(kafka_environ: dict[str, str]) -> Iterator[Cluster]:
    """Yield a cluster of this module's own."""
    environ = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"p{os.urandom(4).hex()}", "HOOKLINE_EVENT_PARTITIONS": "2"}
    config = load(KafkaConfig, environ)
    create(config, specs(Topics(config.topic_prefix), load(TopicsConfig, environ)), 1)
    registry = EmbeddedRegistry(config)
    registry.start()
    yield Cluster(environ, config, Topics(config.topic_prefix), registry, Codec(registry))
    registry.stop()
