"""Until when an intake may take itself for the owner of its partitions, in a group of KIP-848."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from hookline.dispatcher import lease as lease_module
from hookline.dispatcher.lease import Lease
from tests.dispatcher.fake_kafka import message
from tests.dispatcher.intake_desk import ORDERS, Desk

pytestmark = pytest.mark.unit


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the lease's clock."""
    made = Clock()
    monkeypatch.setattr(lease_module, "time", made)
    return made


@pytest.fixture
def lease(clock: Clock) -> Lease:
    """Give a lease of three seconds that has just been proven."""
    made = Lease(3.0, by_commits=True)
    made.granted(clock.now)
    return made


def test_polling_alone_does_not_keep_it(clock: Clock, lease: Lease) -> None:
    """Who does not reach Kafka goes on polling its empty queue."""
    for _ in range(3):
        clock.now += 0.99
        lease.beat = clock.now
        assert lease.holds()
    clock.now += 0.99
    lease.beat = clock.now
    assert not lease.holds()
    assert lease.owed(clock.now, at_work=True)
    assert not lease.owed(clock.now, at_work=False)


def test_commits_alone_do_not_keep_it(clock: Clock, lease: Lease) -> None:
    """Who stood still heard of nothing that was decided meanwhile."""
    clock.now += 4
    lease.granted(clock.now)
    assert not lease.holds()
    assert lease.owed(clock.now, at_work=False)


def test_a_member_of_a_classic_group_needs_no_commits(clock: Clock) -> None:
    """There they wait for others to join, and librdkafka ends the session by itself."""
    lease = Lease(3.0, by_commits=False)
    clock.now += 100
    lease.beat = clock.now
    assert lease.holds()
    assert not lease.owed(clock.now, at_work=True)
    assert not lease.ages


def test_it_counts_from_when_the_commit_was_sent(clock: Clock, lease: Lease) -> None:
    """Its answer may have waited."""
    lease.sent()
    clock.now += 2.9
    lease.answered(granted=True)
    lease.beat = clock.now
    assert lease.holds()
    clock.now += 0.2
    lease.beat = clock.now
    assert not lease.holds()


def test_answers_come_in_the_order_of_the_commits(clock: Clock, lease: Lease) -> None:
    """Each proves the moment of its own commit."""
    lease.sent()
    clock.now += 2
    lease.sent()
    clock.now += 1.5
    lease.beat = clock.now
    lease.answered(granted=True)
    assert not lease.holds()
    lease.answered(granted=True)
    assert lease.holds()
    assert not lease.waits


def test_a_refusal_proves_nothing(clock: Clock, lease: Lease) -> None:
    """Of two that are on their way the one that is granted counts as the older one: one may fail before it is sent."""
    lease.sent()
    clock.now += 1
    lease.sent()
    lease.answered(granted=False)
    clock.now += 2.5
    lease.beat = clock.now
    assert not lease.holds()
    lease.answered(granted=True)
    assert not lease.holds()
    lease.sent()
    lease.answered(granted=True)
    assert lease.holds()


@pytest.mark.parametrize("takes_s", [0.01, 0.6, 1.1, 1.6, 1.9])
def test_it_holds_though_commits_take_long(clock: Clock, lease: Lease, takes_s: float) -> None:
    """One is sent every second at least: work goes on as long as answers come within two thirds of the lease."""
    answers: list[float] = []
    held = []
    for step in range(600):
        clock.now += 0.05
        lease.beat = clock.now
        while answers and answers[0] <= clock.now:
            lease.answered(granted=True)
            answers.pop(0)
        if step % 10 == 0 and (lease.ages or step % 40 == 0):
            lease.sent()
            answers.append(clock.now + takes_s)
        held.append(lease.holds())
    assert all(held)


def test_an_answer_that_never_comes_makes_proofs_a_commit_older(clock: Clock, lease: Lease) -> None:
    """And no more than that."""
    lease.sent()
    for _ in range(20):
        clock.now += 1
        lease.beat = clock.now
        lease.sent()
        lease.answered(granted=True)
        assert lease.holds()
    assert lease.waits


def test_another_client_is_another_member(clock: Clock, lease: Lease) -> None:
    """What the former one was granted proves nothing for it; late answers to the former one change nothing."""
    lease.sent()
    lease.forget()
    lease.answered(granted=True)
    lease.beat = clock.now
    assert not lease.holds()


# ---- the intake ----


def desk(**limits: float) -> Desk:
    """Return an intake in a group of KIP-848 with two partitions."""
    made = Desk(limits=limits, protocol="consumer")
    made.assign(0, 1)
    return made


def cut_off(made: Desk, seconds: float = 60.0) -> None:
    """Let Kafka have granted nothing for a while, though the intake polled."""
    made.intake.lease._granted_at -= seconds


def test_the_first_records_are_taken_up_after_a_proof() -> None:
    """The assignment may be old; further ones within the lease need none."""
    made = desk()
    assert made.step(1, 2) == [1, 2]
    assert made.consumer.what("commit") == [[(ORDERS, 0, 1)]]
    assert made.step(3) == [3]
    assert len(made.consumer.what("commit")) == 1
    assert made.consumer.what("commit now") == [], "none is waited for but by polling"
    assert all(made.intake.fit(record) for record in made.taken)


def test_who_is_cut_off_starts_nothing() -> None:
    """Neither what is in hand nor what comes, until Kafka grants a commit."""
    made = desk()
    made.step(1, 2)
    cut_off(made)
    assert not made.intake.fit(made.taken[0])
    made.consumer.commit_error = KafkaException(KafkaError(KafkaError._TRANSPORT))
    assert made.step(3) == []
    assert not made.intake.fit(made.taken[0])
    made.consumer.commit_error = None
    assert made.step(3) == [3]
    assert made.intake.fit(made.taken[0])


def test_who_has_nothing_to_do_asks_nothing() -> None:
    """An idle group writes no commits."""
    made = desk()
    made.step(1)
    made.settle(1)
    made.commits()
    made.step()
    before = len(made.consumer.told)
    cut_off(made)
    made.step()
    made.intake._commit_async(made.consumer)
    assert [what for what, _ in made.consumer.told[before:] if what.startswith("commit")] == []


def test_what_hangs_is_proven_by_the_same_position_again() -> None:
    """Calls that take long move no offset; their partitions are ours all the same, and Kafka is asked in time."""
    made = desk(lease_s=3.0)
    made.step(1, 2)
    made.settle(1)
    for _ in range(2):
        made.intake._commit_async(made.consumer)
        made.step()
    assert made.consumer.what("commit") == [[(ORDERS, 0, 1)], [(ORDERS, 0, 2)]]
    cut_off(made, 2.0)
    made.intake._commit_async(made.consumer)
    assert made.consumer.what("commit") == [[(ORDERS, 0, 1)], [(ORDERS, 0, 2)], [(ORDERS, 0, 2)]]
    cut_off(made)
    assert not made.intake.fit(made.taken[1])
    made.step()
    assert made.intake.fit(made.taken[1])


def test_what_comes_while_a_proof_is_waited_for_is_taken_up_too() -> None:
    """The answer is heard by polling, which may give records."""
    made = desk()
    made.consumer.batches += [[message(b"x", topic=ORDERS, offset=offset)] for offset in (1, 2)]
    assert made.step() == [1, 2]
    assert made.consumer.what("seek") == []


def test_a_commit_that_is_never_answered_stops_the_work_and_not_the_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a member that was put out hears of it; nothing is asked again while an answer is owed."""
    monkeypatch.setattr("hookline.dispatcher.commits._PROOF_S", 0.05)
    made = desk()
    made.consumer.on_commit = None
    polls: list[bool] = []
    made.consumer.on_poll = lambda: polls.append(True)
    assert made.step(1) == []
    assert made.step(1) == []
    assert len(polls) > 4
    assert len(made.consumer.what("commit")) == 2
    assert not made.intake._commits.unanswered()
    made.intake.lease._sent[0] -= 100
    assert made.intake._commits.unanswered()


def test_a_proof_that_comes_late_counts_for_the_doubt_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that takes longer than a proof is waited for proves what it was sent for, in a later round."""
    monkeypatch.setattr("hookline.dispatcher.commits._PROOF_S", 0.02)
    made = desk()
    heard, made.consumer.on_commit = made.consumer.on_commit, None
    assert made.step(1) == []
    made.consumer.on_commit = lambda *_: None
    heard(None, [TopicPartition(ORDERS, 0, 1)])
    assert made.step(1) == [1]


@pytest.mark.parametrize("granted", [True, False])
def test_what_was_read_of_a_share_that_was_given_anew_is_not_taken_up(*, granted: bool) -> None:
    """The new share reads from what is committed; to go on, or to seek, behind it would leave records out."""
    made = desk()
    turns: list[str] = []

    def turn() -> None:  # a proof may end with the first answer: both must be within one poll
        if not made.consumer.batches and not turns:
            made.intake._lost(made.consumer, [TopicPartition(ORDERS, 0)])
            made.assign(0)
            turns.append("given anew")

    if not granted:
        made.consumer.commit_error = KafkaException(KafkaError(KafkaError.STALE_MEMBER_EPOCH))
    made.consumer.batches.append([message(b"x", topic=ORDERS, offset=7), message(b"x", topic=ORDERS, partition=1, offset=3)])
    made.consumer.on_poll = turn
    assert made.step() == ([3] if granted else [])
    assert turns == ["given anew"]
    assert made.consumer.what("seek") == ([] if granted else [(ORDERS, 1, 3)])
    share = made.intake.shares.get(ORDERS, 0)
    assert share is not None
    assert share.next is None, "it begins where Kafka says"


def test_who_leaves_sends_what_was_refused_once_more() -> None:
    """The group went on as it was sent."""
    made = desk()
    made.step(1)
    made.settle(1)
    refused = KafkaException(KafkaError(KafkaError.STALE_MEMBER_EPOCH))
    made.consumer.commit_error = refused

    def mend() -> None:
        made.consumer.commit_error = None

    made.consumer.on_poll = mend
    made.intake._close(made.consumer)
    assert made.consumer.what("commit")[-2:] == [[(ORDERS, 0, 2)]] * 2
    assert made.consumer.told[-1] == ("close", None)


def test_what_is_settled_is_sent_before_partitions_are_given_back() -> None:
    """And not waited for: the coordinator hears of both in that order."""
    made = desk()
    made.step(1, 2)
    made.settle(1, 2)
    made.intake._revoked(made.consumer, [TopicPartition(ORDERS, 0)])
    assert [told for told in made.consumer.told if told[0] in {"commit", "commit now", "unassign"}][-2:] == [
        ("commit", [(ORDERS, 0, 3)]),
        ("unassign", [(ORDERS, 0)]),
    ]


@pytest.mark.parametrize("code", [KafkaError.FENCED_MEMBER_EPOCH, KafkaError.STALE_MEMBER_EPOCH, KafkaError.UNKNOWN_MEMBER_ID])
def test_a_member_that_was_put_out_starts_nothing(code: int) -> None:
    """Until Kafka gives it partitions again."""
    made = desk()
    made.step(1, 2)
    made.stand_still()
    made.consumer.commit_error = KafkaException(KafkaError(code))
    assert made.step(3) == []
    assert not made.intake.fit(made.taken[0])
    made.intake._lost(made.consumer, [TopicPartition(ORDERS, 0), TopicPartition(ORDERS, 1)])
    made.consumer.commit_error = None
    made.assign(0)
    assert made.step(1, 2) == [1, 2]
    assert not made.intake.fit(made.taken[0])
