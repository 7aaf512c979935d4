"""The word for a webhook's health: what it rests on, and that mended failures count no more."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hookline.console.panel.health import Health, Waiting, _health
from hookline.webhooks.model import State, Webhook

pytestmark = pytest.mark.unit


def webhook(state: State = State.ENABLED) -> Webhook:
    """Return a webhook in a state."""
    return Webhook(
        id="wh_1", store_id="s", url="https://shop.example.com/", event_types=("order.created",), name="", filter="", state=state,
        state_reason="", state_since_us=0, secrets=(), headers=(), timeout_s=10.0, schedule="default", created_at_us=1, updated_at_us=1,
        version=1, write_id="",
    )  # fmt: skip


NONE_WAITS: Final = Waiting()


def health(waiting: Waiting = NONE_WAITS, p95_s: float = 0.1, state: State = State.ENABLED, **sums: int) -> Health:
    """Return the health of sums, and of what these count too often."""
    names = ("deliveries", "delivered", "dead", "retrying", "made_again", "again_delivered", "again_dead", "more_delivered", "more_dead")
    row: dict[str, Any] = {**dict.fromkeys(names, 0), **sums, "response_time_s": [0.01, p95_s, p95_s]}
    return _health(webhook(state), row, waiting, row)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (Health(webhook=webhook()), "quiet"),
        (health(deliveries=100, delivered=100), "ok"),
        (health(deliveries=100, delivered=100, retrying=4), "ok"),
        (health(deliveries=100, delivered=100, retrying=40), "shaky"),
        (health(deliveries=100, delivered=100, waiting=Waiting(1, 1)), "shaky"),
        (health(deliveries=100, delivered=80, dead=20), "failing"),
        (health(deliveries=5, retrying=5, waiting=Waiting(5, 1)), "failing"),
        (health(deliveries=20, dead=20, made_again=20, again_delivered=20, more_dead=20), "ok"),
        (health(deliveries=20, dead=20, retrying=40, made_again=20, again_delivered=20, more_dead=20), "ok"),
        (health(deliveries=20, dead=20, made_again=20, again_delivered=20, more_dead=20, waiting=Waiting(1, 1)), "shaky"),
        (health(deliveries=40, delivered=20, dead=20, made_again=19, again_delivered=19, more_dead=19), "shaky"),
        (health(deliveries=20, dead=20, made_again=20, again_dead=20, more_dead=20), "failing"),
        (health(deliveries=2, delivered=1, dead=1, made_again=1, again_delivered=1, more_delivered=1), "failing"),
        (health(deliveries=1, delivered=1, made_again=2, again_dead=1, again_delivered=1, more_delivered=1, more_dead=1), "ok"),
        (health(deliveries=100, delivered=100, p95_s=9.0), "slow"),
        (health(deliveries=100, delivered=0, dead=100, state=State.PAUSED), "paused"),
        (health(deliveries=100, delivered=0, dead=100, state=State.DISABLED), "disabled"),
    ],
)
def test_the_word(found: Health, word: str) -> None:
    """Each state of affairs has one word."""
    assert found.word == word


def test_replays_mend_the_rate() -> None:
    """Dead letters that were delivered in the end are failures no more."""
    assert health(deliveries=20, dead=20, made_again=20, again_delivered=20, more_dead=20).success_rate == 1.0


def test_what_was_delivered_already_mends_nothing() -> None:
    """A delivered delivery that is sent again makes up for none that was given up."""
    found = health(deliveries=2, delivered=1, dead=1, made_again=1, again_delivered=1, more_delivered=1)
    assert (found.delivered, found.dead, found.success_rate) == (1, 1, 0.5)


def test_rows_that_are_ahead_of_the_sums_make_nothing_negative() -> None:
    """Rows and sums are read one after the other."""
    found = health(deliveries=1, made_again=1, again_delivered=1, more_delivered=2, more_dead=1)
    assert (found.delivered, found.dead) == (0, 0)
