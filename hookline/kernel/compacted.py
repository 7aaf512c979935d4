"""A compacted topic as a small database: read it whole, then follow it; writers read their own writes.

One partition, one thread that owns the consumer. Used for schemas, webhooks, API keys and jobs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from hookline.kernel import kafka
from hookline.kernel.errors import BrokerError, BrokerUnavailable, HooklineError
from hookline.kernel.log import logger

_log = logger("compacted")
_WAIT_S: Final = 0.05
_BATCH: Final = 2_000


class CompactedTopic:
    """Applies every record of a one-partition topic, in order, from the first, for as long as it runs.

    `apply(message)` is called from one thread; what it raises is logged and counted in `faults`, and the
    record is skipped, so that one corrupt record keeps the last good value and stops nobody. `newest` 0 reads from the
    first record, another number no more than so many of the newest: for a topic that is a history and not a state.
    """

    def __init__(self, config: kafka.KafkaConfig, topic: str, apply: Callable[[Message], None], *, newest: int = 0) -> None:
        self._config = config
        self._topic = topic
        self._apply = apply
        self._newest = newest
        self._applied = 0
        self._target = -1
        self._moved = threading.Condition()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._consumer: Consumer | None = None
        self._watermarks: Consumer | None = None
        self.faults = 0

    @property
    def applied(self) -> int:
        """The next offset to apply: all below it are applied."""
        return self._applied

    @property
    def ready(self) -> bool:
        """Whether everything that was there at the start has been applied."""
        return 0 <= self._target <= self._applied

    def start(self, timeout_s: float = 60.0) -> None:
        """Read to the end as it is now, then follow in a thread; raise `BrokerUnavailable` when that takes too long."""
        self._consumer = kafka.plain_consumer(self._config, fetch_wait_max_ms=50)
        self._watermarks = kafka.plain_consumer(self._config)
        self._require_topic()
        self._target = kafka.end_offset(self._watermarks, self._topic)
        first = max(0, self._target - self._newest) if self._newest else 0
        self._consumer.assign([TopicPartition(self._topic, 0, first)])
        self._thread = threading.Thread(target=self._run, name=f"follow {self._topic}", daemon=True)
        self._thread.start()
        if not self.wait_for(self._target, timeout_s):
            self.stop()
            message = f"{self._topic} could not be read to its end in {timeout_s:g} s ({self._applied} of {self._target})"
            raise BrokerUnavailable(message, remedy="Check the broker's load and the network, then start again.")

    def stop(self) -> None:
        """Stop following; the applied state stays readable."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)
        for consumer in (self._consumer, self._watermarks):
            if consumer is not None:
                with suppress(KafkaException, RuntimeError):
                    consumer.close()

    def wait_for(self, offset: int, timeout_s: float) -> bool:
        """Return whether all records below `offset` are applied, waiting up to `timeout_s`."""
        with self._moved:
            return self._moved.wait_for(lambda: self._applied >= offset or self._stopping.is_set(), timeout_s) and self._applied >= offset

    def catch_up(self, timeout_s: float = 5.0) -> bool:
        """Apply all that any writer had acknowledged before this call; return False when that took too long.

        One round trip to the broker. Call it from one thread only.
        """
        if self._watermarks is None:
            return False
        try:
            end = kafka.end_offset(self._watermarks, self._topic, timeout_s=timeout_s)
        except BrokerError:
            return False
        return self._applied >= end or self.wait_for(end, timeout_s)

    def _require_topic(self) -> None:
        assert_topic(self._watermarks, self._topic)

    def _run(self) -> None:
        while not self._stopping.is_set() and self._consumer is not None:
            messages = kafka.fetch(self._consumer, _BATCH, _WAIT_S)
            for message in messages:
                self._apply_one(message)
            position = self._position(messages)
            if position > self._applied:
                with self._moved:
                    self._applied = position
                    self._moved.notify_all()

    def _position(self, messages: list[Message]) -> int:
        """Return the consumer's position: past the last record even where compaction left gaps at the end."""
        last = (messages[-1].offset() or 0) + 1 if messages else 0
        if self._applied >= self._target or self._consumer is None:
            return last
        found = self._consumer.position([TopicPartition(self._topic, 0)])[0].offset
        return max(last, found)

    def _apply_one(self, message: Message) -> None:
        try:
            self._apply(message)
        except (HooklineError, ValueError, KeyError, TypeError, IndexError, EOFError) as error:
            self.faults += 1
            _log.error("compacted.bad_record", topic=self._topic, offset=message.offset(), error=f"{type(error).__name__}: {error}")


def assert_topic(client: Consumer | None, topic: str) -> None:
    """Raise `BrokerError` with the remedy when a topic does not exist."""
    if client is None or not kafka.partitions_of(client, topic):
        raise BrokerError(f"Topic {topic} does not exist", remedy="Create the topics with `hookline topics create`.")
