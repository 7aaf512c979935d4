"""A sink that stood still with an announced batch writes it only once Kafka has said that the partition is still its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from hookline.analytics import lease
from hookline.analytics import sink as sinks
from hookline.analytics.config import SinkConfig
from hookline.analytics.erased import ErasedRows
from hookline.analytics.lease import Lease, LeasedWarehouse, NotOurs
from hookline.analytics.sink import Sink
from hookline.analytics.writer import BatchWriter
from hookline.kernel.config import load
from hookline.kernel.errors import WarehouseUnavailable
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.lifecycle import Stop
from hookline.schemas.topics import Topics
from tests.analytics.known import Known

pytestmark = pytest.mark.unit

Rig = Any  # the fixture's class stands in conftest.py
LONG_S = 3_600.0
TOO_LONG_S = 5.1
"""A little longer than a proof holds; no sum with `PROVEN_S`, or that could be anything."""


class Group:
    """A consumer in its group: takes commits until another one has the partition, which the polls after a refused commit tell."""

    def __init__(self) -> None:
        self.commits: list[tuple[int, str]] = []
        self.taken_over = False
        self.refused = 0
        self.tells: Callable[[], None] = lambda: None
        self.heard: Callable[[None, list[TopicPartition]], None] = lambda _error, _places: None
        self.owed: list[TopicPartition] = []

    def commit(self, *, offsets: list[TopicPartition], **_: Any) -> None:
        """Take a member's commit, refuse a zombie's."""
        if self.taken_over:
            self.refused += 1
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
        self.commits += [(place.offset, place.metadata or "") for place in offsets]
        self.owed = offsets

    def poll(self, wait_s: float) -> None:
        """Give nothing but answers, and tell of a loss that the client has noticed."""
        if self.owed:
            self.heard(None, self.owed)
            self.owed = []
        time.sleep(wait_s / 10)
        if self.refused:
            self.tells()

    def position(self, _places: list[TopicPartition]) -> list[TopicPartition]:
        """Know nothing."""
        return []

    def __getattr__(self, _name: str) -> Callable[..., list[TopicPartition]]:
        return lambda *_: []


class Table:
    """A ClickHouse that counts inserts, and does what the test wants before each question and insert."""

    def __init__(self) -> None:
        self.inserted: list[list[int]] = []
        self.before_rows: Callable[[], None] = lambda: None
        self.before_insert: Callable[[], None] = lambda: None

    def insert(self, _table: str, columns: Any, _settings: Mapping[str, Any]) -> None:
        """Note the rows' offsets."""
        self.before_insert()
        self.inserted.append(columns["log_offset"].to_pylist())

    def rows(self, query: str, _parameters: Any = None) -> list[dict[str, Any]]:
        """Know the settings, hold what was inserted, find no difference."""
        self.before_rows()
        if "system.settings" in query:
            return [{"name": "insert_deduplicate"}]
        return [{"offsets": [offset for rows in self.inserted for offset in rows]}] if "AS offsets" in query else [{}]

    def execute(self, *_: Any) -> None:
        """Do nothing."""


class Scene:
    """A sink that holds three records of one partition, and whoever it talks to."""

    def __init__(self, rig: Rig) -> None:
        self.group, self.table, self.stop = Group(), Table(), Stop()
        settings = load(SinkConfig, {"HOOKLINE_SINK_BACKOFF_MAX_S": "0.1"})
        kafka = load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
        table: Any = self.table
        self.sink = Sink(kafka, Topics("test"), rig.codec, table, settings, ErasedRows(Known()))
        aside: Any = None
        self.writer = BatchWriter(self.sink._client, rig.codec, aside, "rejected", settings, ErasedRows(Known()))
        place = [TopicPartition("test.attempts", 0)]
        consumer: Any = self.group
        self.sink._on_assign(consumer, place)
        self.group.heard = self.sink._commits._heard
        self.group.tells = lambda: self.sink._on_revoke(consumer, place)
        self.share = self.sink._shares[0]
        self.share.known = True
        self.share.add(rig.records([rig.attempt() for _ in range(3)]), time.monotonic())

    def write(self) -> None:
        """Write what is held, as the loop does; it must end."""
        consumer: Any = self.group
        thread = threading.Thread(target=lambda: self.sink._write(consumer, self.writer, [self.share], self.stop), daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def scene(rig: Rig) -> Scene:
    """Give a scene."""
    return Scene(rig)


def failing(scene: Scene, times: int, *, then: Callable[[], None] = lambda: None) -> None:
    """Have the first inserts fail, and something happen at the last of them."""
    tries = [0]

    def before() -> None:
        tries[0] += 1
        if tries[0] == times:
            then()
        if tries[0] <= times:
            raise WarehouseUnavailable("ClickHouse is away")

    scene.table.before_insert = before


def taken_over(scene: Scene) -> None:
    """Have another sink take the partition and write its batch, and more, while this one stands still."""
    scene.group.taken_over = True


def test_a_batch_is_announced_again_before_each_further_try(scene: Scene) -> None:
    """A member's are taken: the batch gets in, once, and its end is committed."""
    failing(scene, 2)
    scene.write()
    assert scene.table.inserted == [[0, 1, 2]]
    assert scene.group.commits == [(0, "pending:2")] * 3 + [(3, "")]
    assert scene.share.messages == []


def test_a_batch_of_a_sink_that_stood_still_between_two_tries_is_dropped(scene: Scene) -> None:
    """The next owner has written it; by now ClickHouse may have forgotten under which token."""
    failing(scene, 1, then=lambda: taken_over(scene))
    scene.write()
    assert scene.table.inserted == []
    assert scene.group.commits == [(0, "pending:2")]
    assert scene.sink._shares == {}


@pytest.mark.parametrize("still_s", [TOO_LONG_S, LONG_S])
@pytest.mark.parametrize("taken", [True, False])
def test_a_sink_that_stood_still_before_the_first_try_asks_first(
    scene: Scene, taken: bool, still_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Announced, then still for five seconds or an hour: the batch is written if it is still its own, else dropped."""
    later = [0.0]
    monkeypatch.setattr(lease, "now_s", lambda: later[0])

    def still() -> None:
        later[0] += still_s
        scene.group.taken_over = taken

    scene.table.before_rows = still
    scene.write()
    assert scene.table.inserted == ([] if taken else [[0, 1, 2]])


@pytest.mark.parametrize("nth", [1, 2])
def test_a_proof_is_as_old_as_its_question(scene: Scene, nth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka took the first announcement, or that before the second try; then the sink stood still, and heard of it when it woke."""
    later, answers, heard = [1_000.0], [0], scene.group.heard
    for module in (lease, sinks):
        monkeypatch.setattr(module, "now_s", lambda: later[0])

    def late(error: None, places: list[TopicPartition]) -> None:
        answers[0] += 1
        if answers[0] == nth:
            later[0] += TOO_LONG_S
            taken_over(scene)
        heard(error, places)

    scene.group.heard = late
    failing(scene, nth - 1)
    scene.write()
    assert answers == [nth]
    assert scene.table.inserted == []


def test_what_is_mended_after_the_insert_is_asked_about_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums and index made anew by a zombie would count what the next owner has counted."""
    later, executed = [0.0], list[str]()
    monkeypatch.setattr(lease, "now_s", lambda: later[0])
    monkeypatch.setattr(scene.table, "execute", lambda statement, _parameters: executed.append(statement))

    def still() -> None:
        if scene.table.inserted:
            later[0] += LONG_S
            taken_over(scene)

    scene.share.replay_to = 2
    scene.table.before_rows = still
    scene.write()
    assert scene.table.inserted == [[0, 1, 2]]
    assert executed == []


def test_a_stop_does_not_wait_for_a_kafka_that_is_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proof, no insert: the batch is announced, and the next owner's."""
    monkeypatch.setattr(lease, "_STOPPING_S", 0.3)
    scene.group.tells = lambda: None
    failing(scene, 1, then=lambda: taken_over(scene))
    threading.Timer(0.5, scene.stop.set).start()
    scene.write()
    assert scene.group.refused > 0
    assert scene.table.inserted == []


def test_a_batch_that_may_be_in_is_announced_again_as_it_was(scene: Scene, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """ClickHouse took it and died before it said so, then came the stop: with more held by now, no larger batch is announced over it."""
    insert = scene.table.insert

    def taken(*arguments: Any) -> None:
        insert(*arguments)
        scene.stop.set()
        raise WarehouseUnavailable("ClickHouse has died")

    monkeypatch.setattr(scene.table, "insert", taken)
    scene.write()
    monkeypatch.setattr(scene.table, "insert", insert)
    scene.share.add(rig.records([rig.attempt() for _ in range(5)]), time.monotonic())
    assert len(scene.share.messages) == 5
    scene.write()
    assert scene.table.inserted == [[0, 1, 2]] * 2  # under one token, of which ClickHouse makes one
    assert scene.group.commits == [(0, "pending:2")] * 2 + [(3, "")]
    assert len(scene.share.messages) == 2


class SlowKafka:
    """Answers one commit after the other, and only once it is told to: `answer`, how many more."""

    def __init__(self, scene: Scene) -> None:
        self.waiting: list[list[TopicPartition]] = []
        self.known: list[tuple[int, str]] = []  # to Kafka
        self.answer = 1
        self._group = scene.group
        scene.group.commit, scene.group.poll = self._commit, self._poll  # type: ignore[method-assign]

    def _commit(self, *, offsets: list[TopicPartition], **_: Any) -> None:
        self.waiting.append(list(offsets))

    def _poll(self, wait_s: float) -> None:
        if self.waiting and self.answer:
            self.answer -= 1
            places = self.waiting.pop(0)
            self.known += [(place.offset, place.metadata or "") for place in places]
            self._group.heard(None, places)
        time.sleep(wait_s / 10)


@pytest.fixture
def slow(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> SlowKafka:
    """Have Kafka answer the first announcement alone, and a stop not wait long for the other answers."""
    monkeypatch.setattr(sinks, "_LATE_S", 0.2)
    scene.sink._stop = scene.stop
    return SlowKafka(scene)


def test_a_late_answer_at_a_stop_announces_nothing(scene: Scene, slow: SlowKafka, rig: Rig) -> None:
    """The one to the offset after a batch comes while the last batch is to be announced, and Kafka dies: that batch is not inserted."""
    scene.table.before_insert = scene.stop.set
    scene.write()
    assert (scene.table.inserted, slow.known) == ([[0, 1, 2]], [(0, "pending:2")])
    scene.share.add(rig.records([rig.attempt() for _ in range(5)]), time.monotonic())
    slow.answer = 1
    scene.write()
    assert scene.table.inserted == [[0, 1, 2]]


def test_a_late_answer_at_a_stop_proves_nothing(scene: Scene, slow: SlowKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """An announcement that was made again before the stop is answered after it: the answer is older than the next question."""
    monkeypatch.setattr(lease, "_STOPPING_S", 2.0)
    granted = list[float]()
    monkeypatch.setattr(Lease, "grant", lambda _self, began_s: granted.append(began_s))
    failing(scene, 1, then=scene.stop.set)
    monkeypatch.setattr(scene.stop, "wait", lambda _seconds: False)  # the stop comes right after the wait between two tries
    threading.Timer(1.0, setattr, (slow, "answer", 1)).start()
    scene.write()
    assert (granted, scene.table.inserted, slow.known) == ([], [], [(0, "pending:2")] * 2)


def test_a_lost_client_proves_nothing(scene: Scene) -> None:
    """It can never ask Kafka again; another client must take its place, and gets the batch as announced."""
    failing(scene, 1, then=lambda: setattr(scene.sink._loss, "happened", True))
    scene.write()
    assert scene.table.inserted == []


def test_without_a_lease_nothing_is_changed(rig: Rig) -> None:
    """Only questions may be asked."""
    table: Any = Table()
    client = LeasedWarehouse(table)
    with pytest.raises(NotOurs):
        client.insert("attempts", rig.table([]), {})
    with pytest.raises(NotOurs):
        client.execute("DELETE")
    assert client.rows("SELECT name FROM system.settings")
    client.lease = Lease(Stop(), 10.0)
    client.insert("attempts", rig.table([]), {})
    assert table.inserted == [[]]


@pytest.mark.parametrize(("session_s", "holds_s"), [(1.0, 0.5), (6.0, 3.0), (10.0, 5.0), (300.0, 5.0)])
def test_a_proof_holds_no_longer_than_half_of_the_session(monkeypatch: pytest.MonkeyPatch, session_s: float, holds_s: float) -> None:
    """Others have the partition of who stood still for a session; so at most half of it counts as proven, and five seconds at most."""
    now = [100.0]
    monkeypatch.setattr("hookline.analytics.lease.now_s", lambda: now[0])
    made, asked = Lease(Stop(), session_s), list[float]()
    monkeypatch.setattr(made, "renew", lambda: asked.append(now[0]))
    now[0] += holds_s - 0.01
    made.require()
    assert asked == []
    now[0] += 0.02
    made.require()
    assert asked == [now[0]]
