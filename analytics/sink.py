"""The sink: attempt records from Kafka into ClickHouse, each exactly once.

Per batch: commit the batch's first offset with its last as metadata (the intent), insert under a token made of the same
offsets, commit the offset after it. Whoever owns the partition next reads an intent as an order to insert exactly that
batch again, under the same token, before anything else; ClickHouse drops what it has. See docs/analytics.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from hookline.analytics import metrics
from hookline.analytics.commits import Commits
from hookline.analytics.config import SinkConfig
from hookline.analytics.erased import ErasedRows
from hookline.analytics.lease import Lease, LeasedWarehouse, NotOurs, now_s
from hookline.analytics.rows import Decoder
from hookline.analytics.shares import Share, announced, intent
from hookline.analytics.warehouse import Warehouse
from hookline.analytics.writer import BatchWriter
from hookline.kernel import kafka, lost
from hookline.kernel.errors import BrokerError, BrokerUnavailable, HooklineError
from hookline.kernel.holes import HOLES
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.lifecycle import Stop
from hookline.kernel.log import logger
from hookline.kernel.writer import Writer
from hookline.schemas.topics import Topics

_log = logger("sink")
GROUP: Final = "sink"
_POLL_S: Final = 0.05
_FETCH: Final = 5_000
# What is fetched is compressed: a few megabytes become tens of them, and those are in nobody's account but librdkafka's.
# Rows wait for their batch anyway, so a fetch may wait for some company: there are fewer of them.
_FETCHED: Final[dict[str, Any]] = {
    "fetch_message_max_bytes": 262_144,
    "fetch_max_bytes": 2_097_152,
    "fetch_min_bytes": 65_536,
    "fetch_wait_max_ms": 250,
    "queued_max_messages_kbytes": 8_192,
}
_PATIENCE_S: Final = 1.0
_BATCHES_HELD: Final = 4
_ASK_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.1
_STALLED_S: Final = 270.0  # below the consumer's max.poll.interval
_ANSWER_S: Final = 0.005
_LATE_S: Final = 5.0
_LOOK_S: Final = 1.0
_UNANSWERED_S: Final = 60.0
"""As long as librdkafka waits for an answer: after that this client will not work again, or Kafka is away and another one is as good."""


class Sink:
    """Owns one consumer in the thread that calls `run`, and one that inserts; `trouble` and `stalled` may be read from any thread."""

    def __init__(
        self, config: KafkaConfig, topics: Topics, codec: Decoder, client: Warehouse, settings: SinkConfig, erased: ErasedRows
    ) -> None:
        self._kafka = config
        self._topic = topics.attempts
        self._rejected_topic = topics.attempts_rejected
        self._codec = codec
        self._client = LeasedWarehouse(client)
        self._settings = settings
        self._erased = erased
        self._batch_bytes = settings.batch_bytes // _BATCHES_HELD
        self._shares: dict[int, Share] = {}
        self._commits = Commits()
        self._loss = lost.Loss()
        self._stop = Stop()
        self._paused = False
        self._inserts = ThreadPoolExecutor(1, thread_name_prefix="insert")
        self._beat = time.monotonic()
        self._next_look = 0.0
        self.trouble = "no partition of the attempts topic is assigned yet"

    def run(self, stop: Stop) -> None:
        """Move records until `stop`, then write what is held if that needs no waiting, and leave the group."""
        self._stop = stop
        writer = BatchWriter(self._client, self._codec, Writer(self._kafka), self._rejected_topic, self._settings, self._erased)
        try:
            while not stop.is_set():
                self._live(writer, stop)
        finally:
            self._inserts.shutdown()

    def _live(self, writer: BatchWriter, stop: Stop) -> None:
        """Move records with one client, until the stop, or until that client is lost and another one must do it."""
        loss = self._loss = lost.Loss()
        self._commits = Commits()
        consumer = kafka.group_consumer(self._kafka, GROUP, **_FETCHED, **self._commits.settings(), **loss.settings())
        consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)
        try:
            while not stop.is_set() and not loss.happened:
                self._take(consumer)
                self._learn(consumer)
                self._tell_emptied(consumer)
                self._write_ripe(consumer, writer, stop)
            if loss.happened:
                self._shares.clear()  # what was announced is replayed by whom Kafka gives it to
            self._write(consumer, writer, list(self._shares.values()), stop)
        finally:
            consumer.close()

    def stalled(self) -> str:
        """Return an empty text while the loop turns, else a sentence: the liveness probe."""
        silent_s = time.monotonic() - self._beat
        return f"the sink's loop has not turned for {silent_s:.0f} s" if silent_s > _STALLED_S else ""

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # librdkafka keeps the paused state of a partition across assignments: set it anew.
        self._shares |= {p.partition: Share(p.partition) for p in partitions}
        for p in partitions:
            HOLES.forget(p.topic, p.partition)
        # A commit of before that came to Kafka now might set an offset back behind what others have written meanwhile.
        self._loss.happened |= not self._commits.answered
        consumer.incremental_assign(partitions)
        (consumer.pause if self._paused else consumer.resume)(partitions)
        self._at_ease()
        _log.info("sink.assigned", partitions=sorted(self._shares))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # What was announced and not finished is the next owner's to replay; held records are read again.
        for partition in partitions:
            self._shares.pop(partition.partition, None)

    def _take(self, consumer: Consumer, wait_s: float = _POLL_S) -> None:
        """Poll: hold new records up to a few full batches, beyond that only keep the place in the group."""
        self._beat = time.monotonic()
        full = self._full()
        if full != self._paused:
            (consumer.pause if full else consumer.resume)(consumer.assignment())
            self._paused = full
        found: dict[int, list[Message]] = {}
        fetched = kafka.fetch(consumer, 1 if full else min(_FETCH, self._settings.batch_rows), wait_s)
        for (_, gone_from), gone in HOLES.before(fetched).items():
            _tell_hole(gone_from, gone)
        for message in fetched:
            found.setdefault(message.partition() or 0, []).append(message)
        for partition, messages in found.items():
            if (share := self._shares.get(partition)) is not None:
                share.add(messages, self._beat)

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
            share.replay_to, share.torn = (last, low > found.offset) if low <= last < high else (None, False)
        share.known = True

    def _tell_emptied(self, consumer: Consumer) -> None:
        """Tell where retention left nothing to read, and commit behind it, or the next owner would tell it again until a record comes."""
        if self._beat < self._next_look:
            return
        self._next_look, behind = self._beat + _LOOK_S, dict[int, tuple[int, str]]()
        for share in self._shares.values():
            place = self._topic, share.partition
            if HOLES.waits(place) and share.known and not share.messages and share.replay_to is None:
                low, _high = consumer.get_watermark_offsets(TopicPartition(*place), cached=True)  # it came with the last fetch
                if low <= consumer.position([TopicPartition(*place)])[0].offset:  # not known yet, or another client was sent on
                    continue
                if gone := HOLES.left_from(place, low):
                    _tell_hole(share.partition, gone)
                    behind[share.partition] = low, ""
        if behind:
            self._commit(consumer, behind)

    def _full(self) -> bool:
        """Tell whether enough is held; an announced batch must be read to its end, however long."""
        shares = self._shares.values()
        if any(share.replay_to is not None and not share.replayable() for share in shares):
            return False
        rows, size = sum(len(share.messages) for share in shares), sum(share.held_bytes for share in shares)
        return rows >= _BATCHES_HELD * self._settings.batch_rows or size >= self._settings.batch_bytes

    def _write_ripe(self, consumer: Consumer, writer: BatchWriter, stop: Stop) -> None:
        """Write the partitions whose batch is full, old enough or announced; all of them when no more can be held."""
        now, full = time.monotonic(), self._full()
        ripe = [share for share in self._shares.values() if full or self._ripe(share, now)]
        if ripe:
            self._write(consumer, writer, ripe, stop)

    def _ripe(self, share: Share, now: float) -> bool:
        if not share.known or not share.messages:
            return False
        filled = len(share.messages) >= self._settings.batch_rows or share.held_bytes >= self._batch_bytes
        enough = filled or now - share.since >= self._settings.batch_wait_s
        return enough or share.replayable()

    def _write(self, consumer: Consumer, writer: BatchWriter, shares: list[Share], stop: Stop) -> None:
        """Announce, insert and commit the next batch of each share that has one."""
        for share in shares:
            share.forget_lost_intent()
        held = {share.partition: share for share in shares}
        leases = {share.partition: Lease(stop, self._kafka.session_timeout_ms / 1_000) for share in shares}
        batches = {p: batch for p, share in held.items() if (batch := share.batch(self._settings.batch_rows, self._batch_bytes))}
        if not batches or not self._commit(consumer, {p: (_first(batch), intent(_last(batch))) for p, batch in batches.items()}):
            return
        writes = {p: self._inserts.submit(self._write_one, writer, held[p], batch, leases[p], stop) for p, batch in batches.items()}
        # Meanwhile hold what comes; once no more can be held, a poll now and then keeps the place in the group.
        while wait(writes.values(), _PATIENCE_S if self._full() else 0).not_done:
            for p, batch in batches.items():
                if leases[p].asked:
                    self._prove(consumer, leases[p], held[p], batch)
            self._take(consumer)
        written = {p: batches[p] for p, write in writes.items() if write.result() and self._shares.get(p) is held[p]}
        for p in batches.keys() - written.keys():
            held[p].replay_to = _last(batches[p])  # it may be in all the same: under another announcement it would come in twice
        for partition, batch in written.items():
            held[partition].settle(len(batch), time.monotonic())
        if written:
            self._commit(consumer, {p: (_last(batch) + 1, "") for p, batch in written.items()})
            self._measure(consumer)

    def _prove(self, consumer: Consumer, lease: Lease, share: Share, batch: list[Message]) -> None:
        """Announce a batch again: Kafka takes that of the partition's owner alone.

        In this thread, in which a partition is taken and given: in another one the commit might wait until the partition, which
        others had meanwhile, is here again, and set its offset back. A refusal answers nothing: the next poll says what it means.
        """
        began_s = now_s()
        if self._loss.happened or self._shares.get(share.partition) is not share:
            lease.deny()
        elif self._commit(consumer, {share.partition: (_first(batch), intent(_last(batch)))}):
            lease.grant(began_s)

    def _write_one(self, writer: BatchWriter, share: Share, batch: list[Message], lease: Lease, stop: Stop) -> bool:
        """Insert one batch, trying until it is in; return False when the stop or another owner comes first.

        Runs in the insert thread, while the consumer's thread keeps polling, and proves the partition before each further try.
        """
        self._client.lease = lease
        pause_s, replayed = _FIRST_PAUSE_S, share.replay_to is not None
        write = writer.complete if share.torn else writer.rewrite if replayed else writer.write
        while self._shares.get(share.partition) is share:
            try:
                write(self._topic, share.partition, batch)
            except NotOurs:
                return False
            except HooklineError as error:
                self._say(error)
                metrics.RETRIES.inc()
                # Part of it may be there now, also where ClickHouse died in the middle.
                write = writer.complete if share.torn else writer.rewrite
            else:
                self._count(batch, replayed=replayed)
                self._at_ease()
                return True
            if stop.wait(pause_s) or not _renewed(lease):
                return False
            pause_s = min(2 * pause_s, self._settings.backoff_max_s)
        return False

    def _commit(self, consumer: Consumer, places: dict[int, tuple[int, str]]) -> bool:
        """Commit offsets with metadata; return False, with the trouble said, when the group did not take one of them.

        At a stop an earlier commit may be without its answer: that would count as this one's, so that nothing more is sent before it.
        """
        if not self._commits.answered:
            return False
        offsets = [TopicPartition(self._topic, partition, offset, metadata) for partition, (offset, metadata) in places.items()]
        self._commits.send(consumer, offsets)
        if not self._heard(consumer):
            return False
        for error in self._commits.refused[:1]:
            self._say(kafka.translate(error))
            time.sleep(_FIRST_PAUSE_S)
        return not self._commits.refused

    def _heard(self, consumer: Consumer) -> bool:
        """Poll until Kafka has answered a commit; return False at a stop that would wait long, or when this client is given up.

        What was sent and not heard of is with Kafka or not; whoever has the partition next reads there what is.
        """
        sent_at = time.monotonic()
        while not self._commits.answered:
            self._take(consumer, _ANSWER_S)
            silent_s = time.monotonic() - sent_at
            if silent_s > _LATE_S:
                self._say(BrokerUnavailable("Kafka does not answer a commit", remedy="Check the brokers; nothing is lost meanwhile."))
            self._loss.happened |= silent_s > _UNANSWERED_S
            if self._loss.happened or (self._stop.is_set() and silent_s > _LATE_S):
                return False
        return True

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
        """Set the lag from the high watermarks that came with the last fetches; unknown ones leave it as it was."""
        lag = sum(len(share.messages) for share in self._shares.values())
        with suppress(KafkaException):
            for place in consumer.position([TopicPartition(self._topic, partition) for partition in self._shares]):
                _low, high = consumer.get_watermark_offsets(place, cached=True)
                lag += max(0, high - place.offset) if place.offset >= 0 else 0
            metrics.LAG.set(lag)


def _renewed(lease: Lease) -> bool:
    """Tell whether the batch is still ours, asked anew."""
    try:
        lease.renew()
    except NotOurs:
        return False
    return True


def _tell_hole(partition: int, gone: int) -> None:
    metrics.MISSED.inc(gone)
    _log.error("sink.records_gone", partition=partition, records=gone)


def _first(batch: Sequence[Message]) -> int:
    return batch[0].offset() or 0


def _last(batch: Sequence[Message]) -> int:
    return batch[-1].offset() or 0
