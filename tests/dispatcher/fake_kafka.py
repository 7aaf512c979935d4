"""Kafka's clients as the tests play them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from hookline.schemas.topics import Topics

TOPICS = Topics("test")


class FakeMessage:
    """A message as the consumer gives it."""

    def __init__(
        self,
        value: bytes | None = b"",
        *,
        topic: str = TOPICS.events("orders"),
        partition: int = 0,
        offset: int = 0,
        headers: dict[str, bytes] | None = None,
        at_ms: int = 1_700_000_000_000,
        key: bytes = b"shop:1",
    ) -> None:
        self._fields = (value, topic, partition, offset, headers or {}, at_ms, key)

    def value(self) -> bytes | None:
        """Return the value."""
        return self._fields[0]

    def topic(self) -> str:
        """Return the topic."""
        return self._fields[1]

    def partition(self) -> int:
        """Return the partition."""
        return self._fields[2]

    def offset(self) -> int:
        """Return the offset."""
        return self._fields[3]

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the headers."""
        return list(self._fields[4].items())

    def timestamp(self) -> tuple[int, int]:
        """Return the broker's stamp."""
        return (2, self._fields[5])

    def key(self) -> bytes:
        """Return the key."""
        return self._fields[6]

    def error(self) -> None:
        """Return no error."""
        return

    def __len__(self) -> int:
        return len(self._fields[0] or b"")


def message(value: bytes | None = b"", **more: Any) -> Message:
    """Return a message."""
    return cast("Message", FakeMessage(value, **more))


class FakeProducer:
    """A producer whose acknowledgements the test gives; `refuses` maps topics to errors, `full` raises `BufferError`.

    `most` maps topics to the bytes of the largest value that their broker takes.
    """

    def __init__(self) -> None:
        self.produced: list[tuple[str, bytes, bytes, dict[str, bytes]]] = []
        self.open: list[Callable[[KafkaError | None, Any], None]] = []
        self.refuses: dict[str, KafkaError] = {}
        self.raises: dict[str, KafkaError] = {}
        self.most: dict[str, int] = {}
        self.full = False
        self.acknowledging = True

    def produce(self, topic: str, *, key: bytes, value: bytes, headers: dict[str, bytes] | None = None, on_delivery: Any) -> None:
        """Take a record."""
        if self.full:
            raise BufferError
        if topic in self.raises:
            raise KafkaException(self.raises[topic])
        self.produced.append((topic, key, value, headers or {}))
        refusal = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if len(value) > self.most.get(topic, len(value)) else self.refuses.get(topic)
        self.open.append(lambda error, told: on_delivery(refusal or error, told))

    def poll(self, _timeout_s: float) -> int:
        """Acknowledge what is open."""
        if not self.acknowledging:
            return 0
        served, self.open = self.open, []
        for one in served:
            one(None, FakeMessage(at_ms=1_700_000_000_000))
        return len(served)

    def flush(self, _timeout_s: float) -> int:
        """Acknowledge what is open, return what is left."""
        self.poll(0)
        return len(self.open)

    def __len__(self) -> int:
        return len(self.open)


class FakeConsumer:
    """A consumer that gives the batches the test puts in, and notes what it is told."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.told: list[tuple[str, Any]] = []
        self.commit_error: KafkaException | None = None
        self.on_poll: Callable[[], None] | None = None
        self.on_commit: Callable[[KafkaError | None, list[TopicPartition]], None] | None = None
        self._answers: list[tuple[KafkaError | None, list[TopicPartition]]] = []
        self._rest: list[Message] = []

    def poll(self, _timeout_s: float) -> Message | None:
        """Return the first of the next batch."""
        if self.on_poll is not None:
            self.on_poll()
        answers, self._answers = self._answers, []
        for error, places in answers:
            if self.on_commit is not None:
                self.on_commit(error, places)
        batch = self.batches.pop(0) if self.batches else []
        self._rest = batch[1:]
        return batch[0] if batch else None

    def consume(self, _most: int, _timeout_s: float) -> list[Message]:
        """Return the rest of the batch."""
        rest, self._rest = self._rest, []
        return rest

    def memberid(self) -> str:
        """Return its id in the group."""
        return "hookline-fake"

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        """Note a commit, or fail; one that is heard of is answered by the next poll."""
        if asynchronous and self.on_commit is not None:
            self._answers.append((self.commit_error.args[0] if self.commit_error is not None else None, list(offsets)))
        elif self.commit_error is not None:
            raise self.commit_error
        self.told.append(("commit" if asynchronous else "commit now", [(p.topic, p.partition, p.offset) for p in offsets]))

    def _note(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        self.told.append((what, [(p.topic, p.partition) for p in partitions]))

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Note."""
        self._note("pause", partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Note."""
        self._note("resume", partitions)

    def seek(self, partition: TopicPartition) -> None:
        """Note."""
        self.told.append(("seek", (partition.topic, partition.partition, partition.offset)))

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Note."""
        self._note("assign", partitions)

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Note."""
        self._note("unassign", partitions)

    def assignment(self) -> list[TopicPartition]:
        """Return one partition."""
        return [TopicPartition(TOPICS.events("orders"), 0)]

    def close(self) -> None:
        """Note."""
        self.told.append(("close", None))

    def what(self, name: str) -> list[Any]:
        """Return the details of all calls of a name."""
        return [details for told, details in self.told if told == name]
