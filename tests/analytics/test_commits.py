"""The sink's commits: heard by polling alone, and given up with their client when no answer comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from hookline.analytics import sink as module
from hookline.analytics.config import SinkConfig
from hookline.analytics.sink import Sink
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.lifecycle import Stop
from hookline.schemas.topics import Topics

pytestmark = pytest.mark.unit


class Record:
    """A record of the attempts topic, as far as the sink looks at it."""

    def partition(self) -> int:
        """Return its partition."""
        return 0

    def offset(self) -> int:
        """Return its place."""
        return 7

    def timestamp(self) -> tuple[int, int]:
        """Return when the broker stamped it."""
        return 2, 0

    def error(self) -> None:
        """Have nothing wrong."""

    def __len__(self) -> int:
        """Return its size in bytes."""
        return 100


class Member:
    """A consumer with one partition and one record; it answers commits within polls, if at all: `answers` False, never."""

    def __init__(self, *, answers: bool, **settings: Any) -> None:
        self.answers = answers
        self.heard = settings["on_commit"]
        self.owed: list[list[TopicPartition]] = []
        self.committed_places: list[TopicPartition] = []
        self.records = [Record()]
        self.refuses: list[KafkaError] = []
        self.closed = False

    def subscribe(self, topics: list[str], *, on_assign: Any, **_: object) -> None:
        """Be given its partition at once."""
        on_assign(self, [TopicPartition(topics[0], 0)])

    def poll(self, wait_s: float) -> Record | None:
        """Answer what is owed, and give the record."""
        for places in self.owed if self.answers else ():
            self.heard(self.refuses.pop() if self.refuses else None, places)
        if self.answers:
            self.owed = []
        if self.records:
            return self.records.pop()
        time.sleep(min(wait_s, 0.01))
        return None

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        """Take a commit; one that is waited for without polling would never end."""
        assert asynchronous, "waited for without polling"
        self.committed_places += offsets
        self.owed.append(offsets)

    def committed(self, places: list[TopicPartition], _wait_s: float) -> list[TopicPartition]:
        """Have nothing committed."""
        return [TopicPartition(place.topic, place.partition, -1001) for place in places]

    def consume(self, _most: int, _wait_s: float) -> list[Record]:
        """Have no more records."""
        return []

    def position(self, _places: list[TopicPartition]) -> list[TopicPartition]:
        """Be nowhere."""
        return []

    def assignment(self) -> list[TopicPartition]:
        """Tell of nothing to pause."""
        return []

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        """Take what is given."""

    def pause(self, places: list[TopicPartition]) -> None:
        """Have nothing to pause."""

    def resume(self, places: list[TopicPartition]) -> None:
        """Have nothing to resume."""

    def close(self) -> None:
        """Leave."""
        self.closed = True


class Writer:
    """Inserts nothing, and counts."""

    def __init__(self, *_: object) -> None:
        self.batches = 0

    def write(self, _topic: str, _partition: int, batch: list[Record]) -> None:
        """Take a batch."""
        assert len(batch) == 1
        WRITTEN.append(batch[0].offset())


WRITTEN: list[int] = []


class Scene:
    """A sink in a thread of its own, whose clients are `Member`s: the first ones as `answers` says, then willing ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: bool) -> None:
        self.members: list[Member] = []
        willing = list(answers)
        WRITTEN.clear()

        def member(*_: object, **settings: Any) -> Member:
            self.members.append(Member(answers=willing.pop(0) if willing else True, **settings))
            return self.members[-1]

        monkeypatch.setattr(kafka, "group_consumer", member)
        monkeypatch.setattr(module, "BatchWriter", Writer)
        monkeypatch.setattr(module, "Writer", Writer)
        self.stop = Stop()
        settings = load(SinkConfig, {"HOOKLINE_SINK_BATCH_WAIT_S": "0.05"})
        self.sink = Sink(load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}), Topics("t"), None, None, settings, None)  # type: ignore[arg-type]  # what is inserted is not looked at
        self.thread = threading.Thread(target=self.sink.run, args=(self.stop,))
        self.thread.start()

    def end(self, within_s: float) -> None:
        """Stop, and expect it to end in time."""
        self.stop.set()
        self.thread.join(within_s)
        assert not self.thread.is_alive()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield what makes a scene; its sink is stopped at the end."""
    made: list[Scene] = []

    def make(*answers: bool) -> Scene:
        made.append(Scene(monkeypatch, *answers))
        return made[0]

    yield make
    made[0].stop.set()
    made[0].thread.join(20)


def _until(told: Any, what: str) -> None:
    deadline = time.monotonic() + 30
    while not told():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_a_batch_is_announced_and_committed_by_polling_alone(scene: Any) -> None:
    """The intent, then the offset after the batch; both are answered within polls."""
    found = scene()
    _until(lambda: len(found.members[0].committed_places) == 2, "two commits")
    found.end(5)
    places = [(place.offset, place.metadata) for place in found.members[0].committed_places]
    assert places == [(7, "pending:7"), (8, "")]
    assert WRITTEN == [7]


def test_a_commit_that_is_never_answered_costs_the_client_and_nothing_else(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is inserted before the announcement is granted; another client reads the record again."""
    monkeypatch.setattr(module, "_LATE_S", 0.05)
    monkeypatch.setattr(module, "_UNANSWERED_S", 0.3)
    found = scene(False)
    _until(lambda: found.sink.trouble == "Kafka does not answer a commit", "what is wrong is said")
    assert found.sink.stalled() == ""
    _until(lambda: len(found.members) == 2, "another client")
    assert found.members[0].closed
    assert len(found.members[0].committed_places) == 1
    _until(lambda: len(found.members[1].committed_places) == 2, "the batch, by the other client")
    _until(lambda: found.sink.trouble == "", "nothing is wrong any more")
    found.end(5)
    assert WRITTEN == [7]


def test_a_stop_waits_little_for_an_answer(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes next reads what is with Kafka."""
    monkeypatch.setattr(module, "_LATE_S", 0.3)
    found = scene(False)
    _until(lambda: found.members[0].committed_places, "a commit")
    found.end(3)
    assert WRITTEN == []


def test_a_refused_announcement_inserts_nothing_and_is_made_again(scene: Any) -> None:
    """A rebalance is normal."""
    found = scene(False)
    member = found.members[0]
    member.refuses = [KafkaError(KafkaError.REBALANCE_IN_PROGRESS)]
    member.answers = True
    _until(lambda: len(member.committed_places) == 3, "the announcement twice, and the offset after it")
    found.end(5)
    assert [place.offset for place in member.committed_places] == [7, 7, 8]
    assert WRITTEN == [7]
