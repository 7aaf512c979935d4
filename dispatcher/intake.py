"""One consumer, one thread: takes records up, hands them to the event loop, commits what is settled.

Only this thread touches the consumer. The loop posts settled records to `done`; commits follow the lowest unsettled
offset of each partition. Each assignment of a partition is a `Share`: when it is taken away, its share is closed and
whatever still settles under it is ignored, so the next owner decides (a duplicate beats a loss).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from hookline.dispatcher import metrics
from hookline.dispatcher.offsets import Offsets
from hookline.kernel import kafka
from hookline.kernel.lifecycle import Stop
from hookline.kernel.log import logger

_log = logger("intake")
_POLL_S: Final = 0.05
_FULL_WAIT_S: Final = 0.002
_FULL_PAUSE_S: Final = 0.2
_LEAST_PAUSE_S: Final = 0.05
_BATCH: Final = 500
_NOT_OURS: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001  # librdkafka's local codes begin with an underscore
    }
)


@dataclass(slots=True, kw_only=True, eq=False)
class Share:
    """One partition under one assignment.

    `closing` turns True when it is about to be taken away: nothing new may start. `open` turns False, for good, when it is.
    """

    topic: str
    partition: int
    offsets: Offsets = field(default_factory=Offsets)
    open: bool = True
    closing: bool = False
    committed: int | None = None
    resume_at: float = 0.0
    poison_run: int = 0
    held: bool = False
    under_way: int = 0


@dataclass(slots=True, frozen=True, eq=False)
class Record:
    """A message and the share it was taken up under."""

    message: Message
    share: Share
    offset: int


class Sink(Protocol):
    """Takes a batch of records; called on the intake's thread, must hand over and return."""

    def __call__(self, intake: Intake, records: list[Record]) -> None:
        """Take the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an intake reads: its name (a metric label), topics, group, and how long records wait until they are due."""

    name: str
    topics: Sequence[str]
    group: str
    delay_s: float = 0.0
    barrier: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """Records pending at most; seconds between commits; seconds a rebalance waits; seconds without a poll that end the lease."""

    pending: int
    commit_s: float
    revoke_s: float
    lease_s: float


class Intake:
    """Reads one source in its own thread from `start` until `stop`; `alive` tells whether that thread works."""

    def __init__(self, config: kafka.KafkaConfig, source: Source, limits: IntakeLimits, sink: Sink) -> None:
        self._config = config
        self.source = source
        self._limits = limits
        self._sink = sink
        self._shares: dict[tuple[str, int], Share] = {}
        self._done: deque[Record] = deque()
        self._draining = threading.Event()
        self._stop = Stop()
        self._consumer: Consumer | None = None
        self._thread: threading.Thread | None = None
        self._full_since: float | None = None
        self._paused_full = False
        self._pending = 0
        self.beat = time.monotonic()
        self.failure = ""

    def start(self) -> None:
        """Subscribe and read."""
        self._thread = threading.Thread(target=self._main, name=f"intake {self.source.name}", daemon=True)
        self._thread.start()

    def drain(self) -> None:
        """Take up nothing more; go on polling and committing."""
        self._draining.set()

    def stop(self, timeout_s: float = 15.0) -> None:
        """Commit what is settled, leave the group, end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def done(self, record: Record) -> None:
        """Settle a record; thread-safe."""
        self._done.append(record)

    @property
    def pending(self) -> int:
        """Records taken up and not settled."""
        return self._pending

    def fit(self, record: Record) -> bool:
        """Tell whether an attempt may start now: the partition is ours as far as a fresh poll can tell."""
        return record.share.open and not record.share.closing and time.monotonic() - self.beat < self._limits.lease_s

    def complaint(self) -> str:
        """Return what is wrong, or an empty text: a probe for `/healthz`."""
        if self.failure:
            return f"the intake of {self.source.name} failed: {self.failure}"
        if self._thread is None or not self._thread.is_alive():
            return f"the intake of {self.source.name} does not run"
        return ""

    def held(self) -> list[str]:
        """Return the partitions that are held after too many undecodable records."""
        return [f"{s.topic}[{s.partition}]" for s in list(self._shares.values()) if s.held]

    # ---- the thread ----

    def _main(self) -> None:
        try:
            consumer = kafka.group_consumer(self._config, self.source.group, on_commit=self._committed)
            self._consumer = consumer
            consumer.subscribe(list(self.source.topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
            self._loop(consumer)
        except Exception as error:  # noqa: BLE001  # the process's main loop for this source: nothing may end it silently
            self.failure = f"{type(error).__name__}: {error}"
            _log.exception("intake.failed", source=self.source.name)

    def _loop(self, consumer: Consumer) -> None:
        next_commit = 0.0
        while not self._stop.is_set():
            self._settle_done()
            messages = self._fetch(consumer)
            self._keep_lease(consumer)
            if messages:
                self._hand_over(consumer, messages)
            now = time.monotonic()
            self._resume_due(consumer, now)
            if now >= next_commit:
                self._commit_async(consumer)
                self._measure(consumer)
                next_commit = now + self._limits.commit_s
        self._close(consumer)

    def _fetch(self, consumer: Consumer) -> list[Message]:
        """Poll; when full, wait briefly for room, and pause only if that lasts, because a pause throws fetched records away."""
        room = self._limits.pending - self._pending
        if room > 0 and not self._draining.is_set():
            self._unpause(consumer)
            return kafka.fetch(consumer, min(room, _BATCH), _POLL_S)
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since < _FULL_PAUSE_S and not self._draining.is_set():
            time.sleep(_FULL_WAIT_S)
            return []
        if not self._paused_full:
            consumer.pause(consumer.assignment())
            self._paused_full = True
        # Paused partitions give nothing; a record fetched before the pause may still come and is read again later.
        late = kafka.fetch(consumer, 1, _FULL_WAIT_S)
        for message in late:
            self._seek_back(consumer, message)
        return []

    def _unpause(self, consumer: Consumer) -> None:
        self._full_since = None
        if self._paused_full:
            self._paused_full = False
            consumer.resume([p for p in consumer.assignment() if self._reads(p)])

    def _reads(self, partition: TopicPartition) -> bool:
        share = self._shares.get((partition.topic, partition.partition))
        return share is not None and not share.held and share.resume_at == 0

    def _seek_back(self, consumer: Consumer, message: Message) -> None:
        with suppress(KafkaException):  # taken away meanwhile: the next owner reads it
            consumer.seek(TopicPartition(message.topic() or "", message.partition() or 0, message.offset() or 0))

    def _keep_lease(self, consumer: Consumer) -> None:
        """After a gap in polling (the process stood still), prove by a commit that the partitions are still ours."""
        now = time.monotonic()
        if now - self.beat > self._limits.lease_s and self._shares:
            _log.warning("intake.stalled", source=self.source.name, gap_s=round(now - self.beat, 1))
            positions = self._positions(only_changed=False)
            try:
                if positions:
                    consumer.commit(offsets=positions, asynchronous=False)
            except KafkaException as error:
                _log.warning("intake.fenced", source=self.source.name, error=str(error))
                self._forget(list(self._shares))
        self.beat = time.monotonic()

    def _hand_over(self, consumer: Consumer, messages: list[Message]) -> None:
        if self.source.barrier is not None:
            while not self.source.barrier() and not self._stop.is_set():
                _log.warning("intake.waits_for_registry", source=self.source.name)
            self.beat = time.monotonic()
        records = self._due(consumer, messages)
        if records:
            self._pending += len(records)
            self._sink(self, records)

    def _due(self, consumer: Consumer, messages: list[Message]) -> list[Record]:
        """Take up the records that are due; pause and seek back partitions at their first record that is not."""
        records: list[Record] = []
        now, wall = time.monotonic(), time.time()
        for message in messages:
            share = self._shares.get((message.topic() or "", message.partition() or 0))
            offset = message.offset()
            if share is None or not share.open or offset is None or share.resume_at:
                continue
            wait_s = self._wait_s(message, wall)
            if share.held or wait_s > 0:
                self._put_off(consumer, message, share, now + max(wait_s, _LEAST_PAUSE_S))
            elif share.offsets.add(offset):
                records.append(Record(message, share, offset))
        return records

    def _wait_s(self, message: Message, wall: float) -> float:
        """Return seconds until a record is due: broker time + the tier's delay, never more than the delay."""
        if not self.source.delay_s:
            return 0.0
        _kind, timestamp_ms = message.timestamp()
        return min(timestamp_ms / 1_000 + self.source.delay_s - wall, self.source.delay_s)

    def _put_off(self, consumer: Consumer, message: Message, share: Share, until: float) -> None:
        partition = TopicPartition(share.topic, share.partition, message.offset() or 0)
        share.resume_at = until
        consumer.pause([partition])
        consumer.seek(partition)

    def _resume_due(self, consumer: Consumer, now: float) -> None:
        due = [s for s in self._shares.values() if s.resume_at and s.resume_at <= now and not s.held]
        for share in due:
            share.resume_at = 0.0
        if due and not self._paused_full:
            consumer.resume([TopicPartition(s.topic, s.partition) for s in due])

    def hold(self, share: Share) -> None:
        """Read no more of a partition (too many undecodable records); its offsets stay where they are."""
        share.held = True

    # ---- settling and committing ----

    def _settle_done(self) -> None:
        while self._done:
            record = self._done.popleft()
            if record.share.open and record.share.offsets.done(record.offset):
                self._pending -= 1

    def _positions(self, *, only_changed: bool) -> list[TopicPartition]:
        found = []
        for share in self._shares.values():
            position = share.offsets.position
            if position is not None and (not only_changed or position != share.committed):
                found.append(TopicPartition(share.topic, share.partition, position))
        return found

    def _commit_async(self, consumer: Consumer) -> None:
        positions = self._positions(only_changed=True)
        if positions:
            with suppress(KafkaException):  # tried again in a moment
                consumer.commit(offsets=positions, asynchronous=True)

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if error is not None:
            if error.code() not in _NOT_OURS:
                _log.warning("intake.commit_failed", source=self.source.name, error=error.str())
            return
        for partition in partitions:
            share = self._shares.get((partition.topic, partition.partition))
            if share is not None and partition.error is None:
                share.committed = partition.offset

    # ---- rebalancing (called from within poll) ----

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._shares[partition.topic, partition.partition] = Share(topic=partition.topic, partition=partition.partition)
        consumer.incremental_assign(partitions)
        # A pause survives revoke and assign inside librdkafka: begin every assignment awake.
        consumer.resume(partitions)
        if self._paused_full:
            consumer.pause(partitions)
        metrics.REBALANCES.labels(self.source.name, "given").inc(len(partitions))
        _log.info("intake.assigned", source=self.source.name, partitions=_named(partitions))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        keys = [(p.topic, p.partition) for p in partitions]
        self._drain_shares([self._shares[key] for key in keys if key in self._shares])
        leaving = {key: self._shares[key].offsets.position for key in keys if key in self._shares}
        positions = [TopicPartition(topic, number, at) for (topic, number), at in leaving.items() if at is not None]
        if positions:
            try:
                consumer.commit(offsets=positions, asynchronous=False)
            except KafkaException as error:  # normal in a rebalance: it means duplicates, never loss
                _log.info("intake.commit_refused", source=self.source.name, error=str(error))
        self._forget(keys)
        consumer.incremental_unassign(partitions)
        metrics.REBALANCES.labels(self.source.name, "taken").inc(len(partitions))

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget([(p.topic, p.partition) for p in partitions])
        consumer.incremental_unassign(partitions)
        metrics.REBALANCES.labels(self.source.name, "lost").inc(len(partitions))
        _log.warning("intake.lost", source=self.source.name, partitions=_named(partitions))

    def _drain_shares(self, shares: list[Share]) -> None:
        """Start nothing more for these shares and wait, within bounds, for the calls under way."""
        for share in shares:
            share.closing = True
        deadline = time.monotonic() + self._limits.revoke_s
        while any(share.under_way for share in shares) and time.monotonic() < deadline:
            time.sleep(0.01)
            self._settle_done()
        self._settle_done()
        for share in shares:
            share.open = False

    def _forget(self, keys: Sequence[tuple[str, int]]) -> None:
        for key in keys:
            share = self._shares.pop(key, None)
            if share is not None:
                share.open = False
                self._pending -= share.offsets.pending

    def _close(self, consumer: Consumer) -> None:
        self._settle_done()
        positions = self._positions(only_changed=True)
        if positions:
            try:
                consumer.commit(offsets=positions, asynchronous=False)
            except KafkaException as error:
                _log.warning("intake.last_commit_failed", source=self.source.name, error=str(error))
        with suppress(KafkaException, RuntimeError):
            consumer.close()

    # ---- metrics ----

    def _measure(self, consumer: Consumer) -> None:
        name = self.source.name
        metrics.PENDING.labels(name).set(self._pending)
        metrics.LAG.labels(name).set(sum(self._lag(consumer, share) for share in self._shares.values()))

    def _lag(self, consumer: Consumer, share: Share) -> int:
        _low, high = consumer.get_watermark_offsets(TopicPartition(share.topic, share.partition), cached=True)
        position = share.offsets.position
        return max(0, high - position) if position is not None else 0


def _named(partitions: list[TopicPartition]) -> list[str]:
    return [f"{p.topic}[{p.partition}]" for p in partitions]
