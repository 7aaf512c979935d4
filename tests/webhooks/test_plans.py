"""Plans: the steps from webhooks as they are to webhooks as they are declared, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.errors import Conflict, NotFound
from hookline.webhooks.declared import Declaration, Declared
from hookline.webhooks.model import State, Webhook
from hookline.webhooks.plans import Action, Change, Twin, plan
from tests.dispatcher.fakes import webhook as made

pytestmark = pytest.mark.unit

HEADERS = {"wh_1": (("authorization", "Bearer old"),)}


def there(number: int = 1, **given: Any) -> Webhook:
    """Return a webhook of store `shop`."""
    base = replace(made(), id=f"wh_{number}", store_id="shop", name=f"hook {number}", headers=(), state=State.ENABLED, version=3)
    return replace(base, **given)


def wanted(webhook: Webhook, **given: Any) -> Declared:
    """Return the declaration that a webhook fulfils, but for what is given."""
    fields = {name: getattr(webhook, name) for name in ("name", "url", "event_types", "filter", "template", "timeout_s", "schedule")}
    return Declared(**{**fields, "id": "", "headers": HEADERS.get(webhook.id, ()), "state": None, "secret": "", **given})


def planned(declared: list[Declared], existing: list[Webhook], *, prune: bool = False) -> list[Change]:
    """Return the plan for store `shop`."""
    return plan(Declaration(store_id="shop", webhooks=tuple(declared)), existing, lambda webhook: HEADERS.get(webhook.id, ()), prune=prune)


def test_what_is_as_declared_needs_nothing() -> None:
    """Neither does a state that is not declared, nor another order of event types."""
    one = there(event_types=("order.created", "order.paid"), state=State.DISABLED)
    assert planned([wanted(one, event_types=("order.paid", "order.created"))], [one], prune=True) == []


def test_each_difference_is_shown() -> None:
    """Every field with now and wanted; values of headers are never shown; the version is that which the plan saw."""
    one = there()
    declared = wanted(
        one, url="https://b.example.com/", timeout_s=20.0, state=State.PAUSED, headers=(("authorization", "Bearer new"), ("x-a", "1"))
    )
    [change] = planned([declared], [one])
    assert (change.action, change.id, change.version) == (Action.CHANGE, "wh_1", 3)
    assert change.fields == {
        "url": (one.url, "https://b.example.com/"),
        "timeout_s": ("10", "20"),
        "header authorization": ("********", "******** (another value)"),
        "header x-a": ("", "********"),
        "state": ("enabled", "paused"),
    }
    assert set(change.changes) == {"url", "timeout_s", "headers"}
    assert "Bearer" not in str(change.fields)
    [change] = planned([wanted(one, headers=())], [one])
    assert change.fields == {"header authorization": ("********", "")}


def test_new_ones_are_made_and_others_stay() -> None:
    """Without --prune nothing is deleted; with it only this store's, and before anything is made: limits count what is there."""
    other, foreign = there(2), there(3, store_id="another")
    new = wanted(there(9), name="new")
    [change] = planned([new], [other, foreign])
    assert (change.action, change.id, change.name) == (Action.CREATE, "", "new")
    assert [(one.action, one.name) for one in planned([new], [other, foreign], prune=True)] == [
        (Action.DELETE, "hook 2"),
        (Action.CREATE, "new"),
    ]


def test_an_id_renames() -> None:
    """A webhook that is named by its id is that one, whatever it is called, and not to be had by its old name too."""
    one, two = there(1), there(2)
    [change] = planned([wanted(one, id="wh_1", name="another name")], [one, two])
    assert change.fields == {"name": ("hook 1", "another name")}
    changes = planned([wanted(one, id="wh_1", name="hook 2"), wanted(one, name="hook 1", headers=())], [one, there(3, name="hook 3")])
    assert [change.action for change in changes] == [Action.CHANGE, Action.CREATE]


def test_a_renamed_one_is_known_by_where_it_sends() -> None:
    """A new one that sends what another of the store sends to the same URL says which; as that will be, not as it was."""
    one = there(1, url="https://a.example.com/", event_types=("order.created", "order.paid"))
    renamed = wanted(one, name="renamed", event_types=("order.paid", "customer.created"))
    for prune in (False, True):
        assert planned([renamed], [one], prune=prune)[-1].twin == Twin(id="wh_1", name="hook 1", event_type="order.paid", declared=False)
    [change] = planned([wanted(one), renamed], [one])
    assert change.twin == Twin(id="wh_1", name="hook 1", event_type="order.paid", declared=True)
    assert planned([wanted(one, url="https://b.example.com/"), renamed], [one])[-1].twin is None
    assert planned([wanted(one, name="other types", event_types=("customer.created",))], [one])[-1].twin is None
    assert planned([renamed], [replace(one, store_id="another")])[-1].twin is None


def test_what_is_not_clear_is_refused() -> None:
    """Two of one name, an id of another store, an id declared twice."""
    one, twin = there(1), there(2, name="hook 1")
    with pytest.raises(Conflict, match="2 webhooks are called hook 1") as told:
        planned([wanted(one)], [one, twin])
    assert "wh_1, wh_2" in told.value.remedy
    with pytest.raises(NotFound, match="has no webhook 'wh_7'"):
        planned([wanted(one, id="wh_7")], [one, there(7, store_id="another")])
    with pytest.raises(Conflict, match="declared as a and as b"):
        planned([wanted(one, id="wh_1", name="a"), wanted(one, id="wh_1", name="b")], [one])


NAMES = st.lists(st.integers(1, 6), unique=True)


@given(NAMES, NAMES, st.booleans())
def test_a_plan_leads_to_what_is_declared(declared: list[int], existing: list[int], prune: bool) -> None:
    """Whatever there is: created + found = declared, deleted = the rest or nothing, and a second plan is empty."""
    now = [there(number) for number in existing]
    steps = planned([wanted(there(number)) for number in declared], now, prune=prune)
    created = {change.name for change in steps if change.action is Action.CREATE}
    deleted = {change.name for change in steps if change.action is Action.DELETE}
    assert created == {f"hook {number}" for number in set(declared) - set(existing)}
    assert deleted == ({f"hook {number}" for number in set(existing) - set(declared)} if prune else set())
    after = [webhook for webhook in now if webhook.name not in deleted] + [there(n) for n in declared if f"hook {n}" in created]
    assert planned([wanted(there(number)) for number in declared], after, prune=prune) == []
