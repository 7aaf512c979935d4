"""Which webhooks get an event, and why others do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hookline.dispatcher.matching import CLOCK_SLACK_US, Matched, Matcher
from hookline.kernel.clock import SystemClock
from hookline.schemas import payload
from hookline.schemas.events import Event, example_event
from hookline.schemas.payload import Rendered
from hookline.schemas.records import ErrorKind
from hookline.webhooks.model import State
from tests.dispatcher.fakes import Webhooks, webhook

pytestmark = pytest.mark.unit

PUBLISHED_US = 1_700_000_000_000_000


def matched(*changes: dict[str, Any], event: Event | None = None, now_us: float = PUBLISHED_US + 3_600_000_000) -> Matched:
    """Match an order.created of store `shop` against one webhook per set of changes."""
    directory = Webhooks()
    directory.add(*(webhook(number, **change) for number, change in enumerate(changes, 1)))
    event = event or example_event("order.created", "shop", clock=SystemClock())
    return Matcher(directory, lambda: now_us / 1e6).match(Rendered(event.id, event.type, event.store_id, payload.body(event)), PUBLISHED_US)


def ids(found: list[Any]) -> list[str]:
    """Return the webhooks' ids."""
    return [one.id for one in found]


def test_type_and_store_decide() -> None:
    """Only the store's own webhooks of the event's type are called."""
    found = matched({}, {"store_id": "another"}, {"event_types": ("order.paid",)}, {"event_types": ("order.paid", "order.created")})
    assert (ids(found.call), found.skip, found.dead) == (["wh_1", "wh_4"], [], [])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"state": State.ENABLED}, "call"),
        ({"state": State.PAUSED}, "call"),
        ({"state": State.DISABLED, "state_since_us": PUBLISHED_US - 1}, "skip"),
        ({"state": State.DISABLED, "state_since_us": PUBLISHED_US}, "skip"),
        ({"state": State.DISABLED, "state_since_us": PUBLISHED_US + 1}, "dead"),
        ({"created_at_us": PUBLISHED_US - 1}, "call"),
        ({"created_at_us": PUBLISHED_US + CLOCK_SLACK_US}, "call"),
        ({"created_at_us": PUBLISHED_US + CLOCK_SLACK_US + 1}, ""),
    ],
)
def test_the_promise_holds_for_the_time_of_publishing(change: dict[str, Any], where: str) -> None:
    """Paused waits, disabled before is skipped, disabled since is a dead letter, created later than clocks differ is not meant."""
    found = matched(change)
    assert {"call": ids(found.call), "skip": [s.webhook.id for s in found.skip], "dead": ids(found.dead)} == {
        name: (["wh_1"] if name == where else []) for name in ("call", "skip", "dead")
    }


@pytest.mark.parametrize(("ahead_us", "called"), [(3_600_000_000, ["wh_1"]), (0, []), (-1, [])])
def test_a_webhook_that_is_made_in_the_future_gets_what_comes(ahead_us: int, called: list[str]) -> None:
    """By the brokers' time nothing is made later than now: the clock of who wrote the webhook was wrong, and it loses nothing by that."""
    made_us = PUBLISHED_US + CLOCK_SLACK_US + 60_000_000
    assert ids(matched({"created_at_us": made_us}, now_us=made_us - ahead_us).call) == called


def test_a_skip_says_why() -> None:
    """The reason of the state is told, or that there is none."""
    told = matched({"state": State.DISABLED, "state_reason": "410"}, {"state": State.DISABLED}).skip
    assert [(skip.kind, skip.detail) for skip in told] == [(ErrorKind.DISABLED, "410"), (ErrorKind.DISABLED, "the webhook is disabled")]


def test_filters() -> None:
    """Yes is called, no leaves nothing, one that fails or answers neither yes nor no is skipped with the reason."""
    found = matched(
        {"filter": "type == 'order.created'"},
        {"filter": "store_id == 'another'"},
        {"filter": "data.no_such_field == 1"},
        {"filter": "size(store_id)"},
        {},
    )
    assert ids(found.call) == ["wh_1", "wh_5"]
    assert [(skip.webhook.id, skip.kind) for skip in found.skip] == [("wh_3", ErrorKind.FILTER), ("wh_4", ErrorKind.FILTER)]
    assert all(skip.detail for skip in found.skip)


def test_a_filter_cannot_change_what_the_next_one_sees() -> None:
    """Every filter is asked about the same event."""
    event = example_event("order.created", "shop", clock=SystemClock())
    found = matched(*({"filter": "store_id == 'shop' && type == 'order.created'"},) * 3, event=replace(event, data=dict(event.data)))
    assert len(found.call) == 3


def test_a_disabled_webhooks_filter_is_asked_too() -> None:
    """What the filter would have refused is no dead letter."""
    since = {"state": State.DISABLED, "state_since_us": PUBLISHED_US + 1}
    found = matched(since | {"filter": "store_id == 'another'"}, since | {"filter": "store_id == 'shop'"})
    assert (ids(found.dead), found.call, found.skip) == (["wh_2"], [], [])


def test_a_filter_that_panics_strikes_its_own_webhook_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what is no ordinary exception counts as a filter that failed; a wish to stop does not."""

    class PanicException(BaseException):
        """As PyO3's."""

    class Panics:
        """A filter."""

        def __init__(self, error: BaseException) -> None:
            self._error = error

        def matches(self, _context: object) -> bool:
            """Panic."""
            raise self._error

    monkeypatch.setattr("hookline.dispatcher.matching.compile_filter", lambda _text: Panics(PanicException()))
    found = matched({}, {"filter": "type == 'order.created'"})
    assert ids(found.call) == ["wh_1"]
    assert [(skip.kind, "PanicException" in skip.detail) for skip in found.skip] == [(ErrorKind.FILTER, True)]
    monkeypatch.setattr("hookline.dispatcher.matching.compile_filter", lambda _text: Panics(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        matched({"filter": "type == 'order.created'"})
