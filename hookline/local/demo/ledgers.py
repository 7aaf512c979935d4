"""What each side has written down: the receivers' journals, the topics on Kafka, the log in ClickHouse."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition

from hookline.analytics.queries import MAX_LIMIT, LogFilter, Queries, log_page
from hookline.kernel import kafka
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.events import Event
from hookline.schemas.records import Attempt, Outcome
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

_BATCH: Final = 2_000
_ASK_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as its receiver wrote it down; `at` is wall time in seconds, `good` whether the signature was right."""

    id: str
    attempt: int
    at: float
    status: int
    good: bool

    @property
    def taken(self) -> bool:
        """Whether the receiver took the event."""
        return self.good and 200 <= self.status < 300  # noqa: PLR2004  # the class of success


@dataclass(slots=True)
class Journal:
    """A receiver's journal, read as it grows; one that is not there yet is empty."""

    path: Path
    calls: list[Call] = field(default_factory=list)
    _read: int = 0

    def poll(self) -> list[Call]:
        """Read what is new, whole lines only, and return all calls so far."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read += len(line)
                    self.calls.append(Call(**json.loads(line)))
        return self.calls


class Attempts:
    """The attempts topic, read as it grows. One thread."""

    def __init__(self, config: KafkaConfig, topics: Topics, codec: Codec) -> None:
        self._config = config
        self._topic = topics.attempts
        self._codec = codec
        self._consumer: Consumer | None = None
        self.all: list[Attempt] = []
        self.ended: dict[str, Outcome] = {}
        """Delivery id → its last word: delivered, dead or skipped."""

    def start(self) -> None:
        """Begin at the topic's beginning; raise `BrokerError`."""
        consumer = self._consumer = kafka.plain_consumer(self._config)
        partitions = kafka.partitions_of(consumer, self._topic)
        consumer.assign([TopicPartition(self._topic, number, 0) for number in range(partitions)])

    def poll(self) -> None:
        """Take what is there now."""
        while self._consumer is not None and (messages := kafka.fetch(self._consumer, _BATCH, 0.01)):
            for message in messages:
                attempt = self._codec.decode_attempt(message.value() or b"")
                self.all.append(attempt)
                if attempt.outcome is not Outcome.RETRYING:
                    self.ended[attempt.delivery_id] = attempt.outcome

    def stop(self) -> None:
        """Close the consumer."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def published(config: KafkaConfig, topics: Topics, codec: Codec) -> list[Event]:
    """Return every event on Kafka, as it was published; raise `BrokerUnavailable`."""
    return [codec.decode(message.value() or b"") for message in kafka.scan(config, topics.all_events())]


def log_rows(queries: Queries, store_id: str) -> list[str]:
    """Return the attempt id of every row of a store's log; raise `WarehouseError`."""
    found: list[str] = []
    cursor = ""
    while True:
        page = log_page(queries, LogFilter(store_id=store_id, limit=MAX_LIMIT, cursor=cursor))
        found += [str(row["attempt_id"]) for row in page.rows]
        cursor = page.next_cursor
        if not cursor:
            return found


class Progress:
    """How far the dispatchers' groups have come on their topics. One thread; close it."""

    def __init__(self, config: KafkaConfig, topics: Topics, tiers: Iterable[str]) -> None:
        self._admin = kafka.admin(config)
        self._consumer = kafka.plain_consumer(config)
        group = f"{config.topic_prefix}.dispatch"
        self._groups = {group: topics.all_events(), f"{group}.replays": [topics.replays]}
        self._groups |= {f"{group}.retry.{tier}": [topics.retry(tier)] for tier in tiers}

    def behind(self) -> int:
        """Return how many records are not settled and committed yet; raise `BrokerError`."""
        with kafka.translated():
            return sum(self._behind(group, names) for group, names in self._groups.items())

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _behind(self, group: str, names: list[str]) -> int:
        places = [TopicPartition(name, number) for name in names for number in range(kafka.partitions_of(self._consumer, name))]
        [answer] = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)]).values()
        committed = {(p.topic, p.partition): max(0, p.offset) for p in answer.result(_ASK_S).topic_partitions}
        ends = {(p.topic, p.partition): kafka.end_offset(self._consumer, p.topic, p.partition) for p in places}
        return sum(end - committed.get(place, 0) for place, end in ends.items())
