"""Replays: which letters, how fast, and never the wrong ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hookline.dispatcher.letters import DeadLetter, Reason
from hookline.dispatcher.replays import DeadLetters, FoundLetter, LetterFilter, Pace, Replayed, Replays, replay_all
from hookline.kernel.config import load
from hookline.kernel.errors import NotFound, WireError
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.records import Trigger, Waiting
from tests.dispatcher.fake_kafka import TOPICS
from tests.dispatcher.fakes import codec, waiting

pytestmark = pytest.mark.unit

KAFKA = load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})


def letter(number: int = 1, reason: Reason = Reason.EXHAUSTED, *, replayed: bool = False, **changes: Any) -> FoundLetter:
    """Return a dead letter."""
    before = None if reason is Reason.POISON else waiting(**changes)
    found = DeadLetter.of(reason, "why", waiting().source, before)
    return FoundLetter(place=f"{TOPICS.dead_letters('orders')}:0:{number}", letter=found, value=b"value", replayed=replayed)


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        ({}, True),
        ({"store_id": "shop", "webhook_id": "wh_1", "event_type": "order.created", "reason": "exhausted", "category": "orders"}, True),
        ({"store_id": "another"}, False),
        ({"webhook_id": "wh_2"}, False),
        ({"event_type": "order.paid"}, False),
        ({"reason": "gone"}, False),
        ({"category": "checkout"}, False),
        ({"delivery_id": "msg_2"}, False),
        ({"replayed": False}, True),
        ({"replayed": True}, False),
    ],
)
def test_filters(wanted: dict[str, Any], takes: bool) -> None:
    """Every field that is given must be the letter's; what is left open takes all."""
    assert LetterFilter(**wanted).takes(letter()) == takes


def test_poison_has_no_store() -> None:
    """A letter that never was a delivery is found without a store, and by no store's filter."""
    assert LetterFilter(reason="poison").takes(letter(reason=Reason.POISON))
    assert not LetterFilter(store_id="shop").takes(letter(reason=Reason.POISON))


def test_a_letter_is_replayed_by_its_place_or_by_a_later_resend() -> None:
    """A resend before the delivery was given up replays nothing; poison is no delivery, whatever was sent again."""
    found, poison = letter(), letter(reason=Reason.POISON)
    assert found.letter.waiting is not None
    id_, at_us = found.letter.waiting.delivery_id, found.letter.at_us
    assert Replayed(frozenset({found.place}), {}).has(found.place, found.letter)
    assert Replayed(frozenset(), {id_: at_us}).has(found.place, found.letter)
    assert not Replayed(frozenset({"elsewhere"}), {id_: at_us - 1, "msg_2": at_us}).has(found.place, found.letter)
    assert not Replayed(frozenset(), {id_: at_us}).has(poison.place, poison.letter)


class Written:
    """Notes what is replayed."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def replay(self, found: FoundLetter, job_id: str) -> None:
        """Note a letter."""
        assert job_id == "job_1"
        self.places.append(found.place.rpartition(":")[2])


class Watch:
    """A clock that sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("hookline.dispatcher.replays.time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def test_the_pace_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred letters at fifty a second take two seconds; each is told."""
    watch, written = Watch(monkeypatch), Written()
    told: list[int] = []
    made = replay_all(cast("Replays", written), iter([letter(n) for n in range(100)]), Pace(rate=50, most=1_000), "job_1", told.append)
    assert (made, len(written.places), told) == (100, 100, list(range(1, 101)))
    assert watch.now == pytest.approx(2.0)


def test_no_more_than_the_most_and_no_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poison is passed over and does not count; after the most nothing more is even read."""
    Watch(monkeypatch)
    written = Written()
    letters = iter([letter(1), letter(2, Reason.POISON), letter(3), letter(4), letter(5)])
    assert replay_all(cast("Replays", written), letters, Pace(rate=1_000, most=2), "job_1", lambda _: None) == 2
    assert written.places == ["1", "3"]
    assert len(list(letters)) == 1


def test_a_replay_begins_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same id and origin, the whole schedule anew, one replay more, its letter's place along."""
    made: list[Any] = []
    monkeypatch.setattr("hookline.kernel.kafka.producer", lambda *_a, **_k: None)
    monkeypatch.setattr("hookline.kernel.kafka.produce_sync", lambda _client, topic, **record: made.append((topic, record)))
    replays = Replays(KAFKA, TOPICS, codec())
    replays.replay(letter(7, attempt=8, parked=3, not_before_us=9, last_status=500, detail="no", replays=1), "job_1")
    [(topic, record)] = made
    sent = Waiting.from_headers(record["headers"])
    assert (topic, record["value"], record["key"]) == (TOPICS.replays, b"value", b"wh_1")
    assert (sent.delivery_id, sent.source, sent.trigger, sent.job_id) == ("msg_1", waiting().source, Trigger.REPLAY, "job_1")
    assert (sent.attempt, sent.parked, sent.not_before_us, sent.last_status, sent.detail, sent.replays) == (0, 0, 0, 0, "", 2)
    assert record["headers"]["hookline-dead-letter"].endswith(b":0:7")
    with pytest.raises(WireError, match="poison"):
        replays.replay(letter(8, Reason.POISON), "job_1")


@pytest.mark.parametrize(
    "place",
    [
        "",
        "nonsense",
        "test.dead-letters.orders",
        "test.dead-letters.orders:0",
        "test.dead-letters.orders:0:1:2",
        "test.dead-letters.orders:-1:0",
        "test.dead-letters.orders:0:-1",
        "test.dead-letters.orders:²:0",
        "test.dead-letters.orders:99999999999:0",
        "test.dead-letters.orders:0:99999999999999999999",
        "test.events.orders:0:0",
        "other.dead-letters.orders:0:0",
        "x" * 10_000,
    ],
)
def test_what_is_no_place(place: str) -> None:
    """Anything but a place in a dead-letter topic is refused without asking Kafka, and not repeated at length."""
    with pytest.raises(NotFound) as raised:
        DeadLetters(KAFKA, TOPICS).get(place)
    assert len(raised.value.message) < 300
    assert "dead-letters list" in raised.value.remedy
