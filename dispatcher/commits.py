"""How an intake's positions come onto Kafka, and how a commit proves that the intake is a member of its group."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from hookline.dispatcher.lease import Lease
from hookline.kernel.log import logger

_log = logger("intake")
_PROOF_S: Final = 1.0
_UNANSWERED_S: Final = 90.0
"""Longer than librdkafka waits for a coordinator (45 s) or for an answer (60 s)."""


class Commits:
    """Commits of one intake, by its own thread alone.

    It waits for answers by polling on: librdkafka 2.16 may never answer a commit of a member that was put out while nobody polls.
    But before partitions of a group of the classic protocol are given back (`waits`) it waits as it is, since that is within a poll.
    Under KIP-848 what was sent before is with Kafka before they are: both go to the coordinator one after the other.
    """

    def __init__(self, name: str, lease: Lease, *, waits: bool) -> None:
        self._name = name
        self._lease = lease
        self._waits = waits

    def send(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Commit without waiting; what fails is tried again in a moment."""
        if places:
            with suppress(KafkaException):
                consumer.commit(offsets=places, asynchronous=True)
                self._lease.sent()

    def last(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Commit before partitions are given back, or the group is left."""
        if not self._waits:
            self.send(consumer, places)
        elif places:
            try:
                self._now(consumer, places)
            except KafkaException as error:  # normal in a rebalance: it means duplicates, never loss
                _log.info("intake.commit_refused", source=self._name, error=str(error))

    def leave(self, consumer: Consumer, places: Callable[[], list[TopicPartition]], poll: Callable[[], object]) -> None:
        """Commit before the group is left; what is refused because the group goes on at that moment is sent once more."""
        self.last(consumer, places())
        if not self._waits:
            self._hear(poll)
            self.last(consumer, places())
            self._hear(poll)

    def unanswered(self) -> bool:
        """Tell, loudly, that a commit is answered no more: this client will never work again."""
        lost = self._lease.unanswered_s > _UNANSWERED_S
        if lost:
            _log.error("intake.unanswered", source=self._name, seconds=round(self._lease.unanswered_s))
        return lost

    def _hear(self, poll: Callable[[], object]) -> None:
        deadline = time.monotonic() + _PROOF_S
        while self._lease.waits and time.monotonic() < deadline:
            poll()

    def prove(self, consumer: Consumer, places: list[TopicPartition], since: float, poll: Callable[[], object]) -> None:
        """Have Kafka grant a commit, or one that was sent `since` then; raise `KafkaException` when it does not within a second."""
        consumer.commit(offsets=places, asynchronous=True)
        self._lease.sent()
        deadline = time.monotonic() + _PROOF_S
        while not self._lease.granted_since(since) and self._lease.waits and time.monotonic() < deadline:
            poll()
        if not self._lease.granted_since(since):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no commit was granted"))  # noqa: SLF001  # librdkafka's local code

    def _now(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        asked_at = time.monotonic()
        consumer.commit(offsets=places, asynchronous=False)
        self._lease.granted(asked_at)
