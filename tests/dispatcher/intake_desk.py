"""An intake whose thread is the test's own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import TopicPartition

from hookline.dispatcher.intake import Intake
from hookline.dispatcher.shares import Record
from hookline.dispatcher.source import IntakeLimits, Source
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from tests.dispatcher.fake_kafka import TOPICS, FakeConsumer, message

ORDERS = TOPICS.events("orders")
TIER = TOPICS.retry("5s")


@dataclass
class Desk:
    """An intake whose thread is the test's own, one step at a time."""

    source: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    protocol: str = "classic"

    def __post_init__(self) -> None:
        config = load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": "nowhere:1", "HOOKLINE_GROUP_PROTOCOL": self.protocol})
        limits = {"pending": 100, "pending_bytes": 10_000, "commit_s": 1.0, "revoke_s": 0.5, "lease_s": 5.0} | self.limits
        source = {"name": "test", "topics": [ORDERS], "group": "g"} | self.source
        self.taken: list[Record] = []
        self.intake = Intake(config, Source(**source), IntakeLimits(**limits), self._sink)
        self.consumer: Any = FakeConsumer()
        self.consumer.on_commit = self.intake._committed

    def _sink(self, intake: Intake, records: list[Record]) -> None:
        assert intake is self.intake
        self.taken += records

    def assign(self, *partitions: int, topic: str = ORDERS) -> None:
        """Be given partitions."""
        self.intake._assigned(self.consumer, [TopicPartition(topic, p) for p in partitions])

    def step(self, *offsets: int, partition: int = 0, topic: str = ORDERS, **more: Any) -> list[int]:
        """Let the consumer give a batch, go once round the loop, and return the offsets taken up."""
        before = len(self.taken)
        if offsets:
            self.consumer.batches.append([message(b"x", topic=topic, partition=partition, offset=o, **more) for o in offsets])
        self.intake._settle_done()
        messages = self.intake._fetch(self.consumer)
        if self.intake._ours(self.consumer, messages):
            self.intake._hand_over(self.consumer, messages)
        else:
            self.intake._give_back(self.consumer, messages)
        self.intake._resume_due(self.consumer, time.monotonic())
        return [record.offset for record in self.taken[before:]]

    def settle(self, *offsets: int) -> None:
        """Settle records by their offsets."""
        for record in self.taken:
            if record.offset in offsets:
                self.intake.done(record)
        self.intake._settle_done()

    def commits(self) -> list[Any]:
        """Commit, and return what was committed so far, now and later."""
        self.intake._commit_async(self.consumer)
        return [place[2] for what in ("commit", "commit now") for places in self.consumer.what(what) for place in places]

    def stand_still(self, seconds: float = 60.0) -> None:
        """Let the process have been stopped."""
        self.intake.lease.beat -= seconds
