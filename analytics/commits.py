"""Commits that are waited for by polling on.

A commit that was under way while Kafka stood still may never be answered (librdkafka 2.16): one was waited for for five minutes,
until the sink's end. Who polls meanwhile keeps its place in the group, hears of rebalances, and that its client is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition


class Commits:
    """The commits of one consumer, one at a time, from the thread that polls it; `settings` are for that consumer."""

    def __init__(self) -> None:
        self._refused: list[KafkaError] | None = []

    def settings(self) -> dict[str, Any]:
        """Return what the consumer is to be made with, by librdkafka's names with `_` for `.`."""
        return {"on_commit": self._heard}

    def send(self, consumer: Consumer, offsets: Sequence[TopicPartition]) -> None:
        """Send a commit; poll until `answered`."""
        self._refused = None
        try:
            consumer.commit(offsets=list(offsets), asynchronous=True)
        except KafkaException as failure:
            self._refused = [failure.args[0]]

    @property
    def answered(self) -> bool:
        """Whether the commit that was sent last, if any was, has its answer."""
        return self._refused is not None

    @property
    def refused(self) -> list[KafkaError]:
        """Why Kafka did not take what was sent last, or some of it; empty when it took all, or did not answer."""
        return self._refused or []

    def _heard(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        self._refused = [error] if error is not None else [p.error for p in partitions if p.error is not None]
