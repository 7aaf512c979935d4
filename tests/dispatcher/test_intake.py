"""The intake over a consumer that plays Kafka: nothing skipped, nothing committed too early, nothing read too soon."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from hookline.dispatcher import intake as module
from hookline.dispatcher.source import Source, again, fresh
from hookline.kernel.lifecycle import Stop
from hookline.kernel.lost import Loss
from hookline.schemas.topics import Topics
from tests.dispatcher.fake_kafka import TOPICS, message
from tests.dispatcher.intake_desk import ORDERS, TIER, Desk

pytestmark = pytest.mark.unit


# ---- taking up and committing ----


def test_only_what_is_settled_is_committed() -> None:
    """The commit follows the lowest unsettled record."""
    desk = Desk()
    desk.assign(0)
    assert desk.step(5, 6, 8) == [5, 6, 8]
    desk.settle(6, 8)
    assert desk.commits() == [5]
    desk.settle(5)
    assert desk.commits() == [5, 9]


def test_a_position_is_committed_once_and_again_until_kafka_has_confirmed() -> None:
    """Unconfirmed it is committed again, confirmed it is not."""
    desk = Desk()
    desk.assign(0)
    desk.step(1)
    desk.settle(1)
    assert desk.commits() == [2]
    assert desk.commits() == [2, 2]
    desk.intake._committed(KafkaError(KafkaError.REQUEST_TIMED_OUT), [TopicPartition(ORDERS, 0, 2)])
    assert desk.commits() == [2, 2, 2]
    desk.intake._committed(None, [TopicPartition(ORDERS, 0, 2)])
    assert desk.commits() == [2, 2, 2]


def test_what_kafka_refused_for_one_partition_is_committed_again() -> None:
    """An answer names an error for each partition: only what has none is confirmed."""
    desk = Desk()
    desk.assign(0, 1)
    desk.step(1)
    desk.step(7, partition=1)
    desk.settle(1, 7)
    assert desk.commits() == [2, 8]
    refusal = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    refused: Any = SimpleNamespace(topic=ORDERS, partition=0, offset=2, error=refusal)
    desk.intake._committed(None, [refused, TopicPartition(ORDERS, 1, 8)])
    assert desk.commits() == [2, 8, 2]
    desk.intake._committed(None, [TopicPartition(ORDERS, 0, 2)])
    assert desk.commits() == [2, 8, 2]


def test_records_of_partitions_that_are_not_ours_are_not_taken_up() -> None:
    """A record that comes late from a partition taken away is left to its owner."""
    desk = Desk()
    desk.assign(0)
    assert desk.step(1, partition=1) == []
    assert desk.consumer.what("seek") == []


def test_full_of_records_pauses_and_goes_on_without_a_gap() -> None:
    """At the limit nothing more is read; a record that was fetched before comes again after the pause."""
    desk = Desk(limits={"pending": 3})
    desk.assign(0)
    assert desk.step(1, 2, 3) == [1, 2, 3]
    crowded = [desk.intake.crowded]
    assert desk.step(4) == []
    desk.intake._full_since = time.monotonic() - 1
    assert desk.step() == []
    assert desk.consumer.what("pause") == [[(ORDERS, 0)]]
    assert desk.consumer.what("seek") == [(ORDERS, 0, 4)]
    desk.settle(1, 2, 3)
    assert [*crowded, desk.intake.crowded] == [True, False]
    assert desk.step(4, 5) == [4, 5]
    assert desk.consumer.what("resume")[-1] == [(ORDERS, 0)]


def test_what_is_gone_is_passed_over_only_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room, a record that was fetched before may be behind it still."""
    desk, seen = Desk(limits={"pending": 1}), list[int]()
    desk.assign(0)
    monkeypatch.setattr(module, "tell_emptied", lambda _source, _consumer, shares: seen.append(len(list(shares))))
    monkeypatch.setattr(desk.intake, "_commit_async", lambda _consumer: desk.intake._stop.set())
    for _ in range(2):
        desk.intake._stop = Stop()
        desk.intake._next_commit = 0.0
        desk.intake._loop(cast("Any", desk.consumer), Loss())
        desk.step(1)
    assert seen == [1, 0]


def test_full_of_bytes_pauses_too() -> None:
    """A few large records fill an intake as many small ones do."""
    desk = Desk(limits={"pending_bytes": 2})
    desk.assign(0)
    assert desk.step(1, 2) == [1, 2]
    assert desk.step(3) == []
    desk.settle(1, 2)
    assert desk.step() == [3]


def test_too_far_ahead_of_one_unsettled_record_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that does not settle bounds how far its partition is read, so that a crash repeats no more than that."""
    monkeypatch.setattr(module, "_AHEAD", 3)
    desk = Desk()
    desk.assign(0, 1)
    assert desk.step(1, 2, 3) == [1, 2, 3]
    desk.settle(2, 3)
    assert desk.step(4, 5) == []
    assert desk.consumer.what("seek") == [(ORDERS, 0, 4)]
    assert desk.step(1, partition=1) == [1]
    desk.settle(1)
    time.sleep(0.25)
    desk.step()
    assert desk.consumer.what("resume")[-1] == [(ORDERS, 0)]
    assert desk.step(4, 5) == [4, 5]


def test_offsets_that_go_back_begin_anew() -> None:
    """A topic made anew, or cut off by an unclean election, is read from where it is now; old results no longer count."""
    desk = Desk()
    desk.assign(0)
    desk.step(100, 101)
    assert desk.step(0, 1) == [0, 1]
    desk.settle(100, 101)
    assert desk.commits() == [0]
    desk.settle(0, 1)
    assert desk.commits()[-1] == 2
    assert desk.intake.shares.records == 0


# ---- due times ----


def test_a_record_that_is_not_due_waits_where_it_is() -> None:
    """Not due: its partition pauses and seeks back to it, what follows in the batch is left, others go on; due: it comes again."""
    now_ms, passed_s = int(time.time() * 1_000), 0.0
    desk = Desk(source={"delay_s": 60.0, "topics": [TIER], "wall": lambda: now_ms / 1_000 + passed_s})
    desk.assign(0, 1, topic=TIER)
    assert desk.step(4, 5, topic=TIER, at_ms=now_ms) == []
    assert desk.consumer.what("pause") == [[(TIER, 0)]]
    assert desk.consumer.what("seek") == [(TIER, 0, 4)]
    assert desk.step(9, topic=TIER, partition=1, at_ms=now_ms - 61_000) == [9]
    assert desk.consumer.what("resume") == [[(TIER, 0), (TIER, 1)]]
    share, passed_s = desk.intake.shares.get(TIER, 0), 61.0
    assert share is not None
    share.due_at -= passed_s
    share.resume_at -= passed_s
    desk.step()
    assert desk.consumer.what("resume")[1:] == [[(TIER, 0)]]
    assert desk.step(4, 5, topic=TIER, at_ms=now_ms) == [4, 5]


@pytest.mark.parametrize("wrong_s", [-3_600, 3 * 86_400])
def test_a_wrong_clock_of_ours_keeps_no_record(wrong_s: float) -> None:
    """With a clock behind the brokers' a record waits for its delay at most; it is never put off twice."""
    desk = Desk(source={"delay_s": 0.2, "topics": [TIER], "wall": lambda: time.time() + wrong_s})
    desk.assign(0, topic=TIER)
    now_ms = int(time.time() * 1_000)
    taken = desk.step(1, topic=TIER, at_ms=now_ms)
    if wrong_s < 0:
        assert taken == []
        time.sleep(0.25)
        taken = desk.step(1, topic=TIER, at_ms=now_ms) or desk.step(1, topic=TIER, at_ms=now_ms)
    assert taken == [1]


def test_a_stamp_from_the_future_waits_for_the_delay_at_most() -> None:
    """A broker whose clock is ahead cannot park a record for years."""
    desk = Desk(source={"delay_s": 0.2, "topics": [TIER]})
    desk.assign(0, topic=TIER)
    in_a_year = int((time.time() + 365 * 86_400) * 1_000)
    assert desk.step(1, topic=TIER, at_ms=in_a_year) == []
    time.sleep(0.25)
    desk.step()
    assert desk.step(1, topic=TIER, at_ms=in_a_year) == [1]


# ---- poison ----


def test_a_held_partition_is_read_no_more_and_takes_no_room() -> None:
    """Its offset stays before the held record; others are read; what it held no longer counts as pending."""
    desk = Desk(limits={"pending": 4})
    desk.assign(0, 1)
    desk.step(1, 2, 3)
    for record in desk.taken:
        desk.intake.hold(record)
    assert desk.step(4) == []
    assert desk.intake.shares.records == 0
    assert desk.intake.held() == [f"{ORDERS}[0]"]
    assert desk.step(1, 2, 3, 4, partition=1) == [1, 2, 3, 4]
    time.sleep(0.25)
    desk.step()
    assert all((ORDERS, 0) not in places for places in desk.consumer.what("resume")[1:])
    assert desk.commits()[0] == 1


# ---- the barrier ----


def test_nothing_is_taken_up_before_the_barrier() -> None:
    """While the registry is behind, records go back to where they were, and polling goes on; then they come again."""
    answers = [False, False, True]
    desk = Desk(source={"barrier": lambda: answers.pop(0)})
    desk.assign(0)
    assert desk.step(3, 4) == []
    assert desk.step(3, 4) == []
    assert desk.consumer.what("seek") == [(ORDERS, 0, 3)] * 2
    assert desk.step(3, 4) == [3, 4]


def test_a_retry_waits_for_the_barrier_as_a_fresh_event_does() -> None:
    """Another dispatcher, which knew the webhook sooner, may have made it: who is behind must not judge it."""
    answers = [False, True]
    _, tier = again(TOPICS, ["5s"], barrier=lambda: answers.pop(0), wall=time.time)
    desk = Desk()
    desk.intake.source = tier
    desk.assign(0, topic=TIER)
    assert desk.step(3, topic=TIER, at_ms=1) == []
    assert desk.consumer.what("seek") == [(TIER, 0, 3)]
    assert desk.step(3, topic=TIER, at_ms=1) == [3]


def test_a_process_that_stood_still_in_the_barrier_proves_itself() -> None:
    """The gap counts wherever it was: a member that is out takes nothing up, though the barrier let it pass."""
    desk = Desk()

    def barrier() -> bool:
        desk.stand_still()
        return True

    desk.intake.source = Source(name="test", topics=[ORDERS], group="g", barrier=barrier)
    desk.assign(0)
    desk.consumer.commit_error = KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
    assert desk.step(3) == []
    assert desk.consumer.what("seek") == [(ORDERS, 0, 3)]


# ---- the thread ----


def test_a_drain_takes_up_nothing_and_goes_on_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the drain on nothing is read, yet the group hears of us; the stop commits what has settled and leaves."""
    desk = Desk(limits={"commit_s": 100.0})
    polls: list[int] = []
    desk.consumer.on_poll = lambda: polls.append(1)
    desk.consumer.subscribe = lambda *_a, **_k: desk.assign(0)
    monkeypatch.setattr("hookline.kernel.kafka.group_consumer", lambda *_a, **_k: desk.consumer)
    desk.consumer.batches.append([message(b"x", topic=ORDERS, offset=1)])
    desk.intake.start()
    _until(lambda: len(desk.taken) == 1)
    desk.intake.drain()
    _until(lambda: desk.consumer.what("pause"))
    desk.consumer.batches.append([message(b"x", topic=ORDERS, offset=2)])
    before = len(polls)
    _until(lambda: len(polls) > before + 3)
    assert len(desk.taken) == 1
    assert desk.intake.complaint() == ""
    desk.intake.done(desk.taken[0])
    desk.intake.stop()
    assert desk.consumer.what("commit now") == [[(ORDERS, 0, 2)]]
    assert desk.consumer.told[-1] == ("close", None)
    assert "does not run" in desk.intake.complaint()


def test_an_intake_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw ends the intake, loudly, so that the process is started anew."""
    desk = Desk()

    def subscribe(*_a: Any, **_k: Any) -> None:
        message = "unforeseen"
        raise RuntimeError(message)

    desk.consumer.subscribe = subscribe
    monkeypatch.setattr("hookline.kernel.kafka.group_consumer", lambda *_a, **_k: desk.consumer)
    desk.intake.start()
    _until(lambda: "RuntimeError: unforeseen" in desk.intake.complaint())
    desk.intake.stop()


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("tier", "wait_ms"), [("1s", 100), ("5s", 100), ("10s", 200), ("10h", 500)])
def test_a_due_record_waits_little_for_a_fetch_of_its_neighbours(tier: str, wait_ms: int) -> None:
    """A partition that was paused is fetched again once the fetch under way ends: within a fiftieth of the delay, or 100 ms."""
    _, source = again(Topics("hookline"), [tier], barrier=lambda: True, wall=lambda: 0.0)
    assert source.fetch_wait_ms == wait_ms
    assert fresh(Topics("hookline"), lambda: True).fetch_wait_ms == 500
