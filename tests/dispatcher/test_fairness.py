"""Fairness: a slow or dead receiver keeps nobody else waiting, and is itself not forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hookline.webhooks.model import State
from tests.dispatcher.fakes import (
    reply,
    webhook,
)
from tests.dispatcher.rig import Rig

pytestmark = pytest.mark.unit


# ---- lanes ----


def test_a_lane_has_its_places_and_its_queue() -> None:
    """So many calls at once, the queue behind them in order, the rest to come again soon; every answer lets the next one go."""
    rig = Rig(lane={"concurrency": 2, "queue": 3})
    rig.submit(count=7)
    assert (len(rig.sent), rig.sending.queued, rig.parked("5s")) == (2, 3, 2)
    rig.transport.answer(reply(200), 5)
    assert len(rig.sent) == 5
    assert rig.settled() == 7
    assert rig.at_rest()


def test_what_finds_a_quick_receiver_busy_comes_again_soon() -> None:
    """A burst for one receiver waits in the shortest tier, round after round, and only then in longer ones."""
    rig = Rig(lane={"concurrency": 1, "queue": 0})
    rig.prove(1)
    rig.submit()
    rig.submit(parked=9)
    rig.submit(parked=10)
    assert (rig.parked("5s"), rig.parked("30m")) == (1, 1)
    waiting = [entry.headers for entry in rig.ledger.of("retry.")]
    assert [headers["hookline-parked"] for headers in waiting] == [b"10", b"11"]
    assert {headers["hookline-attempt"] for headers in waiting} == {b"0"}


def test_a_dead_receiver_is_left_alone_and_its_retries_keep_their_times() -> None:
    """After five failures nothing is called; what was queued or comes is parked with its attempts as they were."""
    rig = Rig(lane={"concurrency": 1, "queue": 20})
    rig.submit(count=15, attempt=2)
    rig.transport.answer(reply(500), 5)
    assert len(rig.sent) == 5
    assert (rig.parked("30m"), rig.parked("1m")) == (5, 10)
    rig.submit(count=3, attempt=2, parked=1)
    rig.submit(count=3, attempt=2, parked=7)
    assert (rig.parked("5m"), rig.parked("30m")) == (3, 8)
    parked = [entry for entry in rig.ledger.of("retry.") if "hookline-parked" in entry.headers]
    assert {entry.headers["hookline-attempt"] for entry in parked} == {b"2"}
    assert rig.settled() == 21
    assert rig.at_rest()


def test_another_webhook_does_not_notice() -> None:
    """With one receiver hanging, another's deliveries are called at once."""
    rig = Rig(lane={"concurrency": 2, "queue": 5})
    rig.submit(1, count=50)
    rig.submit(2, count=2)
    assert rig.sent == ["wh_1", "wh_1", "wh_2", "wh_2"]


def test_the_breaker_opens_for_what_waits_for_the_budget_too() -> None:
    """A call that had a place in its lane but none in the budget is parked when the breaker opened meanwhile."""
    rig = Rig(in_flight=5, lane={"concurrency": 20})
    rig.prove(1)
    rig.submit(1, count=20)
    assert len(rig.sent) == 5
    rig.transport.answer(reply(500), 9)
    assert (len(rig.sent), rig.parked("5s"), rig.parked("1m")) == (9, 9, 11)
    assert rig.settled() == 20
    assert rig.at_rest()


def test_a_probe_and_its_success_open_the_way() -> None:
    """When the open time is over one delivery is called; after its success all are."""
    rig = Rig()
    rig.submit(count=5)
    rig.transport.answer(reply(500), 5)
    rig.clock.move(181)
    rig.submit(count=3)
    assert (len(rig.sent), rig.parked("1m")) == (6, 2)
    rig.transport.answer(reply(200))
    rig.submit(count=3)
    assert len(rig.sent) == 9


def test_deliveries_to_a_receiver_that_never_comes_back_end() -> None:
    """What was parked for longer than the schedule lasts becomes a dead letter, so that its number stays bounded."""
    rig = Rig()
    rig.submit(count=5)
    rig.transport.answer(reply(500), 5)
    rig.submit(parked=50)
    assert rig.ledger.of("dead-letters") == []
    old = int(rig.clock.at.timestamp() * 1e6) - 28 * 3_600 * 1_000_000
    rig.submit(parked=50, first_at_us=old)
    [letter] = rig.ledger.of("dead-letters")
    assert letter.headers["dlq.reason"] == b"expired"
    rig.directory.add(webhook(1, schedule="long"))
    rig.submit(parked=50, first_at_us=old)
    assert len(rig.ledger.of("dead-letters")) == 1  # the long schedule lasts 75 h


def test_a_clock_that_is_set_ages_nothing() -> None:
    """A delivery's age is by the brokers' clock: a machine whose clock jumps three days ahead gives nothing up."""
    rig = Rig()
    rig.submit(count=5)
    rig.transport.answer(reply(500), 5)
    taken_up = int(rig.clock.at.timestamp() * 1e6)
    rig.clock.at += timedelta(days=3)
    rig.fast_s = 3 * 86_400.0
    rig.submit(parked=50, first_at_us=taken_up)
    assert rig.ledger.of("dead-letters") == []


def test_retry_after_rests_the_lane() -> None:
    """A 429 with Retry-After keeps the other deliveries of that webhook back too, without using up their attempts."""
    rig = Rig(lane={"concurrency": 1})
    rig.submit(count=3)
    rig.transport.answer(reply(429, retry_after="3"))
    assert len(rig.sent) == 1
    rig.sending.tick()
    assert (len(rig.sent), rig.sending.queued) == (1, 2)
    rig.clock.move(3.1)
    rig.sending.tick()
    assert len(rig.sent) == 2


def test_a_silent_receivers_queue_goes_back_to_kafka() -> None:
    """Deliveries do not wait in memory behind a receiver that stopped answering."""
    rig = Rig(lane={"concurrency": 2, "queue": 100})
    rig.submit(count=60)
    rig.sending.tick()
    assert rig.sending.queued == 58
    rig.clock.move(10)
    rig.sending.tick()
    assert rig.sending.queued == 2
    assert rig.parked("1m") == 56


# ---- the budget ----


def test_no_more_calls_than_the_budget() -> None:
    """Calls wait for the budget in order and go as places become free."""
    rig = Rig(in_flight=3)
    for number in range(1, 6):
        rig.submit(number)
    assert rig.sent == ["wh_1", "wh_2", "wh_3"]
    rig.transport.answer(reply(200))
    assert rig.sent[3:] == ["wh_4"]
    rig.transport.answer(reply(200), 4)
    assert rig.settled() == 5
    assert rig.at_rest()


def test_slow_receivers_do_not_take_the_last_places() -> None:
    """When hanging calls have taken most of the budget, more of theirs are parked and quick receivers still go at once."""
    rig = Rig(in_flight=20)
    for number in range(1, 30):
        rig.prove(number, elapsed_s=9.0)
        rig.submit(number, count=4)
    assert (len(rig.sent), rig.parked("1m")) == (16, 100)
    rig.prove(40)
    rig.submit(40, count=4)
    assert rig.sent[16:] == ["wh_40"] * 4
    rig.submit(40)
    assert rig.sending.queued == 1
    rig.transport.answer(reply(200, 9.0))
    assert rig.sent[-1] == "wh_40"


def test_receivers_nobody_knows_yet_get_a_first_call_under_pressure() -> None:
    """A new receiver is tried even when room is short, with one call at a time; one that turned slow gives its place away."""
    rig = Rig(in_flight=5)
    rig.submit(1, count=4)
    rig.submit(2, count=4)
    assert rig.sent.count("wh_2") == 1
    rig.clock.move(5)
    rig.transport.answer(reply(200, 5.0))
    rig.prove(3)
    rig.submit(3)
    assert rig.sent[-1] == "wh_3"


def test_thousands_that_must_not_be_called_need_no_deep_stack() -> None:
    """Places that free each other, thousands in a row, are handed on without recursion."""
    rig = Rig(in_flight=1, lane={"concurrency": 10_000, "queue": 10_000})
    rig.prove(1)
    rig.submit(count=5_000)
    rig.directory.add(webhook(1, state=State.PAUSED))
    rig.transport.answer(reply(200))
    assert rig.parked("1m") == 4_999
    assert rig.settled() == 5_000
    assert rig.at_rest()


def test_calls_that_fail_at_once_need_no_deep_stack() -> None:
    """A transport that calls back from within `send` is fine, however many wait."""
    rig = Rig(in_flight=1, lane={"concurrency": 3_000, "queue": 10_000, "straight": 10_000, "least": 100_000})
    rig.prove(1)
    rig.submit(count=3_000)
    rig.transport.at_once = reply(500)
    rig.transport.answer(reply(500))
    assert len(rig.sent) == 3_000
    assert rig.settled() == 3_000
    assert rig.at_rest()
