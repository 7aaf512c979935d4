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


class Commits:
    """Commits of one intake, by its own thread alone.

    In a group of the classic protocol it waits for answers where they matter. Under KIP-848 it never does but by polling on
    (`waits` False): librdkafka 2.16 may never answer a commit of a member that was put out while nobody polls. There what was sent
    before partitions are given back is with Kafka before they are: both go to the coordinator one after the other.
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

    def prove(self, consumer: Consumer, places: list[TopicPartition], poll: Callable[[], None]) -> None:
        """Have Kafka grant a commit; raise `KafkaException` when it does not, or not within a second, in which `poll` is called."""
        if self._waits:
            self._now(consumer, places)
            return
        deadline = time.monotonic() + _PROOF_S
        self._until_answered(poll, deadline)  # an answer to an earlier one is none to this one
        asked_at = time.monotonic()
        if not self._lease.waits:
            consumer.commit(offsets=places, asynchronous=True)
            self._lease.sent()
            self._until_answered(poll, deadline)
        if not self._lease.granted_since(asked_at):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no commit was granted"))  # noqa: SLF001  # librdkafka's local code

    def _until_answered(self, poll: Callable[[], None], deadline: float) -> None:
        while self._lease.waits and time.monotonic() < deadline:
            poll()

    def _now(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        asked_at = time.monotonic()
        consumer.commit(offsets=places, asynchronous=False)
        self._lease.granted(asked_at)
