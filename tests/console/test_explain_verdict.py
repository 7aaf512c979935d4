"""The judgement behind explain, the fields of filters, ids that tell their time: pure pieces."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, get_args

import pytest

from hookline.console.api.explain import VerdictName
from hookline.console.api.explain_fields import MOST_FIELDS, named_fields
from hookline.console.api.explain_verdict import CLOCK_SLACK_US, Facts, Verdict, judge
from hookline.console.event_search import EventSearch
from hookline.console.letters_shelf import Letter, Replayed
from hookline.console.places import Coordinates
from hookline.dispatcher import matching
from hookline.dispatcher.letters import Reason
from hookline.schemas.events import made_at_ms, new_event_id, new_id
from hookline.webhooks.filters import compile_filter
from hookline.webhooks.model import State, Webhook

pytestmark = pytest.mark.unit
PLACE = Coordinates("hookline.dead-letters.orders", 0, 1)

# ---- the judgement ----

WEBHOOK = Webhook(
    id="wh_1", store_id="shop", name="", url="https://a.example.com/", event_types=("order.created",), filter="", state=State.ENABLED,
    state_reason="", state_since_us=10, secrets=(), headers=(), timeout_s=10.0, schedule="default", created_at_us=10, updated_at_us=10,
    version=1, write_id="",
)  # fmt: skip
LETTER = Letter(
    place=PLACE, at_us=200, reason=Reason.EXPIRED, error="held too long", original=PLACE, store_id="shop", webhook_id="wh_1", event_id="e"
)
CONTEXT = {"type": "order.created", "store_id": "shop", "data": {"total": 5}}


def row(outcome: str, **more: Any) -> dict[str, Any]:
    """Return a row of the log."""
    found = {"attempted_at_us": 150, "attempt": 1, "outcome": outcome, "http_status": 500, "error_kind": "http_status"}
    return {**found, "error_detail": "answered 500", "next_retry_at_us": 1_000, **more}


def skip(kind: str) -> dict[str, Any]:
    """Return a row that says why no call was made."""
    return row("skipped", attempt=0, http_status=0, error_kind=kind, error_detail="because")


def facts(**more: Any) -> Facts:
    """Return the facts of an event that was published at 100, 400 before now."""
    given: dict[str, Any] = {"webhook": WEBHOOK, "now_us": 500, "event_type": "order.created", "published_us": 100, "context": CONTEXT}
    return Facts(**{**given, **more})


def webhook(**more: Any) -> Webhook:
    """Return the webhook, changed."""
    return replace(WEBHOOK, **more)


PAUSED = webhook(state=State.PAUSED, state_since_us=120)
DISABLED_BEFORE = webhook(state=State.DISABLED, state_since_us=90, state_reason="gone")
DISABLED_AFTER = webhook(state=State.DISABLED, state_since_us=110)
CASES: dict[str, tuple[Facts, Verdict, int]] = {
    "delivered": (facts(rows=[row("retrying"), row("delivered", attempted_at_us=160)]), Verdict.DELIVERED, 160),
    "retry to come": (facts(rows=[row("retrying")]), Verdict.WAITING_FOR_RETRY, 150),
    "retry overdue": (facts(rows=[row("retrying", next_retry_at_us=400)]), Verdict.WAITING_FOR_RETRY, 150),
    "retry, disabled now": (facts(rows=[row("retrying")], webhook=DISABLED_AFTER), Verdict.WAITING_FOR_RETRY, 150),
    "retry, paused now": (facts(rows=[row("retrying")], webhook=PAUSED), Verdict.PAUSED, 120),
    "retry, deleted now": (facts(rows=[row("retrying")], webhook=None), Verdict.CANCELLED, 150),
    "dead": (facts(rows=[row("dead")], letter=LETTER), Verdict.DEAD, 150),
    "dead, the letter not seen": (facts(rows=[row("dead")]), Verdict.DEAD, 150),
    "dead, replayed": (facts(rows=[row("dead")], letter=LETTER, replayed=Replayed(300, "job")), Verdict.WAITING, 300),
    "dead again after a replay": (
        facts(rows=[row("dead", attempted_at_us=400)], letter=LETTER, replayed=Replayed(300, "")),
        Verdict.DEAD,
        400,
    ),
    "dead, the log behind": (facts(letter=LETTER), Verdict.DEAD, 200),
    "dead, the last attempt not in the log yet": (facts(rows=[row("retrying")], letter=LETTER), Verdict.DEAD, 200),
    "replayed, that attempt not in the log yet": (
        facts(rows=[row("retrying")], letter=LETTER, replayed=Replayed(300, "job")),
        Verdict.WAITING,
        300,
    ),
    "retry to come after a replay": (
        facts(rows=[row("retrying", attempted_at_us=350)], letter=LETTER, replayed=Replayed(300, "job")),
        Verdict.WAITING_FOR_RETRY,
        350,
    ),
    "held too long, the log behind": (facts(rows=[skip("paused")], webhook=PAUSED, letter=LETTER), Verdict.DEAD, 200),
    "held": (facts(rows=[skip("paused")], webhook=PAUSED), Verdict.PAUSED, 120),
    "held, resumed": (facts(rows=[skip("paused")]), Verdict.WAITING, 150),
    "held, deleted": (facts(rows=[skip("paused")], webhook=None), Verdict.CANCELLED, 150),
    "skipped, disabled": (facts(rows=[skip("disabled")], webhook=DISABLED_BEFORE), Verdict.DISABLED, 90),
    "skipped, disabled anew": (
        facts(rows=[skip("disabled")], webhook=webhook(state=State.DISABLED, state_since_us=160)),
        Verdict.DISABLED,
        150,
    ),
    "skipped, enabled since": (facts(rows=[skip("disabled")]), Verdict.DISABLED, 150),
    "skipped, filter": (facts(rows=[skip("filter_error")]), Verdict.FILTER_ERROR, 150),
    "skipped, cancelled": (facts(rows=[skip("cancelled")], webhook=None), Verdict.CANCELLED, 150),
    "unknown": (facts(event_type="", published_us=0, context=None), Verdict.UNKNOWN_EVENT, 0),
    "another type": (facts(webhook=webhook(event_types=("order.paid",))), Verdict.NOT_ITS_TYPE, 0),
    "made later": (facts(webhook=webhook(created_at_us=101 + CLOCK_SLACK_US)), Verdict.CREATED_LATER, 101 + CLOCK_SLACK_US),
    "made within the slack": (facts(webhook=webhook(created_at_us=100 + CLOCK_SLACK_US)), Verdict.WAITING, 100),
    "disabled before": (facts(webhook=DISABLED_BEFORE), Verdict.DISABLED, 90),
    "disabled after": (facts(webhook=DISABLED_AFTER), Verdict.WAITING, 100),
    "filter says no": (facts(webhook=webhook(filter="data.total > 5")), Verdict.FILTER_NO_MATCH, 100),
    "filter says yes": (facts(webhook=webhook(filter="data.total == 5")), Verdict.WAITING, 100),
    "filter fails": (facts(webhook=webhook(filter="data.nope == 5")), Verdict.FILTER_ERROR, 100),
    "filter, payload gone": (facts(webhook=webhook(filter="data.total > 5"), context=None), Verdict.WAITING, 100),
    "paused, the log behind": (facts(webhook=PAUSED), Verdict.PAUSED, 120),
    "not yet": (facts(), Verdict.WAITING, 100),
    "deleted, the log behind": (facts(webhook=None), Verdict.CANCELLED, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_judgement(name: str) -> None:
    """What the log tells counts first, then the dead letter, then the rules in the dispatcher's order."""
    given, verdict, at_us = CASES[name]
    found = judge(given)
    assert (found.verdict, found.at_us) == (verdict, at_us)
    assert found.text
    assert (found.until_us > 0) == (verdict is Verdict.WAITING_FOR_RETRY)
    assert bool(found.fields) == (
        verdict in {Verdict.FILTER_NO_MATCH, Verdict.FILTER_ERROR} and bool(given.webhook and given.webhook.filter)
    )


@pytest.mark.parametrize("rows", [[], [row("dead")]], ids=["the log behind", "in the log"])
def test_a_dead_letter_is_told_with_what_helps(rows: list[dict[str, Any]]) -> None:
    """A replay passes over a webhook that is disabled or deleted, so there it is not promised."""
    said = {
        "enabled": (WEBHOOK, "it lies in the dead letters and can be replayed"),
        "paused": (PAUSED, "it lies in the dead letters and can be replayed"),
        "disabled": (DISABLED_AFTER, "it lies in the dead letters: enable the webhook first, then replay it"),
        "deleted": (None, "the webhook was deleted, so it cannot be replayed"),
    }
    found = {state: judge(facts(rows=rows, letter=LETTER, webhook=of)).text.partition("; ")[2] for state, (of, _) in said.items()}
    assert found == {state: words for state, (_, words) in said.items()}


def test_every_verdict_has_a_case() -> None:
    """The API names them all, and the cases above bring each about."""
    assert {str(verdict) for verdict in Verdict} == set(get_args(VerdictName)) == {str(verdict) for _, verdict, _ in CASES.values()}
    assert CLOCK_SLACK_US == matching.CLOCK_SLACK_US


# ---- fields of filters ----

EVENT = {
    "type": "order.created", "store_id": "shop",
    "data": {
        "order": {"total": {"amount": 5}, "note": None, "lines": [{"sku": "A", "opts": [{"n": 1}, {"n": 2}]}, {"sku": "B", "opts": []}]},
    },
}  # fmt: skip
NAMED = {
    "data.order.total.amount > 1000": {"data.order.total.amount": "5"},
    "type == 'order.created' || store_id == 'data.x'": {"type": '"order.created"', "store_id": '"shop"'},
    "has(data.order.nope) && data . order\n .note == null // data.order.lines": {"data.order.nope": None, "data.order.note": "null"},
    "data.order.lines[1].sku.startsWith('A')": {"data.order.lines[1].sku": '"B"'},
    "data.order.lines[7].sku == ''": {"data.order.lines[7].sku": None},
    "data['order']['note'] == null": {"data.order.note": "null"},
    "data.order.lines.exists(l, l.sku == 'Z')": {
        "data.order.lines": '[{"sku":"A","opts":[{"n":1},{"n":2}]},{"sku":"B","opts":[]}]', "data.order.lines[].sku": '["A","B"]',
    },
    "data.order.lines.all(l, l.opts.exists(o, o.n > data.order.total.amount)) && data.order.note == null": {
        "data.order.lines": '[{"sku":"A","opts":[{"n":1},{"n":2}]},{"sku":"B","opts":[]}]',
        "data.order.lines[].opts": '[[{"n":1},{"n":2}],[]]', "data.order.lines[].opts[].n": "[1,2]", "data.order.total.amount": "5",
        "data.order.note": "null",
    },
}  # fmt: skip


@pytest.mark.parametrize("text", NAMED)
def test_the_fields_that_a_filter_names(text: str) -> None:
    """Each once, whatever the spelling, down to the items of lists, with the event's values; texts and comments name none."""
    compile_filter(text)
    assert {named.path: named.value for named in named_fields(text, EVENT)} == NAMED[text]


def test_values_and_their_number_are_bounded() -> None:
    """A long value is cut, and so is the list of fields."""
    context = {"type": "t", "store_id": "s", "data": {"long": "x" * 5_000, **{f"f{n}": n for n in range(40)}}}
    [named] = named_fields("data.long == ''", context)
    assert named.value is not None
    assert len(named.value) < 400
    text = " || ".join(f"data.f{n} == 1" for n in range(40))
    assert len(named_fields(text, context)) == MOST_FIELDS


# ---- ids that tell their time ----


def test_an_id_of_ours_tells_when_it_was_made() -> None:
    """To the millisecond, whatever its prefix; any other id tells nothing."""
    before = time.time_ns() // 1_000_000
    found = [made_at_ms(new_event_id()), made_at_ms(new_id("x"))]
    after = time.time_ns() // 1_000_000
    assert all(at is not None and before <= at <= after for at in found)
    assert [made_at_ms(text) for text in ("", "own-1", "evt_short", "evt_" + "u" * 26, "evt_" + "0" * 27)] == [None] * 5


def test_an_event_is_looked_for_where_it_is_likely_first() -> None:
    """Around the time that its id tells, then among the newest, each span once; around a given time only there."""

    class Now:
        def now(self) -> Any:
            from datetime import UTC, datetime

            return datetime.now(UTC)

        def monotonic(self) -> float:
            return 0.0

    search = EventSearch.__new__(EventSearch)
    search._clock = Now()
    made = made_at_ms(event := new_event_id())
    assert made is not None
    spans = list(search._spans(event, 0))
    assert spans[0][0] < made * 1_000 < spans[0][1]
    newest = list(search._spans("own", 0))
    assert [later[1] for later in newest[1:]] == [earlier[0] for earlier in newest[:-1]]
    assert len(list(search._spans("own", 10**15))) == 1
