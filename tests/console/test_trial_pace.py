"""How many test calls may be made: by one store, and to one host by all of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hookline.console.api.trials import TrialRequest, send_test
from hookline.console.http.problems import Code, Refused
from hookline.console.http.throttle import Throttle
from hookline.console.process import TRIALS_PER_MIN
from hookline.schemas.records import Attempt, Outcome, Trigger
from tests.console.test_sessions import HandClock

pytestmark = pytest.mark.unit

MADE = Attempt(
    attempt_id="att_1", delivery_id="msg_1", store_id="demo", webhook_id="wh_1", event_id="evt_1", event_type="order.created",
    trigger=Trigger.TEST, attempt=1, attempted_at_us=1_764_000_000_000_000, http_status=200, outcome=Outcome.DELIVERED,
)  # fmt: skip


class Calls:
    """Test calls of any store to any URL, by one console."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.sent: list[str] = []
        self.refused = ""
        self._pace = Throttle(TRIALS_PER_MIN, self.clock, "test calls")

    def send(self, store: str, url: str) -> bool:
        """Try one; tell whether it was made. `refused` keeps the words of the last one that was not."""
        webhook = SimpleNamespace(id="wh_1", store_id=store, url=url, event_types=("order.created",))
        parts = SimpleNamespace(
            registry={"wh_1": webhook},
            clock=self.clock,
            trial_pace=self._pace,
            trials=SimpleNamespace(send=self._made),
            config=SimpleNamespace(trial_wait_s=1.0),
        )
        asked = TrialRequest.model_validate({})
        call = SimpleNamespace(parts=parts, id="wh_1", store_id=store, asked=lambda _: asked)
        try:
            send_test(cast("Any", call))
        except Refused as refused:
            if refused.problem is not Code.RATE_LIMITED:
                raise
            self.refused = refused.message
            return False
        return True

    def _made(self, webhook: Any, *_: object) -> Attempt:
        self.sent.append(webhook.url)
        return MADE


def test_a_host_gets_thirty_a_minute_from_all_stores_together() -> None:
    """Many stores, by whatever path and port, bring a receiver no more; another host gets its own, and a refused one is not sent."""
    calls = Calls()
    urls = ("https://shop.example/a", "https://shop.example:8443/b", "https://SHOP.example/c")
    assert [calls.send(f"s{number}", urls[number % 3]) for number in range(40)] == [True] * 30 + [False] * 10
    assert len(calls.sent) == 30
    assert calls.refused == "This receiver's host got 30 test calls in a minute, from all stores together"
    assert calls.send("s0", "https://other.example/")
    calls.clock.pass_s(2)
    assert [calls.send("s99", urls[0]) for _ in range(2)] == [True, False]


def test_a_store_makes_thirty_a_minute_to_all_hosts_together() -> None:
    """Another store makes its own."""
    calls = Calls()
    assert [calls.send("s", f"https://h{number}.example/") for number in range(40)] == [True] * 30 + [False] * 10
    assert calls.refused == "This store made 30 test calls in a minute, to all receivers together"
    assert calls.send("other", "https://h0.example/")


def test_a_refused_call_uses_up_nothing() -> None:
    """What a busy receiver keeps back is left to its store, and what a busy store may not do is left to the receiver's others."""
    calls = Calls()
    assert [calls.send(f"s{number}", "https://busy.example/") for number in range(30)] == [True] * 30
    assert [calls.send("s", "https://busy.example/") for _ in range(10)] == [False] * 10
    assert [calls.send("s", f"https://h{number}.example/") for number in range(30)] == [True] * 30
    assert [calls.send("s", "https://quiet.example/") for _ in range(10)] == [False] * 10
    assert [calls.send(f"t{number}", "https://quiet.example/") for number in range(30)] == [True] * 30
