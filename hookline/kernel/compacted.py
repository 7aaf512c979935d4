"""A compacted topic as a small database: read it whole, then follow it; writers read their own writes.

One partition, one thread that owns the consumer. Used for schemas, webhooks, API keys and jobs.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from hookline.kernel import kafka, lost
from hookline.kernel.errors import BrokerError, BrokerUnavailable, RegistryUnavailable
from hookline.kernel.log import logger

_log = logger("compacted")
_WAIT_S: Final = 0.05
_AGAIN_S: Final = 0.5
_LEAST_S: Final = 0.1
_BATCH: Final = 2_000


class CompactedTopic:
    """Applies every record of a one-partition topic, in order, from the first, for as long as it runs.

    `apply(message)` is called from one thread; what it raises is logged and counted in `faults`, and the
    record is skipped, so that one corrupt record keeps the last good value and stops nobody. Only where it raises
    `RegistryUnavailable` or `BrokerUnavailable`, which is not the record's fault, is the record tried until it goes.

    `memory` is a file that remembers how far the topic reached: a topic that has lost records since (deleted and made
    anew, restored from too old a copy) is refused at start instead of being taken for an empty one. None: no memory.
    `newest` 0 reads from the first record, another number no more than so many of the newest: for a topic that is a
    history and not a state.
    """

    def __init__(
        self, config: kafka.KafkaConfig, topic: str, apply: Callable[[Message], None], *, memory: Path | None = None, newest: int = 0
    ) -> None:
        self._config = config
        self._topic = topic
        self._apply = apply
        self._memory = memory
        self._newest = newest
        self._applied = 0
        self._target = -1
        self._moved = threading.Condition()
        self._asking = threading.Lock()
        self._begun = self._answered = 0  # questions for the end: their number, and that of the one that was answered last
        self._end: int | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._consumer: Consumer | None = None
        self._loss = lost.Loss()
        self._first = 0
        self._watermarks: Consumer | None = None
        self._cluster = ""
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
        """Read to the end as it is now, then follow in a thread; raise `BrokerUnavailable` when that takes too long.

        Raises `BrokerError` when the topic does not exist, or has lost records since `memory` was written.
        """
        self._stopping.clear()  # it may be a second try, after one that took too long
        self._watermarks = kafka.plain_consumer(self._config)
        assert_topic(self._watermarks, self._topic)
        self._target = kafka.end_offset(self._watermarks, self._topic)
        self._refuse_loss(self._watermarks, self._target)
        first = max(0, self._target - self._newest) if self._newest else 0
        self._read_from(first)
        self._thread = threading.Thread(target=self._run, name=f"follow {self._topic}", daemon=True)
        self._thread.start()
        if not self.wait_for(self._target, timeout_s):
            self.stop()
            message = f"{self._topic} could not be read to its end in {timeout_s:g} s ({self._applied} of {self._target})"
            raise BrokerUnavailable(message, remedy="Check the broker's load and the network, then start again.")
        self._remember()

    def stop(self) -> None:
        """Stop following; the applied state stays readable."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)
        self._remember()
        for consumer in (self._consumer, self._watermarks):
            if consumer is not None:
                with suppress(KafkaException, RuntimeError):
                    consumer.close()

    def wait_for(self, offset: int, timeout_s: float) -> bool:
        """Return whether all records below `offset` are applied, waiting up to `timeout_s`."""
        with self._moved:
            return self._moved.wait_for(lambda: self._applied >= offset or self._stopping.is_set(), timeout_s) and self._applied >= offset

    def catch_up(self, timeout_s: float = 5.0) -> bool:
        """Apply all that any writer had acknowledged before this call; thread-safe, one round trip to the broker.

        Those who come while a question is under way share the next one, so that many threads wait for two at most. False:
        that took too long, or the topic ends before what was applied already, since it was made anew.
        """
        known, begun = self._applied, self._begun
        with self._asking:
            if self._answered <= begun:  # what was asked before this call says nothing of what was acknowledged since
                self._begun += 1
                self._end = self._ask_end(timeout_s)
                self._answered = self._begun
            end = self._end
        if end is None:
            return False
        if end < known:
            _log.error("compacted.lost_records", topic=self._topic, end=end, applied=known)
            return False
        return self._applied >= end or self.wait_for(end, timeout_s)

    def _ask_end(self, timeout_s: float) -> int | None:
        if self._watermarks is None or self._stopping.is_set():
            return None
        try:
            return end_of(self._watermarks, self._topic, timeout_s)
        except BrokerError:  # also that there is no such topic: a cluster that has just started may have said so
            self._watermarks = kafka.instead_of(self._watermarks, self._config)
            return None

    def _read_from(self, offset: int) -> None:
        """Read on from an offset, with a client of its own."""
        loss = lost.Loss()
        # The end of the partition is asked for, so that what no consumer is shown at the end (markers of transactions) is passed.
        settings = {"fetch_wait_max_ms": 500, "enable_partition_eof": True, **loss.settings()}
        consumer = kafka.plain_consumer(self._config, **settings)
        consumer.assign([TopicPartition(self._topic, 0, offset)])
        self._loss, self._consumer, self._first = loss, consumer, offset

    # ---- the following thread ----

    def _run(self) -> None:
        while not self._stopping.is_set() and self._consumer is not None:
            try:
                if self._loss.happened:
                    with suppress(KafkaException, RuntimeError):
                        self._consumer.close()
                    self._read_from(max(self._first, self._applied))
                first = self._consumer.poll(_WAIT_S)
                messages = [first, *self._consumer.consume(_BATCH, 0)] if first is not None else []
            except (KafkaException, RuntimeError) as error:
                _log.error("compacted.poll_failed", topic=self._topic, error=str(error))
                self._stopping.wait(_AGAIN_S)
                continue
            for message in messages:
                self._take(message)

    def _take(self, message: Message) -> None:
        error = message.error()
        at = message.offset() or 0
        if error is None:
            self._apply_one(message)
            self._move(at + 1)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # librdkafka's local codes begin with an underscore
            self._move(at)
        else:
            kafka.log_error(error)

    def _move(self, position: int) -> None:
        if position > self._applied and not self._stopping.is_set():
            with self._moved:
                self._applied = position
                self._moved.notify_all()

    def _apply_one(self, message: Message) -> None:
        while not self._stopping.is_set():
            try:
                self._apply(message)
            except (RegistryUnavailable, BrokerUnavailable) as error:
                _log.warning("compacted.waits", topic=self._topic, offset=message.offset(), error=error.message)
                self._stopping.wait(_AGAIN_S)
            except Exception as error:  # noqa: BLE001  # the thread's main loop: whatever a record holds, the next one counts
                self.faults += 1
                _log.error("compacted.bad_record", topic=self._topic, offset=message.offset(), error=f"{type(error).__name__}: {error}")
                return
            else:
                return

    # ---- the memory ----

    def _refuse_loss(self, client: Consumer, end: int) -> None:
        if self._memory is None:
            return
        with kafka.translated():
            self._cluster = str(client.list_topics(self._topic, 10).cluster_id)
        remembered = _remembered(self._memory, self._cluster)
        if end < remembered:
            raise BrokerError(
                f"Topic {self._topic} has lost records: it ends at {end}, and did at {remembered}",
                remedy=f"Restore it. If it was emptied on purpose, delete {self._memory} and start again.",
            )

    def _remember(self) -> None:
        if self._memory is not None and self.ready:
            with suppress(OSError):
                self._memory.parent.mkdir(parents=True, exist_ok=True)
                self._memory.write_text(json.dumps({"cluster": self._cluster, "end": self._applied}))


def _remembered(memory: Path, cluster: str) -> int:
    """Return how far the topic reached, 0 when that is not known of this cluster."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(memory.read_text())
        return int(found["end"]) if found["cluster"] == cluster else 0
    return 0


def end_of(client: Consumer, topic: str, timeout_s: float) -> int:
    """Return what `kafka.end_offset` does, by one request where that makes two; raise `BrokerError`.

    Every batch of events waits for this answer. What is no plain answer is asked for again there, within the same time.
    """
    began = time.monotonic()
    with suppress(KafkaException):
        [found] = client.offsets_for_times([TopicPartition(topic, 0, OFFSET_END)], timeout_s)
        if found.error is None and found.offset >= 0:
            return int(found.offset)
    return kafka.end_offset(client, topic, timeout_s=max(_LEAST_S, timeout_s - (time.monotonic() - began)))


def assert_topic(client: Consumer | None, topic: str) -> None:
    """Raise `BrokerError` with the remedy when a topic does not exist."""
    if client is None or not kafka.partitions_of(client, topic):
        raise BrokerError(f"Topic {topic} does not exist", remedy="Create the topics with `hookline topics create`.")
