"""The sink: attempt records from Kafka into ClickHouse, each exactly once.

Per batch: commit the batch's first offset with its last as metadata (the intent), insert under a token made of the same
offsets, commit the offset after it. Whoever owns the partition next reads an intent as an order to insert exactly that
batch again, under the same token, before anything else; ClickHouse drops what it has. See docs/analytics.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from hookline.analytics import metrics
from hookline.analytics.config import SinkConfig
from hookline.analytics.rows import Decoder
from hookline.analytics.shares import Share, announced, intent
from hookline.analytics.warehouse import Warehouse
from hookline.analytics.writer import BatchWriter
from hookline.kernel import kafka
from hookline.kernel.errors import BrokerError, HooklineError
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.lifecycle import Stop
from hookline.kernel.log import logger
from hookline.schemas.topics import Topics

_log = logger("sink")
GROUP: Final = "sink"
_POLL_S: Final = 0.05
_ASK_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.1
_STALLED_S: Final = 270.0  # below the consumer's max.poll.interval


class Sink:
    """Owns one consumer in the thread that calls `run`; `trouble` and `stalled` may be read from any thread."""

    def __init__(self, config: KafkaConfig, topics: Topics, codec: Decoder, client: Warehouse, settings: SinkConfig) -> None:
        self._kafka = config
        self._topic = topics.attempts
        self._rejected_topic = topics.attempts_rejected
        self._codec = codec
        self._client = client
        self._settings = settings
        self._shares: dict[int, Share] = {}
        self._consumer: Consumer | None = None
        self._holding = False
        self._beat = time.monotonic()
        self.trouble = "no partition of the attempts topic is assigned yet"

    def run(self, stop: Stop) -> None:
        """Move records until `stop`, then write what is held if that needs no waiting, and leave the group."""
        consumer = self._consumer = kafka.group_consumer(self._kafka, GROUP)
        producer = kafka.producer(self._kafka)
        writer = BatchWriter(self._client, self._codec, producer, self._rejected_topic, self._settings)
        consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)
        try:
            while not stop.is_set():
                self._take(consumer, _POLL_S)
                self._learn(consumer)
                if self._due():
                    self._write_all(consumer, writer, stop)
            self._write_all(consumer, writer, stop)
        finally:
            consumer.close()

    def stalled(self) -> str:
        """Return an empty text while the loop turns, else a sentence: the liveness probe."""
        silent_s = time.monotonic() - self._beat
        return f"the sink's loop has not turned for {silent_s:.0f} s" if silent_s > _STALLED_S else ""

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # librdkafka keeps the paused state of a partition across assignments: set it anew.
        self._shares |= {p.partition: Share(p.partition) for p in partitions}
        consumer.incremental_assign(partitions)
        (consumer.pause if self._holding else consumer.resume)(partitions)
        self._at_ease()
        _log.info("sink.assigned", partitions=sorted(self._shares))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # What was announced and not finished is the next owner's to replay; held records are read again.
        for partition in partitions:
            self._shares.pop(partition.partition, None)

    def _take(self, consumer: Consumer, wait_s: float) -> None:
        self._beat = time.monotonic()
        room = max(1, self._settings.batch_rows - sum(len(share.messages) for share in self._shares.values()))
        for message in kafka.fetch(consumer, room, wait_s):
            share = self._shares.get(message.partition() or 0)
            if share is not None:
                share.add(message, self._beat)

    def _learn(self, consumer: Consumer) -> None:
        """Read committed offsets and intents of partitions that are new here."""
        unknown = [TopicPartition(self._topic, share.partition) for share in self._shares.values() if not share.known]
        if not unknown:
            return
        try:
            for found in consumer.committed(unknown, _ASK_S):
                self._learn_one(consumer, found)
        except (KafkaException, BrokerError) as error:
            self._say(error if isinstance(error, BrokerError) else kafka.translate(error.args[0]))

    def _learn_one(self, consumer: Consumer, found: TopicPartition) -> None:
        share = self._shares.get(found.partition)
        if share is None:
            return
        if found.error is not None:
            raise kafka.translate(found.error)
        last = announced(found.metadata) if found.offset >= 0 else None
        if last is not None:
            low, high = consumer.get_watermark_offsets(TopicPartition(self._topic, found.partition), _ASK_S, cached=False)
            if low > found.offset or high <= last:
                _log.error("sink.announced_records_gone", partition=found.partition, first=found.offset, last=last, low=low, high=high)
            share.replay_to = last if low <= last < high else None
        share.known = True

    def _due(self) -> bool:
        shares = [share for share in self._shares.values() if share.known and share.messages]
        if not shares:
            return False
        full = (
            sum(len(s.messages) for s in shares) >= self._settings.batch_rows
            or sum(s.held_bytes for s in shares) >= self._settings.batch_bytes
        )
        old = time.monotonic() - min(share.since for share in shares) >= self._settings.batch_wait_s
        return full or old or any(share.replayable() for share in shares)

    def _write_all(self, consumer: Consumer, writer: BatchWriter, stop: Stop) -> None:
        """Announce, insert and commit the next batch of every partition that has one."""
        batches = {partition: batch for partition, share in self._shares.items() if (batch := share.batch())}
        for partition in [p for p, share in self._shares.items() if share.replayable() and p not in batches]:
            self._shares[partition].replay_to = None  # retention took the whole announced batch
        if not batches or not self._commit(consumer, {p: (_first(batch), intent(_last(batch))) for p, batch in batches.items()}):
            return
        written = {p: batch for p, batch in batches.items() if p in self._shares and self._write_one(consumer, writer, p, batch, stop)}
        if written:
            self._commit(consumer, {p: (_last(batch) + 1, "") for p, batch in written.items()})
            self._measure(consumer)

    def _write_one(self, consumer: Consumer, writer: BatchWriter, partition: int, batch: list[Message], stop: Stop) -> bool:
        """Insert one batch, trying until it is in; return False when the stop or another owner comes first."""
        pause_s = _FIRST_PAUSE_S
        share = self._shares[partition]
        while self._shares.get(partition) is share:
            try:
                (writer.rewrite if share.replay_to is not None else writer.write)(self._topic, partition, batch)
            except HooklineError as error:
                self._say(error)
                metrics.RETRIES.inc()
                self._hold(consumer, pause_s, stop)
                pause_s = min(2 * pause_s, self._settings.backoff_max_s)
                if stop.is_set():
                    return False
            else:
                self._count(batch, replayed=share.replay_to is not None)
                share.settle(_last(batch), time.monotonic())
                self._at_ease()
                return True
        return False

    def _hold(self, consumer: Consumer, pause_s: float, stop: Stop) -> None:
        """Let time pass with all partitions paused while the consumer keeps its place in the group."""
        deadline = time.monotonic() + pause_s
        self._holding = True
        consumer.pause(consumer.assignment())
        while time.monotonic() < deadline and not stop.is_set():
            self._take(consumer, min(_POLL_S, pause_s))
        self._holding = False
        consumer.resume(consumer.assignment())

    def _commit(self, consumer: Consumer, places: dict[int, tuple[int, str]]) -> bool:
        """Commit offsets with metadata; return False, with the trouble said, when the group did not take one of them."""
        offsets = [TopicPartition(self._topic, partition, offset, metadata) for partition, (offset, metadata) in places.items()]
        try:
            done = consumer.commit(offsets=offsets, asynchronous=False) or []
            refused = [p.error for p in done if p.error is not None]
        except KafkaException as failure:
            refused = [failure.args[0]]
        for error in refused[:1]:
            self._say(kafka.translate(error))
            time.sleep(_FIRST_PAUSE_S)
        return not refused

    def _say(self, error: HooklineError) -> None:
        if self.trouble != error.message:
            _log.error("sink.waiting", error=error.message, remedy=error.remedy)
        self.trouble = error.message
        metrics.WAITING.set(1)

    def _at_ease(self) -> None:
        if self.trouble:
            _log.info("sink.working")
        self.trouble = ""
        metrics.WAITING.set(0)

    def _count(self, batch: list[Message], *, replayed: bool) -> None:
        metrics.ROWS.inc(len(batch))
        metrics.BATCHES.inc()
        metrics.BATCH_ROWS.observe(len(batch))
        metrics.DELAY.set(max(0.0, time.time() - batch[-1].timestamp()[1] / 1_000))
        if replayed:
            metrics.REPLAYED.inc()
            _log.warning("sink.replayed", partition=batch[0].partition(), first=_first(batch), last=_last(batch))

    def _measure(self, consumer: Consumer) -> None:
        """Set the lag from the high watermarks that came with the last fetches."""
        places = consumer.position([TopicPartition(self._topic, partition) for partition in self._shares])
        lag = sum(len(share.messages) for share in self._shares.values())
        for place in places:
            _low, high = consumer.get_watermark_offsets(place, cached=True)
            lag += max(0, high - place.offset) if place.offset >= 0 else 0
        metrics.LAG.set(lag)


def _first(batch: Sequence[Message]) -> int:
    return batch[0].offset() or 0


def _last(batch: Sequence[Message]) -> int:
    return batch[-1].offset() or 0
