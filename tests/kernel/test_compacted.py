"""A compacted topic as a small database, on the real broker."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # public by its documentation

from hookline.kernel import kafka
from hookline.kernel.compacted import CompactedTopic, end_of
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError, BrokerUnavailable, RegistryUnavailable
from hookline.kernel.kafka import KafkaConfig

pytestmark = pytest.mark.kafka


class Rig:
    """One topic, its writer, and the readers that a test started."""

    def __init__(self, config: KafkaConfig, producer: Producer) -> None:
        self.config = config
        self.topic = f"compacted.{os.urandom(4).hex()}"
        self.readers: list[CompactedTopic] = []
        self.admin = kafka.admin(config)
        self._producer = producer

    def make(self, policy: str = "compact") -> None:
        """Create the topic."""
        new = NewTopic(self.topic, num_partitions=1, replication_factor=1, config={"cleanup.policy": policy})
        self.admin.create_topics([new])[self.topic].result(30)

    def unmake(self) -> None:
        """Delete the topic."""
        self.admin.delete_topics([self.topic])[self.topic].result(30)

    def write(self, *values: str) -> int:
        """Append records; return the offset behind the last."""
        for value in values:
            offset = kafka.produce_sync(self._producer, self.topic, key=value.encode(), value=value.encode())
        return offset + 1

    def write_in_transaction(self, *values: str, commit: bool = True) -> None:
        """Append records and the marker that ends their transaction."""
        producer = kafka.producer(self.config, transactional_id=os.urandom(4).hex(), transaction_timeout_ms=180_000)
        producer.init_transactions(30)
        producer.begin_transaction()
        for value in values:
            producer.produce(self.topic, value, key=value)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)

    def read(self, apply: Callable[[Message], None], *, memory: Path | None = None, newest: int = 0) -> CompactedTopic:
        """Start a reader."""
        reader = CompactedTopic(self.config, self.topic, apply, memory=memory, newest=newest)
        self.readers.append(reader)
        reader.start(20)
        return reader


@pytest.fixture(scope="module")
def producer(kafka_environ: dict[str, str]) -> Producer:
    """Return a writer for all tests: each new one waits half a second for its id."""
    return kafka.producer(load(KafkaConfig, kafka_environ), linger_ms=0)


@pytest.fixture
def rig(kafka_environ: dict[str, str], producer: Producer) -> Iterator[Rig]:
    """Yield a topic of its own."""
    made = Rig(load(KafkaConfig, kafka_environ), producer)
    made.make()
    yield made
    for reader in made.readers:
        reader.stop()


def text(message: Message) -> str:
    """Return a record's value."""
    value = message.value()
    return value.decode() if isinstance(value, bytes) else ""


def test_start_returns_when_all_that_was_there_is_applied(rig: Rig) -> None:
    """After `start` every record of before is applied, in order; later ones follow."""
    rig.write(*map(str, range(50)))
    seen: list[str] = []
    reader = rig.read(lambda message: seen.append(text(message)))
    assert reader.ready
    assert seen == [str(n) for n in range(50)]
    assert reader.wait_for(rig.write("later"), 20)
    assert seen[-1] == "later"


def test_an_empty_topic_is_ready_at_once(rig: Rig) -> None:
    """Nothing to read is a state too."""
    reader = rig.read(lambda _: None)
    assert reader.ready
    assert reader.catch_up()


def test_catching_up_applies_what_others_wrote(rig: Rig) -> None:
    """`catch_up` returns when all that was acknowledged before is applied, whichever thread asks."""
    seen: list[str] = []
    reader = rig.read(lambda message: seen.append(text(message)))
    for n in range(5):
        rig.write(str(n))
        assert reader.catch_up(20)
        assert seen == [str(m) for m in range(n + 1)]
    threads = [threading.Thread(target=lambda: seen.append(str(reader.catch_up(20)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[5:] == ["True"] * 4


def test_those_who_come_while_a_question_is_under_way_share_the_next_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many threads wait for two questions at most, also when nobody answers; none takes an answer to what was asked before it came."""
    reader = rig.read(lambda _: None)
    asked, answers, go_on = list[int](), [3, None], threading.Event()

    def ask(_timeout_s: float) -> int | None:
        asked.append(len(asked))
        go_on.wait(20)
        return answers[len(asked) - 1]

    monkeypatch.setattr(reader, "_ask_end", ask)
    monkeypatch.setattr(reader, "wait_for", lambda end, _: end == 3)
    came, said = list[int](), list[bool]()

    def come() -> None:
        came.append(1)
        said.append(reader.catch_up(20))

    threads = [threading.Thread(target=come) for _ in range(9)]
    threads[0].start()
    until(lambda: asked, "the first asks")
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(came) == 9, "all have come")
    time.sleep(0.2)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(asked) == 2
    assert sorted(said) == [False] * 8 + [True]
    answers.append(3)
    assert reader.catch_up(20)
    assert len(asked) == 3


def test_the_end_is_the_same_by_one_request_as_by_two(rig: Rig) -> None:
    """Of an empty topic, of records, of a transaction that is open, and behind its marker; a missing topic is an error."""
    client = kafka.plain_consumer(rig.config)
    ends = [(end_of(client, rig.topic, 10), kafka.end_offset(client, rig.topic))]
    rig.write("a", "b", "c")
    ends.append((end_of(client, rig.topic, 10), kafka.end_offset(client, rig.topic)))
    producer = kafka.producer(rig.config, transactional_id=os.urandom(4).hex(), transaction_timeout_ms=180_000)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(rig.topic, "d", key="d")
    producer.flush(30)
    ends.append((end_of(client, rig.topic, 10), kafka.end_offset(client, rig.topic)))
    producer.commit_transaction(30)
    until(lambda: end_of(client, rig.topic, 10) == 5, "the end behind the marker")
    ends.append((end_of(client, rig.topic, 10), kafka.end_offset(client, rig.topic)))
    assert ends == [(0, 0), (3, 3), (3, 3), (5, 5)]
    with pytest.raises(BrokerError):
        end_of(client, "no.such.topic", 1)
    client.close()


@pytest.mark.parametrize(("offset", "error"), [(-1, None), (7, KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)), (-1001, None)])
def test_no_plain_answer_is_asked_for_again(offset: int, error: KafkaError | None) -> None:
    """Offsets below 0 are words of the library's, and an error of the partition comes beside an offset."""

    class Client:
        """Answers the one way as the test wants, and the other way 9."""

        def offsets_for_times(self, _: object, __: float) -> list[SimpleNamespace]:
            """Answer with what is no plain end."""
            return [SimpleNamespace(offset=offset, error=error)]

        def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
            """Answer."""
            return 0, 9

    assert end_of(cast("Consumer", Client()), "t", 1) == 9


def test_a_start_that_took_too_long_may_be_tried_again(rig: Rig) -> None:
    """The same object reads to the end then, and follows."""
    rig.write("a")
    held, seen = threading.Event(), list[str]()

    def apply(message: Message) -> None:
        held.wait(5)
        seen.append(text(message))

    reader = CompactedTopic(rig.config, rig.topic, apply)
    rig.readers.append(reader)
    with pytest.raises(BrokerUnavailable, match="could not be read to its end"):
        reader.start(0.2)
    held.set()
    reader.start(20)
    assert reader.wait_for(rig.write("b"), 20)
    assert seen[-1] == "b"


def test_a_lost_client_is_replaced(rig: Rig) -> None:
    """Another one reads on where it was: each record is applied once."""
    rig.write("a", "b")
    seen: list[str] = []
    reader = rig.read(lambda message: seen.append(text(message)))
    before = reader._consumer
    reader._loss._note()
    assert reader.wait_for(rig.write("c", "d"), 20)
    deadline = time.monotonic() + 20
    while reader._consumer is before and time.monotonic() < deadline:  # the poll that was under way may have brought the records
        time.sleep(0.01)
    assert reader._consumer is not before
    assert reader.wait_for(rig.write("e"), 20)
    assert seen == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("commit", [True, False])
def test_markers_at_the_end_are_passed(rig: Rig, commit: bool) -> None:
    """A topic that ends with what no consumer is shown, a transaction's marker, is read to its end, at start and later."""
    rig.write("a")
    rig.write_in_transaction("b", commit=commit)
    seen: list[str] = []
    reader = rig.read(lambda message: seen.append(text(message)))
    rig.write_in_transaction("c", commit=commit)
    wanted = ["a", "b", "c"] if commit else ["a"]
    deadline = time.monotonic() + 30
    while seen != wanted and time.monotonic() < deadline:  # a commit is answered before its marker is written
        assert reader.catch_up(20)
        time.sleep(0.05)
    assert reader.catch_up(20)
    assert seen == wanted


def test_records_gone_from_the_front_are_no_hindrance(rig: Rig) -> None:
    """A log that begins late is read from where it begins."""
    rig.unmake()
    rig.topic += ".late"
    rig.make("delete")
    rig.write("a", "b", "c")
    rig.admin.delete_records([TopicPartition(rig.topic, 0, 2)])
    seen: list[str] = []
    assert rig.read(lambda message: seen.append(text(message))).ready
    assert seen[-1] == "c"


def test_a_history_is_read_from_its_newest_records(rig: Rig) -> None:
    """`newest` leaves older records unread."""
    rig.write(*map(str, range(10)))
    seen: list[str] = []
    rig.read(lambda message: seen.append(text(message)), newest=3)
    assert seen == ["7", "8", "9"]


@pytest.mark.parametrize("error", [ValueError("x"), AttributeError("x"), RecursionError("x"), ZeroDivisionError(), UnicodeError()])
def test_a_bad_record_is_counted_and_the_next_applied(rig: Rig, error: Exception) -> None:
    """Whatever a record makes `apply` raise, it is counted and the rest goes on."""
    seen: list[str] = []

    def apply(message: Message) -> None:
        if text(message) == "bad":
            raise error
        seen.append(text(message))

    rig.write("a", "bad", "b")
    reader = rig.read(apply)
    assert reader.wait_for(rig.write("bad", "c"), 20)
    assert seen == ["a", "b", "c"]
    assert reader.faults == 2


@pytest.mark.parametrize("error", [RegistryUnavailable("away"), BrokerUnavailable("away")])
def test_a_record_waits_while_a_registry_is_away(rig: Rig, error: Exception) -> None:
    """What is not the record's fault does not lose it: it is applied when the registry is back, before the next one."""
    seen: list[str] = []
    troubles = [error, error]

    def apply(message: Message) -> None:
        if text(message) == "b" and troubles:
            raise troubles.pop()
        seen.append(text(message))

    rig.write("a", "b", "c")
    reader = rig.read(apply)
    assert seen == ["a", "b", "c"]
    assert reader.faults == 0


def test_a_missing_topic_names_the_remedy(rig: Rig) -> None:
    """A topic that does not exist is told from an empty one."""
    rig.topic += ".missing"
    with pytest.raises(BrokerError, match="does not exist") as refused:
        rig.read(lambda _: None)
    assert "hookline topics create" in refused.value.remedy


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)


def test_a_topic_made_anew_is_noticed_while_running(rig: Rig) -> None:
    """When the topic is deleted and made again, readers keep what they know and no longer claim to be up to date."""
    seen: list[str] = []
    rig.write("a", "b", "c")
    reader = rig.read(lambda message: seen.append(text(message)))
    rig.unmake()
    until(lambda: not kafka.partitions_of(rig.admin, rig.topic), "the topic is gone")
    rig.make()
    until(lambda: kafka.partitions_of(rig.admin, rig.topic), "the topic is back")
    assert not reader.catch_up(10)
    assert seen == ["a", "b", "c"]


def test_a_topic_that_lost_records_is_refused_at_start(rig: Rig, tmp_path: Path) -> None:
    """A reader that remembers a longer topic does not take a wiped one for an empty one; the memory can be deleted."""
    memory = tmp_path / "state" / "webhooks.json"
    rig.write("a", "b", "c")
    rig.read(lambda _: None, memory=memory).stop()
    assert json.loads(memory.read_text())["end"] == 3
    memory.write_text(json.dumps(json.loads(memory.read_text()) | {"end": 4}))
    with pytest.raises(BrokerError, match="lost records: it ends at 3, and did at 4") as refused:
        rig.read(lambda _: None, memory=memory)
    assert str(memory) in refused.value.remedy
    memory.unlink()
    assert rig.read(lambda _: None, memory=memory).ready


@pytest.mark.parametrize("content", ['{"cluster": "another", "end": 99}', "", "[]", "{}", '{"end": 99}', "\x00"])
def test_a_memory_of_another_cluster_or_of_nothing_is_no_hindrance(rig: Rig, tmp_path: Path, content: str) -> None:
    """Only what was remembered of this very cluster counts."""
    memory = tmp_path / "webhooks.json"
    memory.write_text(content)
    rig.write("a")
    assert rig.read(lambda _: None, memory=memory).ready


def test_stop_is_safe_before_start_and_twice(rig: Rig) -> None:
    """A reader may be stopped whatever happened to it; afterwards it is up to date no more."""
    reader = CompactedTopic(rig.config, rig.topic, lambda _: None)
    reader.stop()
    other = rig.read(lambda _: None)
    other.stop()
    other.stop()
    assert not other.catch_up(1)
