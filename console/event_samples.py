"""The newest events of a store by type, read back from Kafka: what a filter is tried on before it is saved."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from confluent_kafka import Consumer, Message, TopicPartition

from hookline.console.event_search import FoundEvent
from hookline.console.places import Coordinates, Places
from hookline.kernel import kafka
from hookline.kernel.errors import NotFound, RegistryUnavailable, WireError
from hookline.schemas.catalogue import event_type
from hookline.schemas.topics import Topics

PER_TYPE: Final = 20
MOST_RECORDS: Final = 60_000
MOST_S: Final = 1.5
FRESH_S: Final = 10.0
_KEPT: Final = 64
# How many records back from the end of each partition, round by round.
_BACK: Final = (100, 1_000, 10_000)
_BATCH: Final = 1_000
_POLL_S: Final = 0.1
_FRAME: Final = 5
_LATEST_US: Final = 2**63
Share: TypeAlias = tuple[str, int]
"""A topic and one of its partitions."""
Further: TypeAlias = Callable[[], Iterable[Mapping[str, Any]]]
Samples: TypeAlias = Mapping[str, Sequence[FoundEvent]]
"""By event type the newest events, the newest first; a type without events has an empty list."""


class EventSamples:
    """Reads the newest events; thread-safe. What was read, but for what was erased since, is used again for ten seconds: somebody types."""

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, places: Places) -> None:
        self._config = config
        self._topics = topics
        self._places = places
        self._read: OrderedDict[tuple[str, frozenset[str]], tuple[float, Samples]] = OrderedDict()
        self._lock = threading.Lock()

    def newest(self, store_id: str, names: Collection[str], further: Further) -> Samples:
        """Return up to 20 events of each type that a store published last; raise `BrokerError` and what `further` raises.

        The ends of the types' topics are read, a bounded number of records for a bounded time: further back where a partition may still
        hold a newer event than those found. `further` returns rows that say where events of these types lie; it is asked where the
        ends leave that open, as in an installation with many stores.
        """
        key = (store_id, frozenset(names))
        with self._lock:
            at, samples = self._read.get(key, (0.0, {}))
        if not samples or time.monotonic() - at > FRESH_S:
            samples = self._newest(store_id, names, further)
            with self._lock:
                self._read[key] = (time.monotonic(), samples)
                self._read.move_to_end(key)
                if len(self._read) > _KEPT:
                    self._read.popitem(last=False)
        return {name: [one for one in found if not self._places.is_erased(one.event)] for name, found in samples.items()}

    def _newest(self, store_id: str, names: Collection[str], further: Further) -> Samples:
        catch = _Catch(store_id, frozenset(names), self._places)
        topics = dict.fromkeys(self._topics.events(event_type(name).category) for name in names)
        asker = kafka.plain_consumer(self._config)
        reader = kafka.plain_consumer(self._config, queued_max_messages_kbytes=32_768, fetch_wait_max_ms=10)
        try:
            ends = {
                (topic, number): kafka.watermarks(asker, topic, number)
                for topic in topics
                for number in range(kafka.partitions_of(reader, topic))  # see `EventSearch`: so it knows whom to fetch from
            }
            for spans in _rounds(ends):
                catch.take(_within(reader, {share: span for share, span in spans.items() if catch.may_gain(share)}, catch))
            if not catch.spent and any(high - low > _BACK[-1] and catch.may_gain(share) for share, (low, high) in ends.items()):
                catch.take(_at(reader, _places_of(further(), catch), catch))
        finally:
            asker.close()
            reader.close()
        return catch.samples()


@dataclass(slots=True)
class _Catch:
    """What was read so far, and how much more may be."""

    store_id: str
    names: frozenset[str]
    places: Places
    records: int = field(default_factory=lambda: MOST_RECORDS)
    until: float = field(default_factory=lambda: time.monotonic() + MOST_S)
    _found: dict[str, dict[Coordinates, FoundEvent]] = field(default_factory=dict)
    _back_to_us: dict[Share, int] = field(default_factory=dict)
    """The time of the oldest record read of each partition."""
    _others: set[bytes] = field(default_factory=set)
    """How records of types that are not wanted begin, so that no more of them are decoded."""

    @property
    def spent(self) -> bool:
        """Whether nothing more may be read."""
        return self.records <= 0 or time.monotonic() > self.until

    def may_gain(self, share: Share) -> bool:
        """Tell whether a partition may hold, before what was read of it, a newer event than one that would be shown."""
        return any(self._back_to_us.get(share, _LATEST_US) >= self.oldest_us(name) for name in self.names)

    def wants(self, name: str, place: Coordinates, at_us: int) -> bool:
        """Tell whether an event of a time, at a place, would be shown and was not read yet."""
        return at_us >= self.oldest_us(name) and place not in self._found.get(name, {})

    def oldest_us(self, name: str) -> int:
        """Return when the last of the newest 20 of a type was published, 0 while there are fewer."""
        times = sorted((one.published_us for one in self._found.get(name, {}).values()), reverse=True)
        return times[PER_TYPE - 1] if len(times) >= PER_TYPE else 0

    def take(self, messages: Iterable[Message]) -> None:
        """Keep what is wanted of some records."""
        prefix = f"{self.store_id}:".encode()
        for message in messages:
            self.records -= 1
            share, at_us = (message.topic() or "", message.partition() or 0), message.timestamp()[1] * 1_000
            self._back_to_us[share] = min(at_us, self._back_to_us.get(share, _LATEST_US))
            key, value = message.key(), message.value()
            if isinstance(key, bytes) and key.startswith(prefix) and isinstance(value, bytes) and value[:_FRAME] not in self._others:
                self._keep(message, value)

    def _keep(self, message: Message, value: bytes) -> None:
        try:
            event = self.places.shown(value)
        except (WireError, RegistryUnavailable, NotFound):
            return
        if event.type not in self.names:
            self._others.add(value[:_FRAME])
        elif event.store_id == self.store_id:
            place = Coordinates(message.topic() or "", message.partition() or 0, message.offset() or 0)
            found = FoundEvent(event=event, published_us=message.timestamp()[1] * 1_000, place=place)
            self._found.setdefault(event.type, {})[place] = found

    def samples(self) -> Samples:
        """Return the newest of what was found."""
        ordered = {name: sorted(self._found.get(name, {}).values(), key=lambda one: -one.published_us) for name in self.names}
        return {name: ordered[name][:PER_TYPE] for name in sorted(ordered)}


def _rounds(ends: Mapping[Share, tuple[int, int]]) -> Iterator[dict[Share, tuple[int, int]]]:
    """Yield what to read of each partition, round by round further back: first offset, and the one after the last."""
    upto = {share: high for share, (_, high) in ends.items()}
    for back in _BACK:
        spans = {share: (max(low, high - back), upto[share]) for share, (low, high) in ends.items()}
        spans = {share: span for share, span in spans.items() if span[0] < span[1]}
        if spans:
            yield spans
        upto |= {share: first for share, (first, _) in spans.items()}


def _within(reader: Consumer, spans: Mapping[Share, tuple[int, int]], catch: _Catch) -> Iterator[Message]:
    """Yield the records of some spans until the time is up."""
    ends = {share: end for share, (_, end) in spans.items()}
    reader.assign([TopicPartition(*share, first) for share, (first, _) in spans.items()])
    while ends and not catch.spent:
        for message in kafka.fetch(reader, _BATCH, _POLL_S):
            if (message.offset() or 0) < spans[message.topic() or "", message.partition() or 0][1]:
                yield message
        places = reader.position([TopicPartition(*share) for share in ends])
        ends = {(place.topic, place.partition): end for place in places if place.offset < (end := ends[place.topic, place.partition])}


def _places_of(known: Iterable[Mapping[str, Any]], catch: _Catch) -> list[Coordinates]:
    """Return where events lie that are newer than one that would be shown."""
    rows = [(row, Coordinates(row["source_topic"], row["source_partition"], row["source_offset"])) for row in known]
    return [place for row, place in rows if catch.wants(row["event_type"], place, row["source_timestamp_ms"] * 1_000)]


def _at(reader: Consumer, places: Iterable[Coordinates], catch: _Catch) -> Iterator[Message]:
    """Yield the records at some places until the time is up."""
    for place in places:
        if catch.spent:
            return
        reader.assign([TopicPartition(*place)])
        for message in kafka.fetch(reader, 1, _POLL_S):
            if message.offset() == place.offset:
                yield message
