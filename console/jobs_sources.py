"""What jobs make again: dead letters partition by partition, or deliveries of the log, in an order in which a job can go on later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from hookline.console.api.deliveries_filter import LogQuery
from hookline.console.api.deliveries_log import Deliveries, Log, Place
from hookline.console.jobs import Job
from hookline.console.letters import JOB, LETTER, letter_of, place_in
from hookline.console.letters_shelf import LetterQuery
from hookline.console.places import Coordinates, Places
from hookline.console.resends import waiting_of
from hookline.dispatcher.letters import DeadLetter, Reason
from hookline.dispatcher.replays import FoundLetter, Replays
from hookline.kernel import kafka
from hookline.kernel.errors import BrokerUnavailable
from hookline.schemas.records import Trigger
from hookline.schemas.topics import Topics

_BATCH: Final = 200
_POLL_S: Final = 0.2
_SILENT_S: Final = 30.0
_DELIVERY: Final = "hookline-delivery-id"
# The broker's clock and ours may differ by as much.
_OVERLAP_US: Final = 300_000_000
Mark = Callable[[Coordinates], bool]
"""Tells whether a letter is left out since it was replayed before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One record of what is made again: `key` tells it from the others of its job, `send` makes it so.

    Several dead letters may be of one delivery: a dispatcher died before it had settled, or a replay failed too.
    """

    key: str
    delivery_id: str
    webhook_id: str
    send: Callable[[Replays, str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next, None when there was only something to pass over, and where a job goes on after it."""

    position: str
    candidate: Candidate | None = None


class Source(Protocol):
    """What one job makes again."""

    def steps(self, position: str) -> Iterator[Step]:
        """Yield what comes from a position on (empty: all); raise `BrokerError`, `WarehouseError`."""


class LetterSource:
    """The dead letters that lay on their topics when the job was made, partition by partition."""

    def __init__(self, config: kafka.KafkaConfig, ends: dict[str, int], query: LetterQuery, left_out: Mark) -> None:
        self._config = config
        self._ends = sorted(filter(None, map(_share_of, ends.items())), key=_name)
        self._query = query
        self._left_out = left_out

    def steps(self, position: str) -> Iterator[Step]:
        """Yield the letters that fit, the oldest first within a partition."""
        begun = place_in(position)
        shares = [share for share in self._ends if begun is None or _name(share) >= _name(begun)]
        for share in shares:
            first = begun.offset if begun is not None and _name(share) == _name(begun) else 0
            yield from self._partition(share, first)

    def _partition(self, share: Coordinates, first: int) -> Iterator[Step]:
        for message in _messages(self._config, share, first):
            position = str(share._replace(offset=(message.offset() or 0) + 1))
            yield Step(position, _letter(message, self._query, self._left_out))


class ChosenSource:
    """Some dead letters, each named by its id; the position is how many of them are behind."""

    def __init__(self, places: Places, ids: list[Coordinates], query: LetterQuery, left_out: Mark) -> None:
        self._places = places
        self._ids = ids
        self._query = query
        self._left_out = left_out

    def steps(self, position: str) -> Iterator[Step]:
        """Yield the letters that are still there and fit, in the order in which they were named."""
        first = int(position or 0)
        for number, place in enumerate(self._ids[first:], first + 1):
            message = self._places.read(place)
            yield Step(str(number), _letter(message, self._query, self._left_out) if message is not None else None)


class LogSource:
    """The deliveries of the log whose newest attempt fitted when the job was made, the newest first; test calls are left out."""

    def __init__(self, log: Log, places: Places, query: LogQuery, as_of_us: int) -> None:
        self._log = log
        self._places = places
        self._query = query
        self._as_of_us = as_of_us

    def steps(self, position: str) -> Iterator[Step]:
        """Yield the deliveries."""
        deliveries = Deliveries(self._log, self._query, _log_place(position, self._query.until_us), self._as_of_us)
        while not deliveries.ended:
            for row in deliveries.batch(_BATCH):
                if row["trigger"] != Trigger.TEST:
                    yield Step(f"{row['attempted_at_us']} {row['attempt_id']}", self._candidate(row))
            yield Step(f"{deliveries.place.at_us} {deliveries.place.attempt_id}")

    def _candidate(self, row: dict[str, object]) -> Candidate:
        waiting = waiting_of(row, self._query.store_id)
        place = Coordinates(waiting.source.topic, waiting.source.partition, waiting.source.offset)
        return Candidate(
            key=waiting.delivery_id,
            delivery_id=waiting.delivery_id,
            webhook_id=waiting.webhook_id,
            send=lambda replays, job_id: replays.repeat(waiting, self._places.value(place), job_id),
        )


def _letter(message: Message, query: LetterQuery, left_out: Mark) -> Candidate | None:
    """Return the letter of a record as a candidate, None when it is none, or is not wanted; poison never was a delivery."""
    letter, value = letter_of(message), message.value()
    if letter is None or letter.reason is Reason.POISON or not query.takes(letter) or left_out(letter.place):
        return None
    found = FoundLetter(
        place=str(letter.place),
        letter=DeadLetter.from_headers(kafka.headers_of(message)),
        value=value if isinstance(value, bytes) else b"",
        replayed=False,
    )
    return Candidate(
        key=found.place,
        delivery_id=letter.delivery_id,
        webhook_id=letter.webhook_id,
        send=lambda replays, job_id: replays.replay(found, job_id),
    )


def made_by(config: kafka.KafkaConfig, topics: Topics, job: Job) -> dict[str, str]:
    """Return the keys of what a job has made again, each with the id of its delivery; raise `BrokerError`.

    They are on the replays topic, whatever became of the process that put them there.
    """
    found: dict[str, str] = {}
    for share, first in _since(config, topics.replays, job.created_at_us - _OVERLAP_US):
        for message in _messages(config, share, first):
            headers = kafka.headers_of(message)
            if headers.get(JOB, b"").decode("utf-8", "replace") == job.id:
                delivery_id = headers.get(_DELIVERY, b"").decode("utf-8", "replace")
                found[headers.get(LETTER, b"").decode("utf-8", "replace") or delivery_id] = delivery_id
    return found


def _since(config: kafka.KafkaConfig, topic: str, since_us: int) -> list[tuple[Coordinates, int]]:
    """Return the partitions of a topic with their ends, and the first offset of each that was written since a time."""
    consumer = kafka.plain_consumer(config)
    try:
        count = kafka.partitions_of(consumer, topic)
        wanted = [TopicPartition(topic, partition, max(0, since_us // 1_000)) for partition in range(count)]
        with kafka.translated():
            firsts = {place.partition: place.offset for place in consumer.offsets_for_times(wanted, 10)}
        ends = {partition: kafka.end_offset(consumer, topic, partition) for partition in range(count)}
        return [(Coordinates(topic, partition, ends[partition]), firsts[partition]) for partition in range(count) if firsts[partition] >= 0]
    finally:
        consumer.close()


def _messages(config: kafka.KafkaConfig, share: Coordinates, first: int) -> Iterator[Message]:
    """Yield the records of a partition from an offset on, up to the one that `share` names and without it; raise `BrokerError`."""
    consumer = kafka.plain_consumer(config)
    try:
        low, high = kafka.watermarks(consumer, share.topic, share.partition)
        first, end = max(first, low), min(share.offset, high)
        if first < end:
            consumer.assign([TopicPartition(share.topic, share.partition, first)])
            yield from _until(consumer, share, end)
    finally:
        with suppress(KafkaException, RuntimeError):
            consumer.close()


def _until(consumer: Consumer, share: Coordinates, end: int) -> Iterator[Message]:
    silent_s = 0.0
    while silent_s < _SILENT_S:
        messages = kafka.fetch(consumer, _BATCH, _POLL_S)
        for message in messages:
            if (message.offset() or 0) >= end:
                return
            yield message
        if consumer.position([TopicPartition(share.topic, share.partition)])[0].offset >= end:
            return
        silent_s = 0.0 if messages else silent_s + _POLL_S
    raise BrokerUnavailable(f"Kafka stopped answering while {share.topic} was read", remedy="Check the broker.")


def _share_of(end: tuple[str, int]) -> Coordinates | None:
    """Return a partition with its end from an entry of `Job.ends`."""
    return place_in(f"{end[0]}:{end[1]}")


def _name(place: Coordinates) -> tuple[str, int]:
    return place.topic, place.partition


def _log_place(position: str, until_us: int) -> Place:
    at_us, _, attempt_id = position.partition(" ")
    return Place(int(at_us), attempt_id) if position else Place(until_us + 1)
