"""The partitions that one intake reads, and what it has taken up of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from confluent_kafka import Consumer, Message, TopicPartition

from hookline.dispatcher import metrics
from hookline.dispatcher.offsets import Offsets
from hookline.kernel.holes import HOLES
from hookline.kernel.log import logger

_log = logger("shares")
Key: TypeAlias = tuple[str, int]


@dataclass(slots=True, kw_only=True, eq=False)
class Share:
    """One partition under one assignment.

    `closing` turns True when it is about to be taken away: nothing new may start. `open` turns False, for good, when it
    is. While `resume_at` (monotonic) is not 0 the partition is paused at `put_off`, the next offset to read, whose record
    the broker stamped at `put_off_ms`. The record `due_of` is due at `due_at` (monotonic).
    """

    topic: str
    partition: int
    offsets: Offsets = field(default_factory=Offsets)
    open: bool = True
    closing: bool = False
    committed: int | None = None
    resume_at: float = 0.0
    put_off: int | None = None
    put_off_ms: int = 0
    due_of: int | None = None
    due_at: float = 0.0
    poison_run: int = 0
    held: bool = False
    under_way: int = 0
    records: int = 0
    bytes: int = 0

    @property
    def key(self) -> Key:
        """Topic and partition."""
        return self.topic, self.partition

    @property
    def next(self) -> int | None:
        """The lowest offset that is not settled, as far as anything was read; None before."""
        position = self.offsets.position
        return self.put_off if position is None and self.resume_at else position

    def at(self, offset: int) -> TopicPartition:
        """Return a place in it."""
        return TopicPartition(self.topic, self.partition, offset)


@dataclass(slots=True, eq=False)
class Record:
    """A message and the share it was taken up under."""

    message: Message
    share: Share
    offset: int
    bytes: int


class Shares:
    """All shares of an intake, and how much they hold together: `records` and `bytes` that are not settled.

    Changed by the intake's thread only; the two counts may be read from any.
    """

    def __init__(self) -> None:
        self._by_key: dict[Key, Share] = {}
        self.records = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[Share]:
        return iter(list(self._by_key.values()))

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def get(self, topic: str, partition: int) -> Share | None:
        """Return the share of a partition, None when it is not ours."""
        return self._by_key.get((topic, partition))

    def of(self, message: Message) -> Share | None:
        """Return the share that a message belongs to, None when its partition is not ours."""
        return self._by_key.get((message.topic() or "", message.partition() or 0))

    def begin(self, topic: str, partition: int) -> Share:
        """Return a new share of a partition; what is under way of an older one no longer counts."""
        self.end((topic, partition))
        HOLES.forget(topic, partition)
        share = self._by_key[topic, partition] = Share(topic=topic, partition=partition)
        return share

    def end(self, key: Key) -> None:
        """Forget a share: whatever still settles under it is ignored, so that the next owner decides."""
        share = self._by_key.pop(key, None)
        if share is not None:
            share.open = False
            self.records -= share.records
            self.bytes -= share.bytes
            share.records = share.bytes = 0

    def take_up(self, share: Share, message: Message, offset: int) -> Record | None:
        """Take a record up before it is handed out; None when the share has been past it."""
        if not share.offsets.add(offset):
            return None
        record = Record(message, share, offset, len(message))
        self._count(record, 1)
        return record

    def settle(self, record: Record) -> None:
        """Count a record as durable; one of a forgotten share changes nothing."""
        if record.share.open and record.share.offsets.done(record.offset):
            self._count(record, -1)

    def let_go(self, record: Record) -> None:
        """Hold a record no longer, though it is not settled: its offset stays where it is."""
        if record.share.open:
            self._count(record, -1)

    def _count(self, record: Record, sign: int) -> None:
        record.share.records += sign
        record.share.bytes += sign * record.bytes
        self.records += sign
        self.bytes += sign * record.bytes


def positions(shares: Iterable[Share], *, every: bool = False) -> list[TopicPartition]:
    """Return what is to be committed: the positions that moved, or `every` one."""
    found = [(share, share.offsets.position) for share in shares if every or share.offsets.position != share.committed]
    return [share.at(position) for share, position in found if position is not None]


def tell_holes(source: str, messages: Sequence[Message]) -> None:
    """Count, and tell loudly, what retention took before these messages."""
    for (topic, partition), gone in HOLES.before(messages).items():
        _tell_hole(source, topic, partition, gone)


def tell_emptied(source: str, consumer: Consumer, shares: Iterable[Share]) -> None:
    """Do the same where retention left nothing to read, and go on behind it: by the intake's thread, now and then, between polls.

    Not while there is no room: a record that was fetched before would be behind what is gone on from.
    """
    for share in shares:
        if HOLES.waits(share.key):
            low, _high = consumer.get_watermark_offsets(share.at(0), cached=True)  # it came with the last fetch
            if gone := HOLES.left_from(share.key, low):
                _tell_hole(source, share.topic, share.partition, gone)
                # Else it would be there for the next owner to tell again, until a record comes.
                share.offsets.add(low - 1)
                share.offsets.done(low - 1)


def _tell_hole(source: str, topic: str, partition: int, gone: int) -> None:
    metrics.MISSED.labels(source).inc(gone)
    _log.error("shares.records_gone", source=source, topic=topic, partition=partition, records=gone)
