"""Events erased on the word of the person they are about, on a compacted topic that every process follows that shows or sends them.

Kafka cannot take single records out of a topic: until retention does, what was erased is there and must be known as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from confluent_kafka import KafkaError, Message

from hookline.kernel import kafka
from hookline.kernel.compacted import CompactedTopic
from hookline.kernel.errors import BrokerError, BrokerUnavailable, NotFound, WireError
from hookline.kernel.writer import Writer
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

SUBJECT: Final = "hookline.Erasure"
_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """One erased event."""

    store_id: str
    event_id: str
    erased_at_us: int
    request_id: str = ""


class Erased(Protocol):
    """Who knows what was erased."""

    def refuse(self, store_id: str, event_id: str) -> None:
        """Raise `NotFound` when the event was erased."""


class Nothing:
    """Knows of no erasure: for who shows nothing that was published before."""

    def refuse(self, store_id: str, event_id: str) -> None:
        """Let every event pass."""


class Erasures:
    """Follows the erasures; thread-safe between `start` and `stop`."""

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, codec: Codec) -> None:
        self._name = topics.erasures
        self._codec = codec
        self._known: dict[tuple[str, str], Erasure] = {}
        self._topic = CompactedTopic(config, self._name, self._apply)
        self._writer = Writer(config, linger_ms=5)

    def start(self) -> None:
        """Read all of them, then follow; raise `BrokerError`."""
        self._topic.start()

    def stop(self) -> None:
        """Stop following; what was read stays."""
        self._topic.stop()

    def complaint(self) -> str:
        """Return what is wrong, or an empty text: a probe for `/readyz`."""
        return "" if self._topic.ready else "the erasures are not read yet"

    def all(self) -> list[Erasure]:
        """Return every erasure, in the order of their writing."""
        return list(self._known.values())

    def has(self, store_id: str, event_id: str) -> bool:
        """Tell whether an event was erased."""
        return (store_id, event_id) in self._known

    def refuse(self, store_id: str, event_id: str) -> None:
        """Raise `NotFound` when an event was erased."""
        if self.has(store_id, event_id):
            raise NotFound(
                "The event was erased on the word of the person it is about", field="id", remedy="Nothing brings it back: see the audit."
            )

    def write(self, erasures: Iterable[Erasure]) -> int:
        """Put erasures on the topic; return how many once all are acknowledged and read back. Raises `BrokerError`."""
        producer = self._writer.open()
        failed: list[BrokerError] = []
        offsets = [-1]

        def done(error: KafkaError | None, message: Message) -> None:
            failed.append(kafka.translate(error)) if error is not None else offsets.append(message.offset() or 0)

        try:
            for erasure in erasures:
                key = f"{erasure.store_id}/{erasure.event_id}".encode()
                with kafka.translated():
                    producer.produce(self._name, key=key, value=self._codec.encode_record(SUBJECT, asdict(erasure)), on_delivery=done)
                producer.poll(0)
        except BrokerError:
            self._writer.drop(producer)
            raise
        if producer.flush(_WAIT_S) or failed or not self._topic.wait_for(max(offsets) + 1, _WAIT_S):
            self._writer.drop(producer)
            raise failed[0] if failed else BrokerUnavailable("Not all erasures could be written and read back", remedy="Run it again.")
        return len(offsets) - 1

    def _apply(self, message: Message) -> None:
        value = message.value()
        if value is None:
            return  # an erasure is never taken back; a tombstone has nothing to say
        subject, datum = self._codec.decode_record(value if isinstance(value, bytes) else value.encode())
        if subject != SUBJECT:
            raise WireError(f"A record of the erasures topic is a {subject}")
        found = Erasure(**datum)
        self._known[found.store_id, found.event_id] = found


@contextmanager
def following(config: kafka.KafkaConfig, topics: Topics, codec: Codec) -> Iterator[Erasures]:
    """Yield the erasures, read whole and followed within the block; raise `BrokerError`."""
    found = Erasures(config, topics, codec)
    try:
        found.start()
        yield found
    finally:
        found.stop()
