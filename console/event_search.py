"""Finding an event by its id: where the log says that it lies, else by looking through Kafka around the time of its making."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from confluent_kafka import Consumer, Message, TopicPartition

from hookline.console.http.throttle import Throttle
from hookline.console.places import PATIENCE_S, Coordinates, Places
from hookline.kernel import kafka
from hookline.kernel.clock import Clock, to_us
from hookline.kernel.errors import BrokerUnavailable, NotFound, RegistryUnavailable, WireError
from hookline.schemas.events import Event, made_at_ms
from hookline.schemas.topics import Topics

PER_MIN: Final = 60
MOST_RECORDS: Final = 300_000
MOST_S: Final = 2.5
"""So long a search may take, whatever Kafka does; the answer is to come within 3 s."""
_MINUTE_US: Final = 60_000_000
# An id is made just before its event is published, by a machine whose clock may be a little off.
_BEFORE_US: Final = 2 * _MINUTE_US
_AFTER_US: Final = 10 * _MINUTE_US
# An id that does not tell its time is looked for among the newest events, further and further back.
_BACK_US: Final = tuple(minutes * _MINUTE_US for minutes in (15, 6 * 60, 3 * 24 * 60, 31 * 24 * 60))
_BATCH: Final = 1_000
Share: TypeAlias = tuple[str, int]
"""A topic and one of its partitions."""
_POLL_S: Final = 0.2
_LEAST_S: Final = 0.3
_SILENT_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvent:
    """An event, when the broker took it, and where it lies."""

    event: Event
    published_us: int
    place: Coordinates


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found; `since_us` and `until_us` bound the time that was looked through in vain, 0 when none was."""

    found: FoundEvent | None
    since_us: int = 0
    until_us: int = 0


class EventSearch:
    """Finds events; thread-safe."""

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, places: Places, clock: Clock) -> None:
        self._config = config
        self._topics = topics
        self._clock = clock
        self._places = places
        self._pace = Throttle(PER_MIN, clock, "searches for events")

    def find(self, store_id: str, event_id: str, known: Sequence[Mapping[str, Any]], about_us: int = 0) -> Search:
        """Return the event; `known` are rows that say where it lies, `about_us` is about when it was published, 0: not known.

        An event that no webhook was called for is in no log: it is looked for on Kafka, among a bounded number of records and for a
        bounded time. Raises `Refused` (429) for too many such searches in a minute, `BrokerError`, also when Kafka says nothing for 2 s.
        """
        for row in known:
            place = Coordinates(row["source_topic"], row["source_partition"], row["source_offset"])
            message = self._places.read(place, PATIENCE_S) if place.topic in self._topics.all_events() else None
            found = self._event(message, store_id, event_id) if message is not None else None
            if found is not None:
                return Search(found)
        self._pace.take(store_id)
        return self._look(store_id, event_id, about_us)

    def _look(self, store_id: str, event_id: str, about_us: int) -> Search:
        budget, looked = _Budget(), (0, 0)
        # Two consumers: what is asked on the connection of one that fetches waits behind its fetches. The one that fetches is asked for
        # the partitions: without their leaders it would look for them only at its next tick, up to a second later.
        asker = kafka.plain_consumer(self._config)
        reader = kafka.plain_consumer(self._config, queued_max_messages_kbytes=32_768, fetch_wait_max_ms=10)
        try:
            shares = [
                (topic, number)
                for topic in self._topics.all_events()
                for number in range(kafka.partitions_of(reader, topic, budget.patience_s))
            ]
            for since_us, until_us in self._spans(event_id, about_us):
                for message in _holding(reader, event_id, _parts(asker, shares, (since_us, until_us), budget), budget):
                    found = self._event(message, store_id, event_id)
                    if found is not None:
                        return Search(found)
                if budget.spent:
                    break
                looked = (since_us, looked[1] if looked[0] == until_us else until_us)
        finally:
            asker.close()
            reader.close()
        return Search(None, *looked)

    def _spans(self, event_id: str, about_us: int) -> Iterator[tuple[int, int]]:
        """Yield the spans of time to look through, the likeliest first."""
        now_us, made_ms = to_us(self._clock.now()), made_at_ms(event_id)
        if about_us:
            yield about_us - _AFTER_US, about_us + _AFTER_US
            return
        if made_ms is not None and made_ms * 1_000 <= now_us + _BEFORE_US:
            yield made_ms * 1_000 - _BEFORE_US, made_ms * 1_000 + _AFTER_US
        until_us = now_us + _BEFORE_US
        for back_us in _BACK_US:
            yield now_us - back_us, until_us
            until_us = now_us - back_us

    def _event(self, message: Message, store_id: str, event_id: str) -> FoundEvent | None:
        """Return the event of a record if it is the one that is looked for, and was not erased."""
        value = message.value()
        try:
            event = self._places.shown(value if isinstance(value, bytes) else b"")
        except (WireError, RegistryUnavailable, NotFound):
            return None
        if (event.store_id, event.id) != (store_id, event_id):
            return None
        place = Coordinates(message.topic() or "", message.partition() or 0, message.offset() or 0)
        return FoundEvent(event=event, published_us=message.timestamp()[1] * 1_000, place=place)


class _Budget:
    """How much a search may still look through."""

    def __init__(self) -> None:
        self.records = MOST_RECORDS
        self._until = time.monotonic() + MOST_S

    @property
    def spent(self) -> bool:
        return self.records <= 0 or time.monotonic() > self._until

    @property
    def patience_s(self) -> float:
        """How long the next answer may take; never nothing, so that a slow search is not taken for a silent broker."""
        return min(PATIENCE_S, max(_LEAST_S, self._until - time.monotonic()))


def _holding(reader: Consumer, event_id: str, parts: Mapping[Share, tuple[int, int]], budget: _Budget) -> Iterator[Message]:
    """Yield the records of some parts that hold the id's bytes, until the budget is spent; most records need not be decoded.

    Raises `BrokerUnavailable` when not one record came in that time.
    """
    began = time.monotonic()
    needle, ends, heard = event_id.encode(), {share: end for share, (_, end) in parts.items()}, False
    reader.assign([TopicPartition(*share, first) for share, (first, _) in parts.items()])
    while ends and not budget.spent:
        messages = kafka.fetch(reader, _BATCH, _POLL_S)
        budget.records -= len(messages)
        heard = heard or bool(messages)
        for message in messages:
            value = message.value()
            if isinstance(value, bytes) and needle in value:
                yield message
        places = reader.position([TopicPartition(*share) for share in ends])
        ends = {(place.topic, place.partition): end for place in places if place.offset < (end := ends[place.topic, place.partition])}
    if ends and not heard and time.monotonic() - began > _SILENT_S:
        raise BrokerUnavailable("Kafka does not answer", remedy="Check the broker and try again.")


def _parts(asker: Consumer, shares: list[Share], span_us: tuple[int, int], budget: _Budget) -> dict[Share, tuple[int, int]]:
    """Return what of each partition was written in a span: first offset and the one after the last, where there is any."""
    firsts, ends = (_offsets(asker, shares, us, budget.patience_s) for us in span_us)
    found = {}
    for share in shares:
        if firsts[share] >= 0:
            end = ends[share] if ends[share] >= 0 else kafka.end_offset(asker, *share, budget.patience_s)
            if firsts[share] < end:
                found[share] = (firsts[share], end)
    return found


def _offsets(asker: Consumer, shares: list[Share], at_us: int, patience_s: float) -> dict[Share, int]:
    """Return the offset of the first record of each partition that was written at a time or later, below 0 where there is none."""
    wanted = [TopicPartition(topic, partition, max(0, at_us // 1_000)) for topic, partition in shares]
    with kafka.translated():
        return {(place.topic, place.partition): place.offset for place in asker.offsets_for_times(wanted, patience_s)}
