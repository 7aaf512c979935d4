"""The reconciliation, pure: right sums pass, and each kind of error is found with its id."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.local.demo.cast import Behaviour, Role
from hookline.local.demo.ledgers import Call
from hookline.local.demo.reconcile import Account, Check, Evidence, accounts, checks
from hookline.local.demo.show import compared
from hookline.schemas.events import Event
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger, delivery_id

pytestmark = pytest.mark.unit

GOOD = Role(name="good", does="", behaviour=Behaviour.HEALTHY, event_types=("order.created",))
LARGE = dataclasses.replace(GOOD, name="large", rule=lambda data: data["total"] >= 5)
BAD = dataclasses.replace(GOOD, name="bad", behaviour=Behaviour.BROKEN, fails=True)
WEBHOOKS = {"wh_good": GOOD, "wh_large": LARGE, "wh_bad": BAD}
EVENTS = [
    Event(id=f"evt_{n}", type="order.created", store_id="demo", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), data={"total": n})
    for n in range(10)
]
OTHER = Event(id="evt_other", type="order.paid", store_id="demo", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), data={})


def name(event: int, webhook_id: str) -> str:
    """Return the id of a delivery."""
    return delivery_id("demo", f"evt_{event}", webhook_id)


def call(call_id: str, attempt: int = 1, **more: Any) -> Call:
    """Return a call that its receiver took."""
    return Call(**{"id": call_id, "attempt": attempt, "at": 100.0, "status": 200, "good": True, **more})


def attempt(call_id: str, webhook_id: str, number: int = 1, **more: Any) -> Attempt:
    """Return the record of an attempt that delivered."""
    found = {
        "attempt_id": f"att_{call_id}_{number}", "delivery_id": call_id, "store_id": "demo", "webhook_id": webhook_id, "event_id": "",
        "event_type": "", "trigger": Trigger.EVENT, "attempt": number, "attempted_at_us": 0, "outcome": Outcome.DELIVERED,
        "http_status": 200,
    }  # fmt: skip
    return Attempt(**{**found, **more})


def right() -> Evidence:
    """Return evidence that adds up: all delivered to `good`, the large half to `large`, all dead for `bad`."""
    good = [name(n, "wh_good") for n in range(10)]
    large = [name(n, "wh_large") for n in range(5, 10)]
    bad = [name(n, "wh_bad") for n in range(10)]
    return Evidence(
        ledger=[event.id for event in [*EVENTS, OTHER]],
        published=[*EVENTS, OTHER],
        webhooks=WEBHOOKS,
        calls={
            "good": [call(i) for i in good],
            "large": [call(i) for i in large],
            "bad": [call(i, n, status=500) for i in bad for n in (1, 2)],
        },
        attempts=[
            *(attempt(i, "wh_good") for i in good),
            *(attempt(i, "wh_large") for i in large),
            *(attempt(i, "wh_bad", 1, outcome=Outcome.RETRYING, http_status=500) for i in bad),
            *(attempt(i, "wh_bad", 2, outcome=Outcome.DEAD, http_status=500) for i in bad),
        ],
        letters=bad,
    )


def wrong(evidence: Evidence) -> list[str]:
    """Return everything that the checks find wrong."""
    return [text for check in checks(evidence, accounts(evidence)) for text in check.wrong]


def with_calls(evidence: Evidence, role: str, calls: Sequence[Call]) -> Evidence:
    """Return evidence with other calls of one role."""
    changed: Mapping[str, Sequence[Call]] = {**evidence.calls, role: calls}
    return dataclasses.replace(evidence, calls=changed)


def of(evidence: Evidence, role: str) -> Account:
    """Return a role's account."""
    return next(account for account in accounts(evidence) if account.role.name == role)


def test_what_adds_up_is_right() -> None:
    """Nothing is wrong with evidence that agrees, and the sums are what was put in."""
    evidence = right()
    assert wrong(evidence) == []
    sums = {
        a.role.name: tuple(len(getattr(a, n)) for n in ("expected", "delivered", "dead", "skipped", "lost")) for a in accounts(evidence)
    }
    assert sums == {"good": (10, 10, 0, 0, 0), "large": (5, 5, 0, 0, 0), "bad": (10, 0, 10, 0, 0)}


def test_a_lost_delivery_is_named() -> None:
    """A delivery that its receiver does not know and that is no dead letter is lost, whatever the dispatcher recorded."""
    evidence = right()
    missing = name(3, "wh_good")
    found = wrong(with_calls(evidence, "good", [c for c in evidence.calls["good"] if c.id != missing]))
    assert found == [
        f"{missing} of event evt_3 for good is lost",
        f"attempt 1 of {missing} is recorded with an answer, but was not received (good)",
    ]


def test_an_answer_other_than_success_is_no_delivery() -> None:
    """A receiver that wrote down a 500 has not taken the event."""
    evidence = right()
    calls = [dataclasses.replace(c, status=500) if c.id == name(3, "wh_good") else c for c in evidence.calls["good"]]
    assert f"{name(3, 'wh_good')} of event evt_3 for good is lost" in wrong(with_calls(evidence, "good", calls))


def test_what_nobody_asked_for_is_named() -> None:
    """The filter said no, and the receiver was called all the same."""
    evidence = right()
    stray = name(1, "wh_large")
    found = wrong(with_calls(evidence, "large", [*evidence.calls["large"], call(stray)]))
    assert f"{stray} reached large, which did not ask for it" in found


def test_a_wrong_signature_is_named_and_is_no_delivery() -> None:
    """A call whose signature is wrong counts as bad, and its event as not delivered."""
    evidence = right()
    forged = name(4, "wh_good")
    calls = [dataclasses.replace(c, good=False, status=401) if c.id == forged else c for c in evidence.calls["good"]]
    found = wrong(with_calls(evidence, "good", calls))
    assert f"{forged} to good had a wrong signature" in found
    assert f"{forged} of event evt_4 for good is lost" in found


def test_duplicates_are_counted_and_are_no_error() -> None:
    """The same call twice, recorded twice, is a duplicate: at least once was promised."""
    evidence = right()
    twice = name(2, "wh_good")
    evidence = with_calls(evidence, "good", [*evidence.calls["good"], call(twice)])
    evidence = dataclasses.replace(evidence, attempts=[*evidence.attempts, attempt(twice, "wh_good")])
    assert wrong(evidence) == []
    assert of(evidence, "good").repeats == 1


@pytest.mark.parametrize(("at", "explained"), [(99.0, True), (100.5, True), (90.0, False), (102.0, False)])
def test_only_a_call_right_before_a_kill_needs_no_record(at: float, explained: bool) -> None:
    """A call without a record is explained by a dispatcher killed right after it, and by nothing else."""
    evidence = dataclasses.replace(right(), kills=[100.0])
    evidence = with_calls(evidence, "good", [*evidence.calls["good"], call(name(2, "wh_good"), 2, at=at)])
    assert (wrong(evidence) == []) is explained


def test_a_call_whose_answer_got_lost_is_explained_by_its_attempt() -> None:
    """The receiver died before its answer was out: received, and recorded without a status."""
    evidence = right()
    torn = name(6, "wh_good")
    evidence = with_calls(evidence, "good", [*evidence.calls["good"], call(torn, 2)])
    record = attempt(torn, "wh_good", 2, http_status=0, outcome=Outcome.RETRYING, error_kind=ErrorKind.RESET)
    assert wrong(dataclasses.replace(evidence, attempts=[*evidence.attempts, record])) == []


def test_dead_letters_of_a_healthy_receiver_are_wrong() -> None:
    """Who never failed must have no dead letter."""
    evidence = right()
    dead = name(7, "wh_good")
    evidence = with_calls(evidence, "good", [c for c in evidence.calls["good"] if c.id != dead])
    evidence = dataclasses.replace(
        evidence, letters=[*evidence.letters, dead], attempts=[a for a in evidence.attempts if a.delivery_id != dead]
    )
    assert wrong(evidence) == [f"{dead} for good is a dead letter"]


def test_skips_of_a_disabled_webhook_are_accounted_for() -> None:
    """A webhook that a 410 disabled gets skips with a record; they stand in its sum, each once."""
    evidence = right()
    gone = name(9, "wh_bad")
    skip = attempt(gone, "wh_bad", 0, outcome=Outcome.SKIPPED, error_kind=ErrorKind.DISABLED, http_status=0)
    evidence = dataclasses.replace(
        evidence,
        letters=[i for i in evidence.letters if i != gone],
        attempts=[a for a in evidence.attempts if a.delivery_id != gone] + [skip],
    )
    evidence = with_calls(evidence, "bad", [c for c in evidence.calls["bad"] if c.id != gone])
    assert wrong(evidence) == []
    assert (len(of(evidence, "bad").dead), len(of(evidence, "bad").skipped)) == (9, 1)


def test_events_and_ledger_must_agree() -> None:
    """A confirmed event that Kafka does not have, and an event that nobody confirmed, are both named."""
    evidence = right()
    found = wrong(dataclasses.replace(evidence, ledger=[*evidence.ledger[:-1], "evt_ghost"]))
    assert found == ["event evt_ghost is confirmed but not on Kafka", "event evt_other is on Kafka but not in the ledger"]


@pytest.mark.parametrize(
    ("recorded", "rows", "said"),
    [
        (["a", "b"], ["b", "a"], []),
        (["a", "b"], ["a"], ["attempt b is on Kafka but not in ClickHouse"]),
        (["a"], ["a", "c"], ["attempt c is in ClickHouse but not on Kafka"]),
        (["a"], ["a", "a"], ["1 rows are there twice"]),
    ],
)
def test_the_log_is_held_against_the_topic_row_by_row(recorded: list[str], rows: list[str], said: list[str]) -> None:
    """Missing, surplus and doubled rows are found, each by its id."""
    assert list(compared(recorded, rows, "").wrong) == said


def test_the_audits_word_counts() -> None:
    """What ClickHouse's own audit finds makes the check wrong."""
    assert compared(["a"], ["a"], "hourly sums disagree") == Check(
        text="1 rows in ClickHouse = 1 attempt records on Kafka, each exactly once", wrong=["hourly sums disagree"]
    )
