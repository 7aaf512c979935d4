"""The ledger: told only when everything is acknowledged, and nothing that Kafka refuses is dropped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError
from prometheus_client import REGISTRY

from hookline.dispatcher import ledger as module
from hookline.dispatcher.faults import Faults
from hookline.dispatcher.ledger import Entry, Ledger
from hookline.kernel import lost
from tests.dispatcher.fake_kafka import FakeMessage, FakeProducer

pytestmark = pytest.mark.unit

REFUSALS = (
    "UNKNOWN_TOPIC_OR_PART",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "REQUEST_TIMED_OUT",
    "KAFKA_STORAGE_ERROR",
    "TOPIC_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "INVALID_RECORD",
    "INVALID_MSG",
    "POLICY_VIOLATION",
    "OUT_OF_ORDER_SEQUENCE_NUMBER",
    "UNKNOWN_PRODUCER_ID",
    "_MSG_TIMED_OUT",
    "_TIMED_OUT",
    "_TRANSPORT",
    "_ALL_BROKERS_DOWN",
    "_UNKNOWN_TOPIC",
    "_UNKNOWN_PARTITION",
    "_PURGE_QUEUE",
    "_PURGE_INFLIGHT",
)
"""What may come in place of an acknowledgement, from the brokers or the client; after each the record may not be there."""


class Desk:
    """A started ledger over a producer in the test's hands."""

    def __init__(self) -> None:
        self.producer = FakeProducer()
        self.faults = Faults()
        self.stamps: list[int] = []
        self.told: list[str] = []
        self.made = 0
        self.hear: Callable[[str], None] = lambda _: None
        self.ledger = Ledger(self._make, asyncio.get_running_loop(), self.faults, self.stamps.append)

    def _make(self, **settings: Any) -> Any:
        self.made += 1
        self.hear = settings["stats_cb"]
        return self.producer

    def lose(self) -> None:
        """Have the producer's statistics say that it knows no broker."""
        for _ in range(2):
            self.hear('{"brokers":{}}')

    def write(self, name: str, *topics: str) -> None:
        """Write one entry to each topic; `told` gets the name when all are durable."""
        self.ledger.write([Entry(topic, b"k", b"v", {"h": b"1"}) for topic in topics], lambda: self.told.append(name))


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """Give a started ledger that tries again soon."""
    monkeypatch.setattr(module, "_AGAIN_S", 0.02)
    made = Desk()
    made.ledger.start()
    yield made
    made.producer.acknowledging = True
    made.producer.full = False
    made.ledger.stop(0.1)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("the condition did not come true")


async def test_told_when_all_are_acknowledged(desk: Desk) -> None:
    """Two entries, one acknowledgement: not yet; the second: now, once."""
    desk.producer.acknowledging = False
    desk.write("one", "a", "b")
    first, second = desk.producer.open
    first(None, FakeMessage())
    assert desk.told == []
    second(None, FakeMessage())
    assert desk.told == ["one"]
    assert desk.producer.produced == [("a", b"k", b"v", {"h": b"1"}), ("b", b"k", b"v", {"h": b"1"})]
    desk.producer.open.clear()


async def test_served_without_further_ado(desk: Desk) -> None:
    """The ledger asks the producer for acknowledgements itself."""
    desk.write("one", "a")
    await until(lambda: desk.told == ["one"])
    assert desk.stamps == [1_700_000_000_000]


async def test_a_stamp_is_heard_once(desk: Desk) -> None:
    """Records of one batch have one stamp: who hears of it later learns nothing, and it would cost a call for each."""
    desk.producer.acknowledging = False
    desk.write("one", "a", "b", "c", "d")
    for at_ms, told in zip((5, 5, 7, 5), desk.producer.open, strict=True):
        told(None, FakeMessage(at_ms=at_ms))
    assert (desk.stamps, desk.told) == ([5, 7, 5], ["one"])
    desk.producer.open.clear()


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refused_entry_is_produced_again_until_it_is_taken(desk: Desk, name: str) -> None:
    """Whatever Kafka or the client says: only the refused entry is repeated, `complaint` names it as long as it lasts, then all is told."""
    desk.producer.refuses["b"] = KafkaError(getattr(KafkaError, name))
    desk.write("one", "a", "b")
    await until(lambda: len(desk.producer.produced) >= 5)
    assert desk.told == []
    for _ in range(20):  # it does not come and go between two tries
        assert "refuses 1 settling records" in desk.ledger.complaint()
        assert "b: " in desk.ledger.complaint()
        await asyncio.sleep(0.005)
    assert sum(topic == "a" for topic, *_ in desk.producer.produced) == 1
    desk.producer.refuses.clear()
    await until(lambda: desk.told == ["one"])
    assert desk.ledger.complaint() == ""
    assert desk.ledger.fatal() == ""


async def test_an_entry_that_produce_itself_refuses(desk: Desk) -> None:
    """An error raised at once is repeated just the same."""
    desk.producer.raises["a"] = KafkaError(KafkaError._UNKNOWN_TOPIC)
    desk.write("one", "a")
    await until(desk.ledger.complaint)
    desk.producer.raises.clear()
    await until(lambda: desk.told == ["one"])
    assert desk.ledger.complaint() == ""


def large(topic: str, instead: Callable[[], list[Entry]] | None) -> Entry:
    """Return an entry that was in no batch with others."""
    return Entry(topic, b"k", bytes(1_100_000), {}, instead)


@pytest.mark.parametrize("by_broker", [True, False])
async def test_what_is_too_large_gives_way(desk: Desk, by_broker: bool) -> None:
    """What Kafka, or the client itself, will never take is tried once: what it has instead is written, and settles it."""
    desk.producer.most = {"a": 1_000} if by_broker else {}
    desk.producer.raises = {} if by_broker else {"a": KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)}
    before = REGISTRY.get_sample_value("hookline_dispatcher_produce_retries_total") or 0
    desk.ledger.write([large("a", lambda: [Entry("b", b"k", b"1", {}), Entry("c", b"k", b"2", {})])], lambda: desk.told.append("one"))
    await until(lambda: desk.told)
    await asyncio.sleep(0.1)
    assert [topic for topic, *_ in desk.producer.produced] == [*(["a"] if by_broker else []), "b", "c"]
    assert (desk.told, desk.ledger.complaint(), desk.ledger.stop(0.0)) == (["one"], "", 0)
    assert REGISTRY.get_sample_value("hookline_dispatcher_produce_retries_total") == before + 1


async def test_what_gives_way_after_another_refusal(desk: Desk) -> None:
    """Refused for a missing topic first and for its size then: nothing is left that waits."""
    desk.producer.refuses["a"] = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    desk.ledger.write([large("a", lambda: [Entry("b", b"k", b"1", {})])], lambda: desk.told.append("one"))
    await until(desk.ledger.complaint)
    assert desk.told == []
    desk.producer.most["a"] = 1_000
    await until(lambda: desk.told == ["one"])
    assert (desk.ledger.complaint(), desk.ledger.stop(0.0)) == ("", 0)


@pytest.mark.parametrize("case", ["nothing instead", "small", "another reason", "broken"])
async def test_what_may_be_taken_later_does_not_give_way(desk: Desk, case: str) -> None:
    """A small record may have been in a batch with a large one; rights and topics can be mended; an error on the way drops nothing."""

    def instead() -> list[Entry]:
        if case == "broken":
            raise RuntimeError(case)
        return [Entry("b", b"k", b"1", {})]

    size = KafkaError.TOPIC_AUTHORIZATION_FAILED if case == "another reason" else KafkaError.MSG_SIZE_TOO_LARGE
    desk.producer.refuses["a"] = KafkaError(size)
    value = bytes(900_000 if case == "small" else 1_100_000)
    entry = Entry("a", b"k", value, {}, None if case == "nothing instead" else instead)
    desk.ledger.write([entry], lambda: desk.told.append("one"))
    await until(lambda: len(desk.producer.produced) > 2)
    assert {topic for topic, *_ in desk.producer.produced} == {"a"}
    assert "refuses 1 settling records" in desk.ledger.complaint()
    desk.producer.refuses.clear()
    await until(lambda: desk.told == ["one"])


async def test_a_full_queue_waits(desk: Desk) -> None:
    """What the producer has no room for goes in as soon as it has; nobody is told before, and that is no refusal."""
    desk.producer.full = True
    for number in range(50):
        desk.write(str(number), "a")
    await asyncio.sleep(0.05)
    assert (desk.told, desk.producer.produced, desk.ledger.complaint()) == ([], [], "")
    desk.producer.full = False
    await until(lambda: len(desk.told) == 50)
    assert sorted(desk.told, key=int) == [str(number) for number in range(50)]


async def test_a_fatal_error_is_told(desk: Desk) -> None:
    """A producer that can never work again says so in `fatal`, so that the process ends and is started anew."""
    desk.producer.refuses["a"] = KafkaError(KafkaError._FATAL, "fenced", True)  # its own signature
    desk.write("one", "a")
    await until(desk.ledger.fatal)
    assert "fenced" in desk.ledger.fatal()
    assert desk.ledger.complaint()


async def test_a_call_back_that_fails_does_not_end_the_ledger(desk: Desk) -> None:
    """An error in one settling is a fault that is counted; the others are told."""

    def broken() -> None:
        message = "unforeseen"
        raise RuntimeError(message)

    desk.ledger.write([Entry("a", b"", b"", {})], broken)
    desk.write("one", "a")
    await until(lambda: desk.told == ["one"])
    assert "1 internal errors" in desk.faults.complaint()


async def test_stop_waits_and_counts_what_is_left(desk: Desk) -> None:
    """A stop takes the acknowledgements that come; what is unacknowledged or refused is left, and is not settled."""
    desk.write("one", "a")
    assert desk.ledger.stop(1.0) == 0
    assert desk.told == ["one"]
    desk.producer.acknowledging = False
    desk.write("two", "a")
    assert desk.ledger.stop(0.0) == 1
    desk.producer.acknowledging = True
    desk.producer.refuses["b"] = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    desk.write("three", "b")
    assert desk.ledger.stop(0.0) == 1
    assert desk.told == ["one", "two"]


async def test_a_lost_producer_with_nothing_open_is_replaced(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process goes on, and what comes next is written by the new one."""
    told: list[bool] = []
    monkeypatch.setattr(lost, "_listeners", [lambda: told.append(True)])
    desk.lose()
    await until(lambda: desk.made == 2)
    desk.write("one", "a")
    await until(lambda: desk.told == ["one"])
    assert told == []


async def test_a_lost_producer_with_records_open_ends_the_process(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka may have them: another producer would write them twice."""
    told: list[bool] = []
    monkeypatch.setattr(lost, "_listeners", [lambda: told.append(True)])
    desk.producer.acknowledging = False
    desk.write("one", "a")
    desk.lose()
    await until(lambda: told)
    await asyncio.sleep(0.05)
    assert (told, desk.made) == ([True], 1)
    began = time.monotonic()
    assert desk.ledger.stop(20) == 1
    assert time.monotonic() - began < 10, "it waited for a producer that reaches nobody"
