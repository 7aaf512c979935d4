"""Filters in addresses and forms of the panel: times, words, what a replay is asked with."""

from __future__ import annotations

import pytest

from hookline.console.panel import log_filters, wording
from hookline.console.panel.forms import Form
from hookline.console.panel.pages.replays import body_of, wanted_of
from hookline.kernel.errors import InputError
from hookline.webhooks.model import State, Webhook

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("2026-01-15T12:00", "2026-01-15T12:00:00Z"),
        ("2026-01-15T12:00:07", "2026-01-15T12:00:07Z"),
        ("2026-01-15T12:00:07.250", "2026-01-15T12:00:07.250Z"),
        ("2026-01-15T12:00:00+01:00", "2026-01-15T12:00:00+01:00"),
        ("yesterday", "yesterday"),
        ("2026-01-15T12:00\n", "2026-01-15T12:00\n"),
    ],
)
def test_a_time_without_a_zone_is_utc(typed: str, asked: str) -> None:
    """What a browser's time field sends gets its zone; whatever else is left for the API to refuse."""
    assert log_filters.instant(typed) == asked


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("2026-01-15T12:00:00Z", "2026-01-15T12:00:00"),
        ("2026-01-15T12:00:00+01:00", "2026-01-15T11:00:00"),
        ("yesterday", ""),
        ("0001-01-01T00:00:00+14:00", ""),
        ("", ""),
    ],
)
def test_a_time_field_shows_utc(asked: str, shown: str) -> None:
    """A filter's time is shown in UTC without its zone; what is no time is not shown."""
    assert log_filters.time_field(asked) == shown


def test_only_filters_that_are_given_are_asked_for() -> None:
    """Empty fields narrow nothing, foreign ones are not passed on."""
    form = Form([("webhook", ""), ("status", " 5xx "), ("from", "2026-01-15T12:00"), ("limit", "9"), ("store", "other")])
    assert log_filters.given(form, log_filters.LOG) == {"status": "5xx", "from": "2026-01-15T12:00:00Z"}


def test_webhooks_of_one_name_are_told_apart() -> None:
    """By their hosts; where those are alike too, by the ends of their ids. One without a name is called by its URL."""
    named = [
        ("wh_000001", "Billing", "https://a.example/hook"),
        ("wh_000002", "billing", "https://b.example/hook"),
        ("wh_000003", "Mail", "https://c.example/1"),
        ("wh_000004", "Mail", "https://c.example/2"),
        ("wh_000005", "", "https://d.example/x"),
    ]
    assert log_filters.distinct_names(_webhook(*one) for one in named) == {
        "wh_000001": "Billing (a.example)",
        "wh_000002": "billing (b.example)",
        "wh_000005": "https://d.example/x",
        "wh_000003": "Mail (…000003)",
        "wh_000004": "Mail (…000004)",
    }


def _webhook(id_: str, name: str, url: str) -> Webhook:
    return Webhook(
        id=id_, store_id="shop", url=url, name=name, event_types=("order.created",), filter="", state=State.ENABLED, state_reason="",
        state_since_us=0, secrets=(), headers=(), timeout_s=10.0, schedule="default", created_at_us=1, updated_at_us=1, version=1,
        write_id="",
    )  # fmt: skip


def test_filters_in_words() -> None:
    """Ids become names, words of the API become ours, times readable; what has no word is shown as it is."""
    filters = {"webhook": "wh_1", "outcome": "dead", "from": "2026-01-15T12:00:00Z", "ids": ["a:0:1", "a:0:2"], "event": "evt_1"}
    assert log_filters.in_words(filters, {"wh_1": "Billing"}) == [
        ("Webhook", "Billing"),
        ("Outcome", "Given up"),
        ("From", "15 Jan 2026, 12:00:00 UTC"),
        ("Dead letters", "2 chosen"),
        ("Event", "evt_1"),
    ]


@pytest.mark.parametrize("name", log_filters.TIMES)
@pytest.mark.parametrize("text", ["x", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00"])
def test_a_time_that_is_none_is_said_as_it_was_given(name: str, text: str) -> None:
    """Whoever gave it is told by the API what is wrong with it; the page that says so stands."""
    assert log_filters.in_words({name: text}, {}) == [(wording.FILTERS[name], text)]


def test_a_replay_is_asked_for_as_the_form_says() -> None:
    """Ticked letters once each, numbers as numbers, without pace and maximum the usual ones."""
    form = Form([("source", "dead_letters"), ("id", "a:0:1"), ("id", "a:0:1"), ("id", "a:0:2"), ("again", "true"), ("rate", "2.5")])
    assert body_of(form, dry_run=True) == {
        "source": "dead_letters",
        "filter": {"ids": ["a:0:1", "a:0:2"], "again": True},
        "rate": 2.5,
        "max": 10_000,
        "dry_run": True,
    }
    assert ("id", "a:0:2") in wanted_of(form).fields()


@pytest.mark.parametrize(("name", "text"), [("rate", "fast"), ("rate", "nan"), ("max", "1e999"), ("max", "ten")])
def test_what_is_no_number_is_told_at_its_field(name: str, text: str) -> None:
    """The field that is wrong is named."""
    with pytest.raises(InputError) as told:
        body_of(Form([(name, text)]), dry_run=True)
    assert told.value.field == name


@pytest.mark.parametrize(
    ("kind", "detail", "attempt", "said"),
    [
        (None, "", 1, ""),
        ("http_status", "answered 503", 2, "Answered 503"),
        ("timeout", "", 1, "No answer in time"),
        ("disabled", "answered 410", 0, "Webhook disabled: answered 410"),
        ("paused", "", 0, "Webhook paused"),
    ],
)
def test_a_failure_in_words(kind: str | None, detail: str, attempt: int, said: str) -> None:
    """A call's details say it all; without a call comes first what hindered it."""
    assert wording.failure(kind, detail, attempt) == said
