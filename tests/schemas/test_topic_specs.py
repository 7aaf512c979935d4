"""Topics as they are asked for: what is acknowledged rests on more than one copy where there are three."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas import topics
from hookline.schemas.topics import Topics, TopicsConfig, create, min_insync, specs

pytestmark = pytest.mark.unit


class Cluster:
    """Stands in for the admin client: notes what is asked for, and has made it at once."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def create_topics(self, new: list[Any], operation_timeout: float) -> dict[str, Future[None]]:
        """Answer as the client does, one future a topic."""
        assert operation_timeout > 0
        self.made = new
        done: Future[None] = Future()
        done.set_result(None)
        return {topic.topic: done for topic in new}

    def list_topics(self, timeout: float) -> SimpleNamespace:
        """Return the names of what was made."""
        assert timeout > 0
        return SimpleNamespace(topics={topic.topic: None for topic in self.made})


@pytest.mark.parametrize(("copies", "acknowledged"), [(1, 1), (2, 1), (3, 2), (5, 2)])
def test_how_many_copies_acknowledge(copies: int, acknowledged: int) -> None:
    """Two of three or more; of two, one: or no write is taken while a broker restarts."""
    assert min_insync(copies) == acknowledged


@pytest.mark.parametrize(("copies", "acknowledged"), [(1, "1"), (3, "2")])
def test_every_topic_is_made_with_it(monkeypatch: pytest.MonkeyPatch, copies: int, acknowledged: str) -> None:
    """No topic is left to the brokers' default, which is 1, and each keeps its own settings."""
    cluster = Cluster()
    monkeypatch.setattr(topics, "admin", lambda _: cluster)
    wanted = specs(Topics("t"), load(TopicsConfig, {}))
    create(load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": "unused:9092"}), wanted, copies)
    made = {topic.topic: (topic.replication_factor, topic.config) for topic in cluster.made}
    assert made == {spec.name: (copies, {**spec.config, "min.insync.replicas": acknowledged}) for spec in wanted}
