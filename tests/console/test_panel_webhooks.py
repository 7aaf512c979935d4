"""What the panel's pages of webhooks are made of: the filter lab, the fields of the form, the list's filters and order."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.console.api.webhook_models import MASK, WebhookView, view
from hookline.console.event_search import FoundEvent
from hookline.console.panel import filter_lab
from hookline.console.panel.filter_lab import Lab, Marked, marked, try_out
from hookline.console.panel.forms import Form
from hookline.console.panel.health import Health, Waiting
from hookline.console.panel.pages.webhook_form import catalogue, same_address
from hookline.console.panel.pages.webhooks import PER_PAGE, TROUBLED_FIRST, listed
from hookline.console.panel.webhook_fields import LABELS, Typed, changes, differences, headers_of
from hookline.console.panel.wording import HEALTH
from hookline.console.places import Coordinates
from hookline.kernel.clock import SystemClock
from hookline.kernel.errors import InputError
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import example_event
from hookline.webhooks.model import SealedHeader, State, Webhook

pytestmark = pytest.mark.unit

CLOCK = SystemClock()
WEBHOOK = Webhook(
    id="wh_1", store_id="shop", name="Order desk", url="https://a.example.com/", event_types=("order.created",), filter="",
    state=State.ENABLED, state_reason="", state_since_us=10, secrets=(), headers=(SealedHeader("x-token", b""), SealedHeader("x-b", b"")),
    timeout_s=10.0, schedule="default", created_at_us=10, updated_at_us=10, version=3, write_id="",
)  # fmt: skip
VIEW: WebhookView = view(WEBHOOK)


def webhook(**more: Any) -> Webhook:
    """Return the webhook with other values."""
    return Webhook(**{**{name: getattr(WEBHOOK, name) for name in Webhook.__slots__}, **more})


# ---- the lab ----


def sample(name: str, number: str = "10042", at_us: int = 1) -> FoundEvent:
    """Return an event that was published, with an order number of its own."""
    event = example_event(name, "shop", clock=CLOCK)
    if "order" in event.data:
        event.data["order"]["number"] = number
    return FoundEvent(event=event, published_us=at_us, place=Coordinates("t", 0, at_us))


def tried(text: str, *names: str, **samples: list[FoundEvent]) -> Lab:
    """Return what the lab says; `samples` have underscores in place of dots."""
    return try_out(text, names or ("order.created",), {name.replace("_", ".", 1): found for name, found in samples.items()}, CLOCK, "shop")


def test_each_event_gets_its_answer_and_what_the_filter_looked_at() -> None:
    """Of two real orders one matches; the value that decided is told for both; example and real events are not mixed up."""
    found = tried("data.order.number == '7'", order_created=[sample("order.created", "7"), sample("order.created", "8")])
    assert (found.matches, found.real, found.problem) == (1, 2, "")
    [bench] = found.benches
    assert [(one.verdict, one.fields[0].path, one.fields[0].value) for one in bench.tried] == [
        ("match", "data.order.number", '"7"'),
        ("no", "data.order.number", '"8"'),
    ]
    assert not bench.example


def test_without_real_events_the_examples_are_tried_and_not_counted() -> None:
    """A store without events sees what the catalogue's examples would do; the count of real events stays 0."""
    found = tried("data.order.number == '10042'", "order.created", "customer.created")
    assert [(bench.name, bench.example, bench.tried[0].verdict) for bench in found.benches] == [
        ("order.created", True, "match"),
        ("customer.created", True, "error"),
    ]
    assert (found.real, found.matches) == (0, 0)
    assert "position 6" in found.benches[1].tried[0].error


def test_an_empty_filter_takes_everything() -> None:
    """Without a filter every event is sent."""
    found = tried("", order_created=[sample("order.created")])
    assert (found.matches, found.real, found.filtered) == (1, 1, False)


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("data.order.number = '7'", "=", "no CEL at position"),
        ("data.order.numbr == '7'", "n", "'numbr'"),
        ("data.order.number ==", " ", "no CEL"),
        ("data.order\n.number == nothing", "n", "'nothing'"),
        ("price > 3", "p", "'price'"),
    ],
)
def test_what_would_not_be_saved_says_where(text: str, at: str, said: str) -> None:
    """A filter that cannot be saved is told in plain words, and the place of the fault is set apart."""
    found = tried(text)
    assert said in found.problem
    assert found.marked is not None
    assert found.marked.at == at
    assert (found.marked.before + found.marked.at + found.marked.after).rstrip() == text


def test_a_filter_that_is_no_condition_would_not_be_saved() -> None:
    """The lab says the same as saving does, beside what became of each event."""
    found = tried("data.order.number", order_created=[sample("order.created")])
    assert "gives a text for events of order.created, not true or false: compare it" in found.problem
    assert (found.marked, found.benches[0].errors) == (None, 1)


def test_a_filter_that_is_too_long_has_no_place() -> None:
    """Some faults are of the whole text."""
    found = tried("x" * 3_000)
    assert (found.marked, found.benches) == (None, ())
    assert "longer than" in found.problem


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("abc", 0, None),
        ("abc", 1, Marked("", "a", "bc")),
        ("abc", 3, Marked("ab", "c", "")),
        ("abc", 4, Marked("abc", " ", "")),
        ("abc", 99, Marked("abc", " ", "")),
        ("a\nb", 2, Marked("a", " ", "b")),
    ],
)
def test_a_place_in_a_text(text: str, position: int, expected: Marked | None) -> None:
    """Positions count from 1; one behind the end is shown there."""
    assert marked(text, position) == expected


def test_the_time_of_the_lab_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time is up the rest is not tried, and that is said."""
    monkeypatch.setattr(filter_lab, "MOST_S", -1.0)
    found = tried("data.order.number == '7'", order_created=[sample("order.created")])
    assert (found.cut, found.benches[0].tried) == (True, [])


# ---- the form ----


def typed(**more: Any) -> Typed:
    """Return the form of the webhook with other values."""
    there = Typed.of_view(VIEW)
    return Typed(**{**{name: getattr(there, name) for name in Typed.__slots__}, **more})


def test_a_form_is_what_was_sent() -> None:
    """Fields come as texts; ticks come as many, and only those that are event types are known ones."""
    sent = [
        ("url", " https://a.example.com/ "),
        ("event_types", "order.paid"),
        ("event_types", "nothing"),
        ("event_types", "order.created"),
    ]
    found = Typed.of_form(Form([*sent, ("headers", "A: b\r\nC: d")]))
    assert (found.url, found.known_types) == ("https://a.example.com/", ["order.created", "order.paid"])
    assert found.new_body()["headers"] == {"A": "b", "C": "d"}
    assert (found.body()["timeout_s"], found.body()["schedule"]) == (10.0, "default")


def test_masked_headers_are_kept() -> None:
    """A value that is still masked goes as null, which keeps it; a new webhook has nothing to keep."""
    form = typed(headers=f"x-token: {MASK}\nX-New: a:b")
    assert form.body()["headers"] == {"x-token": None, "X-New": "a:b"}
    with pytest.raises(InputError, match="hidden"):
        form.new_body()


@pytest.mark.parametrize(
    ("text", "said"), [("no colon", "Line 1"), ("A: b\n\n: c", "Line 3"), ("A: b\na: c", "twice"), ("A: b\nB", "Line 2")]
)
def test_headers_that_are_none(text: str, said: str) -> None:
    """A line that is no header is named by its number."""
    with pytest.raises(InputError, match=said) as wrong:
        headers_of(text)
    assert wrong.value.field == "headers"


@pytest.mark.parametrize(("more", "field"), [({"event_types": []}, "event_types"), ({"timeout_s": "soon"}, "timeout_s")])
def test_what_the_form_refuses_itself(more: dict[str, Any], field: str) -> None:
    """No event type, or a time that is no number: the field is named."""
    with pytest.raises(InputError) as wrong:
        typed(**more).body()
    assert wrong.value.field == field


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ({}, {}),
        ({"name": "Other"}, {"name": "Other"}),
        ({"headers": f"X-B: {MASK}\nX-Token: {MASK}"}, {}),
        ({"headers": f"x-token: {MASK}"}, {"headers": {"x-token": None}}),
        ({"headers": ""}, {"headers": {}}),
        ({"headers": f"x-token: new\nx-b: {MASK}"}, {"headers": {"x-token": "new", "x-b": None}}),
        ({"timeout_s": "10.0"}, {}),
        ({"timeout_s": "5"}, {"timeout_s": 5.0}),
        ({"event_types": ["order.paid", "order.created"]}, {"event_types": ["order.paid", "order.created"]}),
    ],
)
def test_only_what_differs_is_changed(more: dict[str, Any], changed: dict[str, Any]) -> None:
    """A form that was only looked at changes nothing; each field that differs goes alone."""
    assert changes(VIEW, typed(**more).body()) == changed


def test_a_client_certificate_goes_only_when_it_was_typed() -> None:
    """Left alone it stays as it is; typed it replaces; ticked away it goes; typing wins. The key is in no text of the form."""
    sent = Form([("client_certificate.certificate", "C"), ("client_certificate.private_key", "sesame"), ("without_certificate", "1")])
    found = Typed.of_form(sent)
    both = {"certificate": "C", "private_key": "sesame"}
    given = typed(certificate=found.certificate, private_key=found.private_key, without_certificate=True)
    assert given.body()["client_certificate"] == both
    assert changes(VIEW, typed(private_key="sesame").body()) == {"client_certificate": {"certificate": "", "private_key": "sesame"}}
    assert changes(VIEW, typed(without_certificate=True).body()) == {"client_certificate": {}}
    assert "client_certificate" not in typed().body()
    assert "sesame" not in repr(found)


def test_differences_are_told_by_field() -> None:
    """Two versions of a webhook are set against each other, in the words of the form."""
    found = differences(VIEW, typed(name="Mine", event_types=["order.paid", "order.created"]))
    assert found == [("Name", "Order desk", "Mine"), ("Event types", "order.created", "order.created, order.paid")]
    assert set(LABELS) <= set(WebhookView.model_fields)


def test_the_same_address_is_found() -> None:
    """Another webhook with the URL and a shared type is told; neither the edited one nor one of other types is."""
    form = typed(event_types=["order.created", "order.paid"])
    other = webhook(id="wh_2", event_types=("order.paid", "return.created"))
    unlike = webhook(id="wh_3", event_types=("return.created",))
    assert same_address([WEBHOOK, other, unlike], WEBHOOK.url, form, "wh_1") == [(other, ["order.paid"])]
    assert same_address([WEBHOOK, other], "", form, "") == []


def test_every_event_type_can_be_ticked() -> None:
    """The form offers the whole catalogue, by category."""
    assert [kind.name for kinds in catalogue().values() for kind in kinds] == list(EVENT_TYPES)


# ---- the list ----


ALL = [
    Health(webhook=webhook(id="wh_1", name="b"), deliveries=10, delivered=10, success_rate=1.0, p95_ms=5.0),
    Health(webhook=webhook(id="wh_2", name="A"), deliveries=10, delivered=2, success_rate=0.2),
    Health(webhook=webhook(id="wh_3", name="", url="https://shop.example.com/Zebra", event_types=("order.paid",))),
    Health(webhook=webhook(id="wh_4", name="c", state=State.PAUSED), waiting=Waiting(3, 1)),
]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({}, ["wh_1", "wh_2", "wh_3", "wh_4"]),
        ({"health": "failing"}, ["wh_2"]),
        ({"health": "nonsense"}, []),
        ({"state": "paused"}, ["wh_4"]),
        ({"event_type": "order.paid"}, ["wh_3"]),
        ({"text": "zebra"}, ["wh_3"]),
        ({"text": "WH_2"}, ["wh_2"]),
        ({"text": "order"}, []),
        ({"sort": "newest"}, ["wh_4", "wh_3", "wh_2", "wh_1"]),
        ({"sort": "trouble"}, ["wh_2", "wh_4", "wh_1", "wh_3"]),
        ({"sort": "name"}, ["wh_2", "wh_1", "wh_4", "wh_3"]),
        ({"sort": "nonsense", "state": "enabled"}, ["wh_1", "wh_2", "wh_3"]),
    ],
)
def test_filters_and_order(asked: dict[str, str], ids: list[str]) -> None:
    """Each filter alone, each order; what is unknown fits nothing, or orders nothing. The counts are of all webhooks."""
    found = listed(ALL, asked, 1)
    assert [one.webhook.id for one in found.shown] == ids
    assert (found.found, dict(found.counts)) == (len(ids), {"failing": 1, "paused": 1, "ok": 1, "quiet": 1})


def test_pages_of_the_list() -> None:
    """A page behind the last one is the last; none of no webhooks is the first."""
    many = [Health(webhook=webhook(id=f"wh_{number}")) for number in range(PER_PAGE * 2 + 1)]
    last = listed(many, {}, 99)
    assert (last.page, last.pages, [one.webhook.id for one in last.shown]) == (3, 3, [f"wh_{PER_PAGE * 2}"])
    assert (listed([], {}, 5).page, listed([], {}, 5).pages) == (1, 1)


def test_every_word_of_health_has_its_place_in_the_order() -> None:
    """An order by trouble knows every word."""
    assert sorted(TROUBLED_FIRST) == sorted(HEALTH)
