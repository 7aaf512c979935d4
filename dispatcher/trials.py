"""Test calls: one signed call to a webhook, made by some dispatcher, and the receiver's answer to it."""

from __future__ import annotations

import threading
import time
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from hookline.dispatcher.replays import Replays
from hookline.kernel import kafka
from hookline.kernel.errors import Closed, NoDispatcher, WireError
from hookline.schemas.events import Event
from hookline.schemas.records import Attempt
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from hookline.webhooks.model import Webhook

_BATCH: Final = 500
_POLL_S: Final = 0.2


class Trials:
    """Sends tests and waits for them on the attempts topic; any number of threads at a time, each with its own consumer."""

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, codec: Codec) -> None:
        self._config = config
        self._topics = topics
        self._codec = codec
        self._replays = Replays(config, topics, codec)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End all waiting: whoever waits gets `Closed`."""
        self._stopping.set()

    def send(self, webhook: Webhook, event: Event, wait_s: float) -> Attempt:
        """Return the attempt that a test made, failed ones too.

        Raises `NoDispatcher` after `wait_s`, `Closed` after `stop`, or `BrokerError`.
        """
        consumer = kafka.plain_consumer(self._config)
        try:
            consumer.assign(self._ends(consumer))  # before the test is sent, so that its attempt cannot be missed
            delivery_id = self._replays.test(webhook, event)
            deadline = time.monotonic() + wait_s
            while time.monotonic() < deadline and not self._stopping.is_set():
                for message in kafka.fetch(consumer, _BATCH, _POLL_S):
                    attempt = self._attempt(message.value(), delivery_id)
                    if attempt is not None:
                        return attempt
        finally:
            consumer.close()
        if self._stopping.is_set():
            raise Closed(
                "The test call is not waited for any more: this process stops", remedy=f"Its answer will be in the log: {delivery_id}"
            )
        remedy = f"Start one with `hookline dispatch` or `hookline up`; it will make the call then: hookline log --delivery {delivery_id}"
        raise NoDispatcher(f"No dispatcher answered within {wait_s:g} s", remedy=remedy)

    def _ends(self, consumer: Consumer) -> list[TopicPartition]:
        topic = self._topics.attempts
        partitions = range(kafka.partitions_of(consumer, topic))
        return [TopicPartition(topic, partition, kafka.end_offset(consumer, topic, partition)) for partition in partitions]

    def _attempt(self, value: object, delivery_id: str) -> Attempt | None:
        """Return the attempt of a delivery, None for any other record."""
        if not isinstance(value, bytes) or delivery_id.encode() not in value:  # cheaper than decoding a busy topic
            return None
        try:
            attempt = self._codec.decode_attempt(value)
        except WireError:
            return None
        return attempt if attempt.delivery_id == delivery_id else None
