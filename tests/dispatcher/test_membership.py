"""The intake as a member of its group: a zombie sends nothing, a rebalance loses nothing."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from hookline.kernel.errors import BrokerError
from tests.dispatcher.fake_kafka import message
from tests.dispatcher.intake_desk import ORDERS, Desk

pytestmark = pytest.mark.unit


# ---- the lease ----


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._TIMED_OUT,
    ],
)
def test_a_zombie_does_nothing_until_it_is_proven_or_loses_its_partitions(code: int) -> None:
    """After a gap: no attempt may start, nothing is taken up, whatever Kafka's reason; its partitions stay until Kafka takes them."""
    desk = Desk()
    desk.assign(0, 1)
    desk.step(1, 2)
    [first, _] = desk.taken
    assert desk.intake.fit(first)
    desk.stand_still()
    assert not desk.intake.fit(first)
    desk.consumer.commit_error = KafkaException(KafkaError(code))
    assert desk.step(3, 4) == []
    assert not desk.intake.fit(first)
    assert desk.consumer.what("seek") == [(ORDERS, 0, 3)]
    if code == KafkaError.UNKNOWN_MEMBER_ID:
        desk.intake._lost(desk.consumer, [TopicPartition(ORDERS, 0), TopicPartition(ORDERS, 1)])
        desk.consumer.commit_error = None
        desk.assign(0)
        assert desk.step(1, 2, 3) == [1, 2, 3]
        assert not desk.intake.fit(first)
    else:  # it was a rebalance that left us what we have, or a broker that was away
        desk.consumer.commit_error = None
        assert desk.step(3, 4) == [3, 4]
        assert desk.intake.fit(first)


def test_the_proof_covers_partitions_of_which_nothing_was_taken_up() -> None:
    """A zombie that was idle proves itself too before it takes up what it had fetched."""
    desk = Desk()
    desk.assign(0, 1)
    desk.stand_still()
    assert desk.step(7, 8, partition=1) == [7, 8]
    assert (desk.consumer.what("commit"), desk.consumer.what("commit now")) == ([[(ORDERS, 1, 7)]], [])


def test_a_short_gap_needs_no_proof() -> None:
    """Within the lease nothing is asked."""
    desk = Desk()
    desk.assign(0)
    desk.stand_still(3.0)
    assert desk.step(1) == [1]
    assert (desk.consumer.what("commit"), desk.consumer.what("commit now")) == ([], [])


# ---- rebalancing ----


def test_a_partition_taken_away_waits_for_what_was_started() -> None:
    """Nothing new starts, calls under way and their acknowledgements are waited for, then exactly the settled is committed."""
    desk = Desk(limits={"revoke_s": 10.0})
    desk.assign(0, 1)
    desk.step(1, 2)
    desk.step(1, partition=1)
    first, second, other = desk.taken
    first.share.under_way = 1
    seen: list[bool] = []

    def finish() -> None:
        seen.append(desk.intake.fit(second))
        desk.intake.done(first)
        first.share.under_way = 0

    timer = threading.Timer(0.1, finish)
    timer.start()
    desk.intake._revoked(desk.consumer, [TopicPartition(ORDERS, 0)])
    timer.join()
    assert seen == [False]
    assert desk.consumer.what("commit now") == [[(ORDERS, 0, 2), (ORDERS, 1, 1)]]
    assert (first.share.open, other.share.open) == (False, True)
    assert desk.intake.shares.records == 1
    assert desk.consumer.what("unassign") == [[(ORDERS, 0)]]


def test_what_was_settled_in_a_rebalance_is_committed_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it, of the partitions that are kept too; afterwards at once, since no commit was heard in between."""
    desk = Desk(limits={"commit_s": 60.0})
    desk.consumer.subscribe = lambda *_a, **_k: None
    monkeypatch.setattr("hookline.kernel.kafka.group_consumer", lambda *_a, **_k: desk.consumer)
    commits = [[(ORDERS, 1, 1)], [(ORDERS, 1, 2)], [(ORDERS, 1, 3)]]

    def rebalance() -> None:
        at = len(desk.consumer.what("commit")) + len(desk.consumer.what("commit now"))
        if at == 1 and desk.taken:  # the first turn has committed: what is settled from here on waits for a minute
            desk.intake.done(desk.taken[0])
            desk.intake._revoked(desk.consumer, [TopicPartition(ORDERS, 0)])
            desk.intake.done(desk.taken[1])
            desk.intake._settle_done()
            desk.assign()

    desk.assign(0, 1)
    desk.consumer.batches.append([message(b"x", topic=ORDERS, partition=1, offset=o) for o in (1, 2, 3)])
    desk.consumer.on_poll = rebalance
    desk.intake.start()
    deadline = time.monotonic() + 30
    while len(desk.consumer.what("commit") + desk.consumer.what("commit now")) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (desk.consumer.what("commit"), desk.consumer.what("commit now")) == ([commits[0], commits[2]], [commits[1]])
    desk.intake.stop()


def test_a_rebalance_does_not_wait_for_ever() -> None:
    """A call that outlasts the bound is left behind: a duplicate beats a stuck group."""
    desk = Desk(limits={"revoke_s": 0.05})
    desk.assign(0)
    desk.step(1)
    desk.taken[0].share.under_way = 1
    desk.intake._revoked(desk.consumer, [TopicPartition(ORDERS, 0)])
    assert desk.consumer.what("commit now") == [[(ORDERS, 0, 1)]]


def test_a_commit_refused_in_a_rebalance_is_normal() -> None:
    """It means duplicates, never a crash."""
    desk = Desk()
    desk.assign(0)
    desk.step(1)
    desk.settle(1)
    desk.consumer.commit_error = KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
    desk.intake._revoked(desk.consumer, [TopicPartition(ORDERS, 0)])
    assert desk.consumer.what("unassign") == [[(ORDERS, 0)]]


def test_lost_partitions_are_forgotten_without_a_commit() -> None:
    """Somebody else has them already."""
    desk = Desk()
    desk.assign(0)
    desk.step(1, 2)
    desk.settle(1)
    desk.intake._lost(desk.consumer, [TopicPartition(ORDERS, 0)])
    assert desk.consumer.what("commit now") == []
    assert desk.intake.shares.records == 0
    desk.settle(2)
    assert desk.commits() == []


def test_a_new_assignment_begins_awake() -> None:
    """A pause from before does not silence a partition that is given back; one that is given while full is paused."""
    desk = Desk(limits={"pending": 1})
    desk.assign(0)
    assert desk.consumer.told[-1] == ("resume", [(ORDERS, 0)])
    desk.step(1)
    desk.intake._full_since = time.monotonic() - 1
    desk.step()
    desk.assign(1)
    assert desk.consumer.told[-2:] == [("resume", [(ORDERS, 1)]), ("pause", [(ORDERS, 1)])]


# ---- a client that Kafka refuses for good ----


@pytest.mark.parametrize("member", [True, False], ids=["was a member", "never was one"])
def test_a_member_that_is_refused_tries_again_and_who_never_was_one_ends(monkeypatch: pytest.MonkeyPatch, *, member: bool) -> None:
    """The first is a matter of rights that come back, and what was settled is committed by its next life; the second of a wrong setting."""
    monkeypatch.setattr("hookline.dispatcher.intake._REFUSED_S", 0.05)
    desk = Desk()
    made: list[bool] = []

    def make(*_: object, **__: object) -> object:
        made.append(True)
        return desk.consumer

    def refuse() -> None:
        if len(made) == 1:
            if member:
                desk.assign(0)
            raise BrokerError("Kafka refuses this consumer for good", remedy="Mend it.")

    monkeypatch.setattr("hookline.kernel.kafka.group_consumer", make)
    desk.consumer.subscribe = lambda *_a, **_k: None
    desk.consumer.on_poll = refuse
    desk.intake.start()
    deadline = time.monotonic() + 30
    while len(made) < 2 and not desk.intake.failure and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (len(made), "for good" in desk.intake.complaint()) == ((2, False) if member else (1, True))
    assert not list(desk.intake.shares)
    desk.intake.stop()
