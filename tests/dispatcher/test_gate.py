"""The gate: a webhook that is not known is no deleted one."""

from __future__ import annotations

import pytest

from hookline.schemas.records import ErrorKind, Outcome, Trigger
from tests.dispatcher.fakes import delivery, reply, webhook
from tests.dispatcher.rig import Rig

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("way", ["submitted", "turned away", "while it waits"])
def test_an_unknown_webhook_is_not_taken_for_a_deleted_one(way: str) -> None:
    """This process may have yet to hear of it: its delivery waits, for a day, and is called as soon as it is known."""
    rig = Rig(lane={"concurrency": 1})
    if way == "while it waits":
        rig.submit(1, count=2)
        rig.directory.by_id.clear()
        rig.directory.known.clear()
        rig.transport.answer(reply(200))
    elif way == "turned away":
        rig.offset += 1
        assert rig.sending.turned_away(delivery(99, rig.unit(), attempt=1))
    else:
        rig.submit(99, attempt=1)
    assert rig.parked("1m") == 1
    assert [record.error_kind for record in rig.records()] == [ErrorKind.NONE] * (way == "while it waits")
    assert rig.settled() == 1 + (way == "while it waits")
    rig.directory.add(webhook(99))
    rig.submit(99, attempt=1, parked=1)
    assert rig.sent[-1] == "wh_99"


def test_what_nobody_knows_for_a_day_is_a_dead_letter() -> None:
    """Not lost, and not on its way for ever; a test, for which somebody waits, is told at once."""
    rig = Rig()
    rig.submit(99, first_at_us=int((rig.clock.at.timestamp() - 86_401) * 1e6))
    [letter] = rig.ledger.of("dead-letters")
    assert letter.headers["dlq.reason"] == b"expired"
    rig.submit(99, trigger=Trigger.TEST)
    assert [(record.outcome, record.error_detail) for record in rig.records()] == [
        (Outcome.DEAD, "its webhook has not been known for a day"),
        (Outcome.SKIPPED, "the webhook is not known"),
    ]


@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize("job_id", ["", "job_1"])
@pytest.mark.parametrize("attempt", [0, 1, 5])
def test_an_erased_event_is_not_sent_whoever_asked_for_it(trigger: Trigger, job_id: str, attempt: int) -> None:
    """Its own delivery, one that a replay job queued before the erasure, a resend, a test: none calls, each is told of."""
    rig = Rig()
    rig.erased.add(("shop", delivery().waiting.event_id))
    rig.submit(1, trigger=trigger, job_id=job_id, attempt=attempt)
    assert rig.sent == []
    [record] = rig.records()
    assert (record.outcome, record.error_kind, record.error_detail) == (Outcome.SKIPPED, ErrorKind.CANCELLED, "the event was erased")
    assert rig.ledger.of("dead-letters") == rig.ledger.of("retry") == []
    assert rig.settled() == 1
    assert rig.at_rest()
    rig.submit(1, trigger=trigger, job_id=job_id, attempt=attempt, event_id="evt_other")
    assert rig.sent == ["wh_1"]
