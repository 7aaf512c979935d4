"""Sending: every delivery ends in exactly one way, every place is given back exactly once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from hookline.dispatcher.shares import Share
from hookline.dispatcher.transport.contract import Failure, Reply
from hookline.schemas.records import ErrorKind, Outcome, Trigger
from hookline.webhooks.model import State
from hookline.webhooks.secrets import MasterKey, Vault, seal_headers
from tests.dispatcher.fake_kafka import TOPICS
from tests.dispatcher.fakes import (
    VAULT,
    delivery,
    reply,
    webhook,
)
from tests.dispatcher.rig import Rig

pytestmark = pytest.mark.unit


# ---- one delivery ----


def test_a_delivery_that_succeeds() -> None:
    """One call with the webhook's URL, timeout and body; one attempt record; the record settles when that is durable."""
    rig = Rig()
    rig.submit()
    [request] = rig.transport.sent
    assert (request.url, request.timeout_s, request.body) == (webhook().url, 10.0, b"{}")
    assert (rig.sending.in_flight, rig.share.under_way) == (1, 1)
    rig.transport.answer(reply(200))
    [record] = rig.records()
    assert (record.outcome, record.attempt, record.http_status, record.delivery_id) == (Outcome.DELIVERED, 1, 200, "msg_1")
    assert rig.intake.settled == []
    assert rig.share.under_way == 1  # a rebalance waits for the acknowledgement too
    assert rig.settled() == 1
    assert rig.at_rest()


@pytest.mark.parametrize("failing", [False, True])
def test_a_receiver_that_repeats_a_stores_header_does_not_bring_it_into_a_record(failing: bool) -> None:
    """What the receiver answers, or breaks off with, is recorded without the values of the webhook's own headers."""
    rig = Rig()
    rig.directory.add(webhook(headers=seal_headers([("x-token", "topsecret")], VAULT, "shop", "wh_1")))
    rig.submit()
    echo = Failure(ErrorKind.PROTOCOL, "bad line: topsecret", 0.01) if failing else Reply(500, "x-echo: topsecret", b"topsecret", 0.01)
    rig.transport.answer(echo)
    assert ("x-token", "topsecret") in rig.transport.sent[0].headers
    [record] = rig.records()
    assert "********" in f"{record.error_detail} {record.response_headers}"
    assert b"topsecret" not in b"".join(entry.value + repr(entry.headers).encode() for entry in rig.ledger.entries)


def test_a_receiver_that_repeats_the_signature_does_not_bring_it_into_a_record() -> None:
    """The answer is recorded without the signature, for a webhook without headers of its own too."""
    rig = Rig()
    rig.submit()
    signature = dict(rig.transport.sent[0].headers)["webhook-signature"]
    rig.transport.answer(Reply(500, f"x-echo: {signature}", signature.encode(), 0.01))
    [record] = rig.records()
    assert record.response_headers == "x-echo: v1,********"
    assert record.response_body == b"v1,********"
    assert signature.removeprefix("v1,").encode() not in b"".join(entry.value for entry in rig.ledger.entries)


def test_how_long_an_event_was_on_its_way_is_measured_once() -> None:
    """From the broker's time of the event to the 2xx; retries and what is made again are no news."""

    def measured() -> float | None:
        return REGISTRY.get_sample_value("hookline_dispatcher_received_seconds_count")

    before = measured() or 0.0
    rig = Rig()
    rig.submit()
    rig.submit(attempt=1)
    rig.submit(trigger=Trigger.RESEND)
    rig.submit(count=2)
    rig.transport.answer(reply(200), 3)
    rig.transport.answer(reply(500))
    assert measured() == before + 1


@pytest.mark.parametrize(
    ("result", "attempt", "outcome", "topic"),
    [
        (reply(500), 0, Outcome.RETRYING, "retry.5s"),
        (reply(301), 3, Outcome.RETRYING, "retry.2h"),
        (Failure(ErrorKind.TIMEOUT, "no answer", 10.0), 1, Outcome.RETRYING, "retry.5m"),
        (reply(500), 7, Outcome.DEAD, "dead-letters.orders"),
        (reply(410), 0, Outcome.DEAD, "dead-letters.orders"),
    ],
)
def test_what_follows_a_failure(result: Any, attempt: int, outcome: Outcome, topic: str) -> None:
    """A failure leaves its attempt record and exactly one of a retry or a dead letter, with the attempt counted."""
    rig = Rig()
    rig.submit(attempt=attempt)
    rig.transport.answer(result)
    [record] = rig.records()
    assert (record.outcome, record.attempt) == (outcome, attempt + 1)
    [follows] = [entry for entry in rig.ledger.entries if "attempts" not in entry.topic]
    assert follows.topic == f"test.{topic}"
    assert follows.headers["hookline-attempt"] == str(attempt + 1).encode()
    assert follows.value == b"value"
    assert rig.settled() == 1
    assert rig.at_rest()


def test_410_disables_the_webhook_that_was_called() -> None:
    """The webhook as it was called is handed to disabling, for every call that said so; other calls go on."""
    rig = Rig()
    rig.submit(count=3)
    rig.transport.answer(reply(410), 2)
    assert [(one.id, "410" in reason) for one, reason in rig.disabled] == [("wh_1", True)] * 2
    rig.transport.answer(reply(200))
    assert sorted(record.outcome for record in rig.records()) == [Outcome.DEAD, Outcome.DEAD, Outcome.DELIVERED]
    assert rig.settled() == 3
    assert rig.at_rest()


def test_a_test_call_is_made_once_whatever_the_state() -> None:
    """A test goes to a disabled webhook too, beside its lane; a failure leaves no retry and no letter, a 410 disables nothing."""
    rig = Rig()
    rig.directory.add(webhook(1, state=State.DISABLED))
    for status in (200, 500, 410):
        rig.submit(trigger=Trigger.TEST)
        rig.transport.answer(reply(status))
    assert [record.outcome for record in rig.records()] == [Outcome.DELIVERED, Outcome.DEAD, Outcome.DEAD]
    assert len(rig.ledger.entries) == 3
    assert rig.disabled == []
    assert rig.settled() == 3
    assert rig.at_rest()


def test_a_missing_key_is_retried_and_does_not_count() -> None:
    """A secret that cannot be opened is our fault: an attempt with that error, a retry, and no mark against the receiver."""
    rig = Rig(vault=Vault((MasterKey("other", bytes(32)),)))
    rig.submit(count=20)
    assert rig.transport.sent == []
    assert {(r.outcome, r.error_kind) for r in rig.records()} == {(Outcome.RETRYING, ErrorKind.INTERNAL)}
    assert rig.parked("5s") == 20
    assert not rig.lanes.lane("wh_1").opened
    assert rig.settled() == 20
    assert rig.at_rest()


# ---- what must not be called ----


@pytest.mark.parametrize(
    ("change", "outcome", "kind", "letters"),
    [
        ({"state": State.DISABLED, "state_reason": "gone"}, Outcome.DEAD, ErrorKind.DISABLED, 1),
        ({"store_id": "another"}, Outcome.SKIPPED, ErrorKind.CANCELLED, 0),
        ({"state": State.PAUSED}, Outcome.SKIPPED, ErrorKind.PAUSED, 0),
    ],
)
@pytest.mark.parametrize("when", ["at once", "while it waits"])
def test_a_webhook_that_must_not_be_called(change: dict[str, Any], outcome: Outcome, kind: ErrorKind, letters: int, when: str) -> None:
    """Disabled: a dead letter; another store's: cancelled; paused: parked. Asked when it comes and again right before the call."""
    rig = Rig(lane={"concurrency": 1})
    if when == "at once":
        rig.directory.add(webhook(1, **change))
        rig.submit()
    else:
        rig.submit(count=2)
        rig.directory.add(webhook(1, **change))
        rig.transport.answer(reply(200))
    record = rig.records()[-1]
    assert (record.outcome, record.error_kind, record.attempt) == (outcome, kind, 0)
    assert len(rig.ledger.of("dead-letters")) == letters
    assert rig.parked("1m") == (kind is ErrorKind.PAUSED)
    assert rig.settled() == (1 if when == "at once" else 2)
    assert rig.at_rest()


def test_a_deleted_webhook_is_not_called() -> None:
    """Nobody is there to call: cancelled, with a record."""
    rig = Rig()
    del rig.directory.by_id["wh_9"]
    rig.submit(9)
    assert [record.error_kind for record in rig.records()] == [ErrorKind.CANCELLED]
    assert rig.settled() == 1


@pytest.mark.parametrize("when", ["fresh", "retry", "turned away", "while it waits", "while it is parked"])
def test_an_erased_event_is_not_sent(when: str) -> None:
    """Cancelled, with a record and without a letter, wherever it waits; another store's event of that id and other events are sent."""
    rig = Rig(lane={"concurrency": 1})
    event_id = delivery().waiting.event_id
    rig.erased.add(("another", event_id))
    if when == "while it waits":
        rig.submit(count=2)
    elif when == "while it is parked":
        rig.directory.add(webhook(1, state=State.PAUSED))
    rig.erased.add(("shop", event_id))
    before = len(rig.sent)
    if when == "turned away":
        rig.offset += 1
        assert rig.sending.turned_away(delivery(1, rig.unit(), attempt=1))
    elif when == "while it waits":
        rig.transport.answer(reply(200))
    else:
        rig.submit(attempt=1 if when == "retry" else 0)
    assert len(rig.sent) == before
    record = rig.records()[-1]
    assert (record.outcome, record.error_kind, record.attempt) == (Outcome.SKIPPED, ErrorKind.CANCELLED, 0)
    assert record.error_detail == "the event was erased"
    assert rig.ledger.of("dead-letters") == rig.ledger.of("retry") == []
    assert rig.settled() == before + 1
    assert rig.at_rest()
    rig.submit(2, event_id="evt_other")
    assert rig.sent[before:] == ["wh_2"]


def test_a_pause_does_not_hold_for_ever() -> None:
    """What waited longer than HOOKLINE_MAX_HELD_S for a paused webhook becomes a dead letter."""
    rig = Rig()
    rig.directory.add(webhook(1, state=State.PAUSED))
    rig.submit(parked=9)
    rig.clock.move(30 * 86_400 + 1)
    rig.submit(parked=9, first_at_us=int(rig.clock.at.timestamp() * 1e6) - (30 * 86_400 + 1) * 1_000_000)
    assert rig.parked("30m") == 1
    [letter] = rig.ledger.of("dead-letters")
    assert letter.headers["dlq.reason"] == b"expired"


# ---- the fence ----


def test_no_call_for_a_partition_that_is_gone() -> None:
    """Deliveries of a partition taken away are dropped where they wait; their places go to others, and they settle nothing."""
    rig = Rig(in_flight=2, lane={"concurrency": 2})
    gone = Share(topic=TOPICS.events("orders"), partition=1)
    rig.submit(1, count=4, share=gone)
    rig.submit(2, count=1)
    gone.open = False
    rig.transport.answer(reply(200), 2)
    assert rig.sent == ["wh_1", "wh_1", "wh_2"]
    rig.transport.answer(reply(200))
    assert rig.sending.in_flight == 0
    assert rig.sending.queued == 0


def test_a_zombie_does_not_even_park() -> None:
    """What waits in a lane is left alone while nobody knows whose it is, and dropped when it is another's: no copy is made."""
    rig = Rig(lane={"concurrency": 1, "queue": 100})
    rig.prove(1)
    rig.submit(count=60)
    rig.clock.move(60)
    rig.intake.is_fit = False
    rig.sending.tick()
    assert (rig.sending.queued, rig.ledger.entries) == (59, [])
    rig.intake.is_fit = True
    rig.share.open = False
    rig.sending.tick()
    assert (rig.sending.queued, rig.ledger.entries) == (0, [])


def test_a_zombie_does_not_park_what_waits_behind_an_open_breaker() -> None:
    """A call that ends opens the breaker: its lane's queue is parked once the intake has polled, or dropped when it is another's."""
    rig = Rig(lane={"concurrency": 1, "straight": 1})
    gone = Share(topic=TOPICS.events("orders"), partition=1)
    rig.submit(count=3)
    rig.submit(count=2, share=gone)
    rig.intake.is_fit = False
    rig.transport.answer(reply(500))
    assert rig.lanes.lane("wh_1").shut
    rig.sending.tick()
    assert (rig.sending.queued, rig.parked()) == (4, 1), "the one that was called has its retry"
    gone.open = False
    rig.intake.is_fit = True
    rig.sending.tick()
    assert (rig.sending.queued, rig.parked()) == (0, 3)
    assert rig.settled() == 3
    assert rig.at_rest()


@pytest.mark.parametrize("status", [500, 410])
def test_what_follows_a_zombies_call_is_for_the_next_owner_to_decide(status: int) -> None:
    """A call that ends after its partition was lost leaves its attempt, which was made, but no retry and no letter."""
    rig = Rig()
    rig.submit(attempt=7 if status == 410 else 0)
    rig.share.open = False
    rig.transport.answer(reply(status))
    assert [entry.topic for entry in rig.ledger.entries] == ["test.attempts"]
    rig.submit()
    rig.share.open = True
    rig.share.closing = True
    rig.submit()
    assert len(rig.sent) == 1


async def test_no_call_while_the_lease_is_not_renewed() -> None:
    """While the intake has not polled, nothing is called; it is once it has; what is lost meanwhile is dropped."""
    rig = Rig()
    rig.intake.is_fit = False
    rig.submit(count=2)
    gone = Share(topic=TOPICS.events("orders"), partition=1)
    rig.submit(2, share=gone)
    assert rig.sent == []
    gone.closing = True
    rig.intake.is_fit = True
    for _ in range(100):
        await asyncio.sleep(0.02)
        if len(rig.sent) == 2:
            break
    assert rig.sent == ["wh_1", "wh_1"]
    rig.transport.answer(reply(200), 2)
    assert rig.settled() == 2


def test_after_the_close_nothing_starts() -> None:
    """Calls under way end and settle; what waits, or comes, is left unsettled for the next owner."""
    rig = Rig(lane={"concurrency": 2})
    rig.submit(count=5)
    rig.sending.close()
    rig.submit(2)
    rig.transport.answer(reply(200), 2)
    rig.sending.tick()
    assert len(rig.sent) == 2
    assert rig.settled() == 2
    assert rig.sending.in_flight == 0


# ---- everything at once ----


class Story:
    """Random events around one `Sending`, and what must hold after each."""

    def __init__(self) -> None:
        self.rig = Rig(in_flight=5, lane={"concurrency": 2, "queue": 2, "straight": 3, "open_s": 5.0})
        self.lost = 0

    def step(self, what: str, number: int) -> None:
        """Let one thing happen."""
        rig = self.rig
        if what in _ANSWERS and rig.transport.open:
            status = _ANSWERS[what]
            rig.transport.answer(reply(status, 0.5 * number) if status else Failure(ErrorKind.TIMEOUT, "", 10.0))
        elif what == "new":
            rig.submit(number)
        elif what in {"pause", "enable"}:
            rig.directory.add(webhook(number, state=State.PAUSED if what == "pause" else State.ENABLED))
        elif what == "tick":
            rig.clock.move(2.0 * number)
            rig.sending.tick()
        elif what == "lose":
            rig.settled()
            rig.share.open = False
            rig.share = Share(topic=TOPICS.events("orders"), partition=0)
            self.lost = rig.offset

    def end(self) -> None:
        """Answer everything and let all that waits go."""
        while self.rig.transport.open or self.rig.sending.queued:
            self.step("ok", 1)
            self.step("tick", 1)
        self.rig.settled()


_ANSWERS = {"ok": 200, "fail": 500, "gone": 410, "timeout": 0}
ACTIONS = st.sampled_from(["new", "new", "new", "ok", "fail", "timeout", "gone", "pause", "enable", "tick", "lose"])


@given(st.lists(st.tuples(ACTIONS, st.integers(1, 4)), max_size=120))
def test_every_delivery_ends_once(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order: each record settles exactly once, or was lost with its partition; no place leaks."""
    story = Story()
    rig = story.rig
    for what, number in steps:
        story.step(what, number)
        assert rig.sending.in_flight == len(rig.transport.open) <= 5
    story.end()
    offsets = [record.offset for record in rig.intake.settled]
    assert len(offsets) == len(set(offsets))
    assert set(range(story.lost + 1, rig.offset + 1)) <= set(offsets)
    assert rig.at_rest()
    assert rig.faults.complaint() == ""
