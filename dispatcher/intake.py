"""One consumer, one thread: takes records up, hands them to the event loop, commits what is settled.

Only this thread touches the consumer. The loop posts settled records to `done`; commits follow the lowest unsettled
offset of each partition. Each assignment of a partition is a `Share`: when it is taken away, its share is closed and
whatever still settles under it is ignored, so the next owner decides (a duplicate beats a loss).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from hookline.dispatcher import metrics
from hookline.dispatcher.commits import Commits
from hookline.dispatcher.joining import Joining
from hookline.dispatcher.lease import NORMAL, Lease
from hookline.dispatcher.shares import Record, Share, Shares, positions, tell_emptied, tell_holes
from hookline.dispatcher.source import IntakeLimits, Sink, Source
from hookline.kernel import kafka, lost
from hookline.kernel.errors import BrokerError
from hookline.kernel.lifecycle import Stop
from hookline.kernel.log import logger

_log = logger("intake")
_POLL_S: Final = 0.05
_IDLE_POLL_S: Final = 0.25  # a record that comes ends the poll; nine sources that look twenty times a second for nothing cost CPU
_FULL_WAIT_S: Final = 0.002
_FULL_PAUSE_S: Final = 0.2
_LEAST_PAUSE_S: Final = 0.05
_AHEAD_PAUSE_S: Final = 0.2
_TELL_S: Final = 5.0
_REFUSED_S: Final = 10.0
_BATCH: Final = 500
_AHEAD: Final = 50_000


class Intake:
    """Reads one source in its own thread from `start` until `stop`; `complaint` tells whether that thread works.

    `member` is its id in its group, empty before the first assignment.
    """

    def __init__(self, config: kafka.KafkaConfig, source: Source, limits: IntakeLimits, sink: Sink) -> None:
        self._config = config
        self.source = source
        self._limits = limits
        self._sink = sink
        self.shares = Shares()
        self._done: deque[Record] = deque()
        self._let_go: deque[Record] = deque()
        self._joining: Joining | None = None
        self._draining = threading.Event()
        self._stop = Stop()
        self._thread: threading.Thread | None = None
        self._next_commit = 0.0
        self._full_since: float | None = None
        self._paused_full = False
        self._in_doubt: float | None = None
        self._told_at = -_TELL_S
        classic = config.group_protocol == "classic"
        self.lease = Lease(limits.lease_s, by_commits=not classic)
        self._commits = Commits(source.name, self.lease, waits=classic)
        self.failure = ""
        self.member = ""

    def start(self, joining: Joining | None = None) -> None:
        """Subscribe and read, as soon as the groups may be joined; None: at once."""
        self._joining = joining
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

    # ---- from any thread ----

    def done(self, record: Record) -> None:
        """Settle a record."""
        self._done.append(record)

    def hold(self, record: Record) -> None:
        """Read no more of this record's partition (too many undecodable ones); its offset stays where it is."""
        record.share.held = True
        self._let_go.append(record)

    def fit(self, record: Record) -> bool:
        """Tell whether an attempt may start now: the partition is ours as far as a fresh poll and a fresh proof can tell."""
        return record.share.open and not record.share.closing and self.lease.holds()

    @property
    def crowded(self) -> bool:
        """Whether half of what may be pending is."""
        return self.shares.records * 2 > self._limits.pending or self.shares.bytes * 2 > self._limits.pending_bytes

    def complaint(self) -> str:
        """Return what is wrong, or an empty text: a probe for `/healthz`."""
        if self.failure:
            return f"the intake of {self.source.name} failed: {self.failure}"
        if self._thread is None or not self._thread.is_alive():
            return f"the intake of {self.source.name} does not run"
        return ""

    def held(self) -> list[str]:
        """Return the partitions that are held after too many undecodable records."""
        return [f"{s.topic}[{s.partition}]" for s in self.shares if s.held]

    # ---- the thread ----

    def _main(self) -> None:
        while self._joining is not None and not self._joining.wait(_POLL_S):
            self.lease.beat = time.monotonic()
            if self._stop.is_set():
                return
        try:
            while not self._stop.is_set():
                self._live()
        except Exception as error:  # noqa: BLE001  # the process's main loop for this source: nothing may end it silently
            self.failure = f"{type(error).__name__}: {error}"
            _log.exception("intake.failed", source=self.source.name)

    def _live(self) -> None:
        """Read with one client, until the stop, or until that client is lost and another one must do it."""
        loss, refused = lost.Loss(), False
        self.lease.forget()
        consumer = kafka.group_consumer(
            self._config,
            self.source.group,
            protocol=self._config.group_protocol,
            on_commit=self._committed,
            queued_max_messages_kbytes=self.source.prefetch_kbytes,
            fetch_wait_max_ms=self.source.fetch_wait_ms,
            **loss.settings(),
        )
        consumer.subscribe(list(self.source.topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        try:
            self._loop(consumer, loss)
        except BrokerError as error:
            if not self.member:  # it never was one: what is wrong is a setting, and the process says so
                raise
            loss.happened = refused = True
            self._tell("intake.refused", error=error.message, remedy=error.remedy)
        if loss.happened:  # what was not committed is read again, by whom Kafka gives it to
            for share in self.shares:
                self.shares.end(share.key)
        self._close(consumer)
        self._stop.wait(_REFUSED_S if refused else 0)

    def _loop(self, consumer: Consumer, loss: lost.Loss) -> None:
        while not self._stop.is_set() and not loss.happened:
            self._settle_done()
            messages = self._fetch(consumer)
            if self._ours(consumer, messages):
                self._hand_over(consumer, messages)
            else:
                self._give_back(consumer, messages)
            now = time.monotonic()
            loss.happened |= self._commits.unanswered()
            self._resume_due(consumer, now)
            if now >= self._next_commit:
                tell_emptied(self.source.name, consumer, () if self._full_since else self.shares)
                self._commit_async(consumer)
                metrics.PENDING.labels(self.source.name).set(self.shares.records)
                self._next_commit = now + self._limits.commit_s

    def _fetch(self, consumer: Consumer) -> list[Message]:
        """Poll; when full, wait briefly for room, and pause only if that lasts, because a pause throws fetched records away."""
        room = self._limits.pending - self.shares.records
        if room > 0 and self.shares.bytes < self._limits.pending_bytes and not self._draining.is_set():
            self._unpause(consumer)
            busy = self.shares.records or any(share.resume_at for share in self.shares)
            # What was settled since the last commit must not wait for a poll that finds nothing: a crash would repeat it.
            idle_s = min(_IDLE_POLL_S, max(_POLL_S, self._next_commit - time.monotonic()))
            return kafka.fetch(consumer, min(room, _BATCH), _POLL_S if busy else idle_s)
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since < _FULL_PAUSE_S and not self._draining.is_set():
            time.sleep(_FULL_WAIT_S)
            return []
        if not self._paused_full:
            consumer.pause(consumer.assignment())
            self._paused_full = True
        # Paused partitions give nothing; a record fetched before the pause may still come and is read again later.
        self._give_back(consumer, kafka.fetch(consumer, 1, _FULL_WAIT_S))
        return []

    def _unpause(self, consumer: Consumer) -> None:
        self._full_since = None
        if self._paused_full:
            self._paused_full = False
            consumer.resume([s.at(0) for s in self.shares if not s.held and not s.resume_at])

    def _give_back(self, consumer: Consumer, messages: list[Message]) -> None:
        """Have records that were not taken up read again; those of other owners' partitions are theirs."""
        first: dict[Share, int] = {}
        for message in messages:
            share = self.shares.of(message)
            if share is not None and not share.resume_at:
                offset = message.offset() or 0
                first[share] = min(offset, first.get(share, offset))
        for share, offset in first.items():
            consumer.seek(share.at(offset))

    # ---- is it still ours? ----

    def _ours(self, consumer: Consumer, messages: list[Message]) -> bool:
        """Tell whether what is read may be taken up; where that is not certain (the process stood still, no commit was granted) prove it.

        While the proof is owed, no attempt starts (`fit`) and nothing is taken up. It is asked for until Kafka grants it,
        or takes the partitions away (`_lost`): to forget them here could leave some that a rebalance lets us keep.
        """
        now = time.monotonic()
        if self.lease.owed(now, at_work=bool(messages or self.shares.records)) and self.shares:
            self._in_doubt = self._in_doubt or now
            if now - self.lease.beat > self._limits.lease_s:
                self._tell("intake.stalled", gap_s=round(now - self.lease.beat, 1))
            try:
                self._prove(consumer, messages)
            except KafkaException as error:
                self._tell("intake.unproven", error=str(error))
                time.sleep(_POLL_S)
                return False
        self.lease.beat, self._in_doubt = now, None
        return True

    def _prove(self, consumer: Consumer, messages: list[Message]) -> None:
        """Commit the position of every partition that would be worked on; raise `KafkaException` when that is refused."""
        places = {share: share.next for share in self.shares if share.next is not None}
        for message in reversed(messages):
            share = self.shares.of(message)
            if share is not None and share.next is None:
                places[share] = message.offset() or 0
        found = [(message, self.shares.of(message)) for message in messages]

        def poll() -> None:  # it serves rebalances too, and what comes meanwhile joins the others
            room = max(1, min(_BATCH, self._limits.pending - self.shares.records - len(found)))
            found.extend((message, self.shares.of(message)) for message in kafka.fetch(consumer, room, _FULL_WAIT_S))

        try:
            if places:
                since = time.monotonic() if self._in_doubt is None else self._in_doubt
                self._commits.prove(consumer, [share.at(offset) for share, offset in places.items()], since, poll)
        finally:  # a partition that was given anew is read anew from where it was committed
            messages[:] = [message for message, share in found if share is not None and self.shares.of(message) is share]

    def _tell(self, what: str, **details: object) -> None:
        """Log what may repeat many times a second, once in a while."""
        if time.monotonic() - self._told_at >= _TELL_S:
            self._told_at = time.monotonic()
            _log.warning(what, source=self.source.name, **details)

    def _hand_over(self, consumer: Consumer, messages: list[Message]) -> None:
        if not messages:
            return
        if self.source.barrier is not None and not (self.source.barrier() and self._ours(consumer, messages)):
            self._tell("intake.waits_for_registry")
            self._give_back(consumer, messages)
            return
        tell_holes(self.source.name, messages)
        records = self._due(consumer, messages)
        if records:
            self._sink(self, records)

    def _due(self, consumer: Consumer, messages: list[Message]) -> list[Record]:
        """Take up the records that are due; pause and seek back partitions at their first record that is not."""
        records: list[Record] = []
        now, wall = time.monotonic(), self.source.wall()
        for message in messages:
            share = self.shares.of(message)
            if share is None or share.resume_at:
                continue
            wait_s = self._wait_s(share, message, now, wall)
            if wait_s > 0:
                self._put_off(consumer, message, share, now + max(wait_s, _LEAST_PAUSE_S))
            else:
                records.append(self._taken_up(share, message))
        return records

    def _wait_s(self, share: Share, message: Message, now: float, wall: float) -> float:
        """Return the seconds until a record may be taken up; 0: now.

        Due is the broker's stamp + the tier's delay, but never later than the delay after the record was first seen: a
        clock that is wrong cannot park a record.
        """
        if share.held or share.offsets.ahead >= _AHEAD:
            return _AHEAD_PAUSE_S
        if not self.source.delay_s:
            return 0.0
        if message.offset() != share.due_of:
            left_s = message.timestamp()[1] / 1_000 + self.source.delay_s - wall
            share.due_of, share.due_at = message.offset(), now + min(left_s, self.source.delay_s)
        return share.due_at - now

    def _put_off(self, consumer: Consumer, message: Message, share: Share, until: float) -> None:
        share.put_off, share.put_off_ms = message.offset() or 0, message.timestamp()[1]
        share.resume_at = until
        consumer.pause([share.at(share.put_off)])
        consumer.seek(share.at(share.put_off))

    def _taken_up(self, share: Share, message: Message) -> Record:
        """Take a record up; offsets that go back mean that the partition was made anew or cut off: begin anew, loudly."""
        offset = message.offset() or 0
        record = self.shares.take_up(share, message, offset)
        if record is not None:
            return record
        metrics.OFFSET_RESETS.labels(self.source.name).inc()
        _log.error("intake.offsets_went_back", source=self.source.name, topic=share.topic, partition=share.partition, offset=offset)
        fresh = self.shares.begin(share.topic, share.partition)
        again = self.shares.take_up(fresh, message, offset)
        return again if again is not None else Record(message, fresh, offset, 0)

    def _resume_due(self, consumer: Consumer, now: float) -> None:
        due = [s for s in self.shares if s.resume_at and s.resume_at <= now and not s.held]
        for share in due:
            share.resume_at = 0.0
        if due and not self._paused_full:
            consumer.resume([s.at(0) for s in due])

    # ---- settling and committing ----

    def _settle_done(self) -> None:
        while self._done:
            self.shares.settle(self._done.popleft())
        while self._let_go:
            self.shares.let_go(self._let_go.popleft())

    def _commit_async(self, consumer: Consumer) -> None:
        self._commits.send(consumer, positions(self.shares, every=self.lease.ages and self.shares.records > 0))

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self.lease.answered(granted=error is None and any(partition.error is None for partition in partitions))
        if error is not None:
            if error.code() not in NORMAL:
                _log.warning("intake.commit_failed", source=self.source.name, error=error.str())
            return
        for partition in partitions:
            share = self.shares.get(partition.topic, partition.partition)
            if share is not None and partition.error is None:
                share.committed = partition.offset

    # ---- rebalancing (called from within poll) ----

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self.shares.begin(partition.topic, partition.partition)
        consumer.incremental_assign(partitions)
        # A pause survives revoke and assign inside librdkafka: begin every assignment awake.
        consumer.resume(partitions)
        if self._paused_full:
            consumer.pause(partitions)
        self.member = consumer.memberid() or ""
        self._next_commit = 0.0  # what was settled while the group was joining is not committed yet
        self._rebalanced("given", partitions)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        found = [self.shares.get(p.topic, p.partition) for p in partitions]
        shares = [share for share in found if share is not None]
        self._drain_shares(shares)
        self._commits.last(consumer, positions(self.shares))  # of those that are kept too: a classic group hears none until all have joined
        for share in shares:
            self.shares.end(share.key)
        consumer.incremental_unassign(partitions)
        self._rebalanced("taken", partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self.shares.end((partition.topic, partition.partition))
        consumer.incremental_unassign(partitions)
        self._rebalanced("lost", partitions)

    def _rebalanced(self, what: str, partitions: list[TopicPartition]) -> None:
        metrics.REBALANCES.labels(self.source.name, what).inc(len(partitions))
        _log.info(f"intake.{what}", source=self.source.name, partitions=[f"{p.topic}[{p.partition}]" for p in partitions])

    def _drain_shares(self, shares: list[Share]) -> None:
        """Start nothing more for these shares and wait, within bounds, until what was started is durable."""
        for share in shares:
            share.closing = True
        deadline = time.monotonic() + self._limits.revoke_s
        while any(share.under_way for share in shares) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._settle_done()

    def _close(self, consumer: Consumer) -> None:
        self._settle_done()
        with suppress(KafkaException, RuntimeError, BrokerError):
            self._commits.leave(consumer, lambda: positions(self.shares), lambda: kafka.fetch(consumer, 1, _FULL_WAIT_S))
        with suppress(KafkaException, RuntimeError):
            consumer.close()
