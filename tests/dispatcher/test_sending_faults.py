"""Errors of our own while a delivery is called: one delivery stays unsettled, no place is lost, none is given back twice."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.dispatcher import sending
from hookline.webhooks.model import State
from tests.dispatcher.fakes import reply, webhook
from tests.dispatcher.rig import Rig

pytestmark = pytest.mark.unit


def test_an_error_of_ours_costs_one_delivery_its_settling_and_nobody_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw leaves that record unsettled, is loud, and the lane and the budget go on."""
    rig = Rig(in_flight=1, lane={"concurrency": 1})
    rig.submit(count=3)
    rig.submit(2)

    def broken(*_: object) -> None:
        message = "unforeseen"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(rig.sending._parts.settlement, "delivered", broken)
        rig.transport.answer(reply(200))
    rig.transport.answer(reply(200))
    assert "1 internal errors" in rig.faults.complaint()
    with monkeypatch.context() as patch:
        patch.setattr(rig.directory, "get", broken)
        rig.transport.answer(reply(200))
    assert "internal errors" in rig.faults.complaint()
    while rig.transport.open:
        rig.transport.answer(reply(200))
    assert rig.settled() == 2, "the offsets of the two that an error struck must stay"
    rig.submit(3)
    assert rig.sent[-1] == "wh_3"
    rig.transport.answer(reply(200))
    assert rig.sending.in_flight == 0
    assert rig.sending.queued == 0


@pytest.mark.parametrize("where", ["signing", "sending", "sending, after the answer", "answer"])
def test_an_error_of_ours_in_a_call_gives_its_places_back_once(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Wherever it strikes: the delivery stays unsettled, its places are free for the next, and it counts as one fault."""
    rig = Rig(in_flight=1, lane={"concurrency": 1})
    send = rig.transport.send

    def broken(*given: Any) -> None:
        if where == "sending, after the answer":
            send(*given)
            rig.transport.answer(reply(200))
        message = "unforeseen"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        if where == "signing":
            patch.setattr(rig.sending._parts.signatures, "headers", broken)
        elif where == "answer":
            patch.setattr(sending, "without_echoes", broken)
        else:
            patch.setattr(rig.transport, "send", broken)
        rig.submit()
        if where == "answer":
            rig.transport.answer(reply(200))
    assert "1 internal errors" in rig.faults.complaint()
    settled = int(where == "sending, after the answer")
    assert rig.settled() == settled
    assert rig.at_rest()
    rig.submit(2)
    rig.transport.answer(reply(200))
    rig.submit()
    rig.transport.answer(reply(200))
    assert rig.sent[-2:] == ["wh_2", "wh_1"]
    assert rig.settled() == settled + 2
    assert rig.at_rest()


@pytest.mark.parametrize("why", ["paused", "breaker"])
def test_an_error_of_ours_in_what_a_free_place_starts_gives_no_place_back_twice(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """The next in the lane cannot be settled: that is its own fault, not that of the call whose place it was to have."""
    rig = Rig(in_flight=2, lane={"concurrency": 1, "straight": 1})
    rig.submit(count=3)
    if why == "paused":
        rig.directory.add(webhook(1, state=State.PAUSED))

    def broken(*_: object) -> None:
        message = "unforeseen"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(rig.sending._parts.settlement, "park", broken)
        rig.transport.answer(reply(200 if why == "paused" else 500))
    assert "2 internal errors" in rig.faults.complaint()
    assert rig.settled() == 1, "the offsets of the two that could not be parked must stay"
    assert (rig.sending.in_flight, rig.sending.queued, rig.sending._budget.used) == (0, 0, 0)
    assert rig.lanes.lane("wh_1")._taken == 0
