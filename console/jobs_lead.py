"""Which console runs the jobs: the one that Kafka has given the only partition of the jobs topic to, for as long as it can prove it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from hookline.kernel import kafka, lost
from hookline.kernel.log import logger
from hookline.schemas.topics import Topics

_log = logger("jobs")
GROUP: Final = "jobs"
_POLL_S: Final = 0.1
_PROVE_S: Final = 1.0


class Lead:
    """A membership in the group `jobs`; one thread polls it, any thread asks `leading`.

    Being assigned is not enough: a process that stood still (SIGSTOP, a paused machine) does not know yet that another one has taken
    over. So the lead lasts for half a session from when a commit was sent that the group's coordinator took.
    """

    def __init__(self, config: kafka.KafkaConfig, topics: Topics) -> None:
        self._config = config
        self._topic = topics.jobs
        self._lease_s = config.session_timeout_ms / 2_000
        self._consumer: Consumer | None = None
        self._loss = lost.Loss()
        self._assigned = False
        self._silent = False
        self._asked_at: float | None = None
        self._proven_at = -float("inf")
        self.term = 0

    @property
    def leading(self) -> bool:
        """Whether this process may run jobs at this moment."""
        return self._assigned and time.monotonic() - self._proven_at < self._lease_s

    def start(self) -> None:
        """Join the group."""
        loss = lost.Loss()
        consumer = kafka.group_consumer(self._config, GROUP, on_commit=self._committed, **loss.settings())
        consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)
        self._loss, self._consumer = loss, consumer

    def poll(self) -> None:
        """Stay a member and prove it; waits a tenth of a second. Raises nothing: what fails lets the lead run out."""
        if self._consumer is None:
            return
        try:
            self._renew()
            self._consumer.poll(_POLL_S)  # its records are followed elsewhere
            if self._assigned and not self._silent:
                self._consumer.pause(self._consumer.assignment())
                self._silent = True
            if self._assigned and self._asked_at is None and time.monotonic() - self._proven_at >= _PROVE_S:
                self._asked_at = time.monotonic()
                self._consumer.commit(offsets=[TopicPartition(self._topic, 0, 0)], asynchronous=True)
        except (KafkaException, RuntimeError) as error:
            time.sleep(_POLL_S)
            self._asked_at = None
            _log.warning("jobs.lead_unproven", error=str(error))

    def stop(self) -> None:
        """Leave the group, so that another console can take over at once."""
        self._assigned = False
        self._proven_at = -float("inf")
        if self._consumer is not None:
            with suppress(KafkaException, RuntimeError):
                self._consumer.close()

    def _renew(self) -> None:
        """Join with another client if this one is lost; raise where that cannot be made now."""
        if self._loss.happened:
            self.stop()
            self.start()

    # ---- callbacks, in the polling thread ----

    def _on_assign(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        if partitions:
            self._assigned, self._silent, self._asked_at = True, False, None
            self.term += 1
            _log.info("jobs.leading")

    def _on_revoke(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        if partitions:
            self._assigned = False
            self._proven_at = -float("inf")
            _log.info("jobs.not_leading")

    def _committed(self, error: KafkaError | None, _partitions: Sequence[TopicPartition]) -> None:
        if error is None and self._asked_at is not None:
            self._proven_at = self._asked_at
        self._asked_at = None
