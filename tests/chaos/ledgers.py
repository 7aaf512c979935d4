"""Reading what each side has written down into the history: journals of receivers, topics, rows in ClickHouse."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, Message, TopicPartition

from hookline.dispatcher.letters import DeadLetter
from hookline.kernel import kafka
from hookline.kernel.errors import BrokerError, WireError
from hookline.kernel.kafka import KafkaConfig, headers_of
from hookline.schemas import payload
from hookline.schemas.topics import Topics, TopicsConfig
from hookline.schemas.wire import Codec
from tests.chaos.history import Call, Copy, History, Letter, Tried, digest, digest_of

_BATCH: Final = 2_000
_ASK_S: Final = 10.0
_WORDS: Final = 300
_POLL_S: Final = 0.5


@dataclass(slots=True)
class Journal:
    """A receiver's journal, read as it grows."""

    path: Path
    _read: int = 0

    def poll(self) -> list[Call]:
        """Return what is new, whole lines only."""
        found: list[Call] = []
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read += len(line)
                    found.append(Call(*json.loads(line)))
        return found


class TopicsReader:
    """Follows every topic that tells of deliveries, into a history. One thread."""

    def __init__(self, config: KafkaConfig, settings: TopicsConfig, codec: Codec, history: History) -> None:
        self._config = config
        self._topics = Topics(config.topic_prefix)
        self._codec = codec
        self._history = history
        self._consumer: Consumer | None = None
        self._asker: Consumer | None = None
        self._events = set(self._topics.all_events())
        self._letters = set(self._topics.all_dead_letters())
        self._tiers = {self._topics.retry(tier) for tier in settings.retry_tiers}
        self._partitions: list[TopicPartition] = []

    def start(self) -> None:
        """Begin at the beginning of every topic; raise `BrokerError`."""
        consumer = self._consumer = kafka.plain_consumer(self._config)
        # A broker answers a connection in turn: asked by the reader, an end would come after a fetch that finds nothing.
        self._asker = kafka.plain_consumer(self._config)
        names = [*self._events, *self._letters, *self._tiers, self._topics.attempts, self._topics.attempts_rejected]
        self._partitions = [TopicPartition(name, n, 0) for name in names for n in range(kafka.partitions_of(consumer, name))]
        consumer.assign(self._partitions)

    def stop(self) -> None:
        """Close the consumer."""
        for client in (self._consumer, self._asker):
            if client is not None:
                client.close()
        self._consumer = self._asker = None

    def poll(self) -> None:
        """Take what is there now, for half a second at most."""
        deadline = time.monotonic() + _POLL_S
        while self._consumer is not None and (messages := kafka.fetch(self._consumer, _BATCH, 0.02)):
            for message in messages:
                self._take(message)
            if time.monotonic() > deadline:
                return

    def catch_up(self, timeout_s: float = 30.0) -> None:
        """Take everything that was there when this was called; raise `BrokerError` or `TimeoutError`."""
        if self._consumer is None:
            return
        deadline = time.monotonic() + timeout_s
        ends = {(p.topic, p.partition): self._ends(p, deadline) for p in self._partitions}
        while True:
            self.poll()
            places = self._consumer.position(self._partitions)
            if all(max(p.offset, 0) >= ends[p.topic, p.partition][1] or ends[p.topic, p.partition][1] == 0 for p in places):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the topics could not be read to their ends in {timeout_s:g} s")

    def _ends(self, at: TopicPartition, deadline: float) -> tuple[int, int]:
        """Return a partition's watermarks; a broker that has just come back may need a moment for its leaders.

        A client that was told of none keeps to it, so another one asks then.
        """
        while self._asker is not None:
            try:
                return kafka.watermarks(self._asker, at.topic, at.partition, _ASK_S)
            except BrokerError:
                if time.monotonic() > deadline:
                    raise
                self._asker.close()
                self._asker = kafka.plain_consumer(self._config)
        return 0, 0

    def committed(self, timeout_s: float = _ASK_S) -> dict[tuple[str, int], int]:
        """Return what the group of fresh events has committed, by topic and partition."""
        mine = [p for p in self._partitions if p.topic in self._events]
        consumer = kafka.group_consumer(self._config, "dispatch")
        try:
            found = consumer.committed([TopicPartition(p.topic, p.partition) for p in mine], timeout=timeout_s)
            return {(p.topic, p.partition): p.offset for p in found if p.offset >= 0}
        finally:
            consumer.close()

    # ---- one record ----

    def _take(self, message: Message) -> None:
        topic, history = message.topic() or "", self._history
        if topic in self._events:
            self._take_event(message)
        elif topic in self._letters:
            self._take_letter(message)
        elif topic in self._tiers:
            headers = headers_of(message)
            delivery = headers.get("hookline-delivery-id", b"").decode()
            history.waits[delivery] += 1
            history.retries[delivery, int(headers.get("hookline-attempt", b"0")) + 1] += 1
        elif topic == self._topics.attempts:
            self._take_attempt(message)
        else:
            _, partition, offset = headers_of(message)["hookline-place"].decode().split("/")
            history.rejected.add((int(partition), int(offset)))

    def _take_event(self, message: Message) -> None:
        place = (message.topic() or "", message.partition() or 0, message.offset() or 0)
        raw = digest_of(message.value())
        try:
            event = self._codec.decode(message.value() or b"")
        except WireError:
            self._history.add_copy(Copy(place, "", "", "", raw=raw))
        else:
            # By the way of one event at a time, where dispatchers go the quick one: what both make of it must be the same.
            whole = json.loads(payload.body(event))
            self._history.add_copy(Copy(place, event.id, event.store_id, event.type, digest(whole["type"], whole["data"]), raw))

    def _take_letter(self, message: Message) -> None:
        letter = DeadLetter.from_headers(headers_of(message))
        at = letter.original
        delivery = letter.waiting.delivery_id if letter.waiting is not None else ""
        self._history.add_letter(
            Letter(
                delivery, str(letter.reason), (at.topic, at.partition, at.offset), digest_of(message.value()), message.timestamp()[1] / 1e3
            )
        )

    def _take_attempt(self, message: Message) -> None:
        partition, offset = message.partition() or 0, message.offset() or 0
        try:
            attempt = self._codec.decode_attempt(message.value() or b"")
        except WireError:
            self._history.unreadable.add((partition, offset))
        else:
            self._history.add_attempt(Tried.of(attempt, partition, offset))


@dataclass(slots=True)
class Rows:
    """What is in ClickHouse: (log partition, log offset) → what its row says, as `Tried.row`, and each place that is there once more."""

    url: str
    found: dict[tuple[int, int], str] = field(default_factory=dict)
    doubled: list[tuple[int, int]] = field(default_factory=list)

    def read(self) -> None:
        """Read all rows; raise `OSError` when ClickHouse does not answer."""
        self.found.clear()
        self.doubled.clear()
        asked = "SELECT log_partition, log_offset, concat(attempt_id, ' ', delivery_id, ' ', toString(http_status), ' ', outcome)"
        for line in self._ask(f"{asked} FROM attempts FORMAT TabSeparated"):
            partition, offset, row = line.split("\t")
            place = int(partition), int(offset)
            if place in self.found:
                self.doubled.append(place)
            self.found[place] = row

    def count(self) -> int:
        """Return how many rows there are; raise `OSError`."""
        return int(self._ask("SELECT count() FROM attempts FORMAT TabSeparated")[0])

    def ping(self) -> None:
        """Return when ClickHouse answers; raise `OSError` when it does not."""
        self._ask("SELECT 1 FORMAT TabSeparated")

    def inserts(self) -> int:
        """Return how many inserts the server has begun; raise `OSError`."""
        with urllib.request.urlopen(f"{self.url}_inserts", timeout=_ASK_S) as answer:
            return int(answer.read())

    def fault(self, mode: str, *, inserts_only: bool = True) -> None:
        """Have the server fail: `ok`, `hang`, `mute` or `refuse:CODE`."""
        only = "&only=insert" if inserts_only else ""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}_fault?mode={mode}{only}", b""), timeout=_ASK_S).close()

    def room(self, table: str, *, least_bytes: int) -> None:
        """Refuse every part of a table while less than that is free on the disk; raise `OSError`."""
        self._ask(f"ALTER TABLE {table} MODIFY SETTING min_free_disk_bytes_to_perform_insert = {least_bytes}")

    def forbid(self, store_id: str) -> None:
        """Have the engine fail on every insert with a row of a store, as it does on a value that it cannot read; raise `OSError`."""
        unreadable = f"if(store_id = '{store_id}', toUInt8(store_id), 1)"
        self._ask(f"ALTER TABLE attempts ADD CONSTRAINT forbidden CHECK {unreadable}")

    def allow(self) -> None:
        """Take every row again; raise `OSError`."""
        self._ask("ALTER TABLE attempts DROP CONSTRAINT forbidden")

    def _ask(self, query: str) -> list[str]:
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, query.encode()), timeout=_ASK_S) as answer:
                text: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise OSError(f"ClickHouse says: {error.read(_WORDS).decode('utf-8', 'replace')}") from error
        return text.splitlines()
