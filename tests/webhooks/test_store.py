"""Changing webhooks on the real broker: checks, limits, versions, and several writers at the same moment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hookline.kernel.errors import (
    Conflict,
    FilterError,
    InputError,
    LimitExceeded,
    NotFound,
    UnknownEventType,
    UrlNotAllowed,
)
from hookline.webhooks import store as store_module
from hookline.webhooks.model import State, Webhook
from hookline.webhooks.secrets import Vault, open_headers, parse_secret, signing_keys

pytestmark = pytest.mark.kafka

OWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def keys_of(shop: Any, webhook: Webhook, vault: Vault) -> list[bytes]:
    """Return the keys that sign now."""
    return signing_keys(webhook, vault, shop.clock.now())


# ---- creating and changing ----


def test_a_webhook_is_created_as_asked(shop: Any) -> None:
    """It is enabled, known to this writer at once and to others, and its secret is shown this once."""
    writer = shop.writer()
    asked = shop.new("a", "order.created", "order.paid", "order.created", name=" Wäre\u0301house ", filter="type == 'order.paid'")
    made, secret = writer.create(replace(asked, headers=(("Authorization", "Bearer topsecret"),), timeout_s=15, schedule="long"))
    assert (made.store_id, made.name, made.url, made.state) == ("shop", "Wäréhouse", "https://hooks.example.com/a", State.ENABLED)
    assert made.event_types == ("order.created", "order.paid")
    assert (made.filter, made.timeout_s, made.schedule, made.version) == ("type == 'order.paid'", 15.0, "long", 1)
    assert len(parse_secret(secret)) == 32
    assert writer.get(made.id) == made == shop.reader().get(made.id)


def test_a_template_is_kept_changed_and_taken_away(shop: Any) -> None:
    """In one form, whoever typed it; other changes leave it alone, and it comes back from the log."""
    writer = shop.writer()
    made, _ = writer.create(replace(shop.new("t", "order.created"), template={"text": "${data.order.number}"}))
    assert made.template == '{\n  "text": "${data.order.number}"\n}'
    assert writer.update(made.id, {"name": "other"}).template == made.template
    assert writer.update(made.id, {"template": "slack"}).template == "slack"
    assert shop.reader().get(made.id).template == "slack"
    assert writer.update(made.id, {"template": ""}).template == ""


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"template": "slak"}, "template", "no preset 'slak'"),
        ({"template": {"a": ["${data.order.numbr}"]}}, "template.a[0]", "no data.order.numbr"),
        ({"event_types": ["customer.created"]}, "template.text", "example of customer.created"),
        ({"template": "cloudevents-binary"}, "headers.ce-id", "sets the header ce-id"),
    ],
)
def test_a_template_that_would_fail_is_refused(shop: Any, changes: dict[str, Any], field: str, said: str) -> None:
    """When it is saved, and when the webhook's types or headers change under it; nothing is written."""
    writer = shop.writer()
    new = replace(shop.new("t", "order.created"), template={"text": "${data.order.number}"}, headers=(("ce-id", "mine"),))
    made, _ = writer.create(new)
    with pytest.raises(InputError, match=said) as refused:
        writer.update(made.id, changes)
    assert refused.value.field == field
    assert writer.get(made.id) == made


def test_nothing_secret_lies_on_the_topic(shop: Any) -> None:
    """Neither the secret nor the value of a header can be found in the log; with the key both open."""
    made, secret = shop.writer().create(shop.new(secret=OWN_SECRET, headers=(("authorization", "Bearer topsecret"),)))
    assert secret == OWN_SECRET
    raw = b"".join(value or b"" for _, value in shop.log())
    assert b"topsecret" not in raw
    assert parse_secret(OWN_SECRET) not in raw
    vault = shop.writer()._vault
    assert keys_of(shop, made, vault) == [parse_secret(OWN_SECRET)]
    assert open_headers(made, vault) == (("authorization", "Bearer topsecret"),)


BAD: list[tuple[dict[str, Any], type[InputError], str]] = [
    ({"url": ""}, UrlNotAllowed, "url"),
    ({"url": "http://hooks.example.com/"}, UrlNotAllowed, "url"),
    ({"url": "https://127.0.0.1/"}, UrlNotAllowed, "url"),
    ({"url": "https://hooks.example.com:22/"}, UrlNotAllowed, "url"),
    ({"url": "https://hooks.example.com/\r\nx"}, UrlNotAllowed, "url"),
    ({"event_types": ()}, InputError, "event_types"),
    ({"event_types": "order.created"}, InputError, "event_types"),
    ({"event_types": ("order.nothing",)}, UnknownEventType, "type"),
    ({"event_types": (7,)}, UnknownEventType, "type"),
    ({"filter": "data.order.total >"}, FilterError, "filter"),
    ({"filter": "data.order.totl == 1"}, FilterError, "filter"),
    ({"filter": "   "}, FilterError, "filter"),
    ({"filter": "1+1"}, FilterError, "filter"),
    ({"filter": "data.order.number"}, FilterError, "filter"),
    ({"filter": 7}, InputError, "filter"),
    ({"name": "x" * 129}, InputError, "name"),
    ({"name": "x" * 1_000_000}, InputError, "name"),
    ({"name": "a\0b"}, InputError, "name"),
    ({"name": "a\nb"}, InputError, "name"),
    ({"name": "\u202egpj.exe"}, InputError, "name"),
    ({"name": "a\u200bb"}, InputError, "name"),
    ({"name": "\ud800"}, InputError, "name"),
    ({"name": None}, InputError, "name"),
    ({"headers": (("Host", "x"),)}, InputError, "headers.host"),
    ({"headers": (("x-a", "a\r\nb"),)}, InputError, "headers.x-a"),
    ({"timeout_s": 4.9}, InputError, "timeout_s"),
    ({"timeout_s": 30.1}, InputError, "timeout_s"),
    ({"timeout_s": math.nan}, InputError, "timeout_s"),
    ({"timeout_s": math.inf}, InputError, "timeout_s"),
    ({"timeout_s": True}, InputError, "timeout_s"),
    ({"timeout_s": "10"}, InputError, "timeout_s"),
    ({"schedule": "never"}, InputError, "schedule"),
    ({"schedule": None}, InputError, "schedule"),
]


def test_every_field_is_checked_when_creating_and_when_changing(shop: Any) -> None:
    """Each bad value is refused with its field, whether it is new or a change, and nothing is written."""
    writer = shop.writer()
    made, _ = writer.create(shop.new())
    before = len(shop.log())
    for change, kind, field in BAD:
        with pytest.raises(kind) as refused:
            writer.create(replace(shop.new("b"), **change))
        assert refused.value.field == field, change
        with pytest.raises(kind) as refused:
            writer.update(made.id, change)
        assert refused.value.field == field, change
        refused.value.message.encode()
    for bad_secret in ("whsec_abc", "hunter2"):
        with pytest.raises(InputError, match="24 to 64") as refused:
            writer.create(shop.new("b", secret=bad_secret))
        assert refused.value.field == "secret"
    for bad_store in ("", "a.b", "a" * 65, "../x", None):
        with pytest.raises(InputError) as refused:
            writer.create(shop.new("b", store_id=bad_store))
        assert refused.value.field == "store_id"
    assert len(shop.log()) == before
    assert writer.get(made.id) == made


def test_a_change_leaves_the_rest(shop: Any) -> None:
    """Only what is given changes; version and time move, secrets and creation stay."""
    writer = shop.writer()
    made, _ = writer.create(shop.new(headers=(("x-a", "1"),)))
    shop.clock.go_on(minutes=5)
    changed = writer.update(made.id, {"name": "new", "headers": (("x-b", "2"),), "filter": ""})
    assert changed == replace(
        made, name="new", headers=changed.headers, version=2, updated_at_us=made.updated_at_us + 300_000_000, write_id=changed.write_id
    )
    assert open_headers(changed, writer._vault) == (("x-b", "2"),)
    assert writer.get(made.id) == changed


@pytest.mark.parametrize("field", ["id", "store_id", "secrets", "state", "version", "write_id", "created_at_us", "nothing"])
def test_what_cannot_be_changed_is_told(shop: Any, field: str) -> None:
    """Identity, secrets and states are not changed by `update`."""
    writer = shop.writer()
    made, _ = writer.create(shop.new())
    with pytest.raises(InputError, match=f"{field} cannot be changed") as refused:
        writer.update(made.id, {field: "x"})
    assert "event_types" in refused.value.remedy


@pytest.mark.parametrize("webhook_id", ["wh_nothing", "", "../x", "x" * 100_000, "\ud800"])
def test_an_unknown_webhook_is_not_found(shop: Any, webhook_id: str) -> None:
    """Every call names the id, shortly."""
    writer = shop.writer()
    calls: list[Callable[[], object]] = [
        lambda: writer.get(webhook_id),
        lambda: writer.update(webhook_id, {"name": "x"}),
        lambda: writer.pause(webhook_id),
        lambda: writer.rotate_secret(webhook_id),
        lambda: writer.reseal(webhook_id),
        lambda: writer.delete(webhook_id),
    ]
    for call in calls:
        with pytest.raises(NotFound) as missing:
            call()
        assert len(missing.value.message.encode()) < 300


def test_states_change_as_they_should(shop: Any) -> None:
    """Pausing, resuming, disabling and enabling; what it is already changes nothing; a disabled one must be enabled first."""
    writer = shop.writer()
    made, _ = writer.create(shop.new())
    assert writer.pause(made.id).state is State.PAUSED
    assert writer.pause(made.id).version == 2
    assert writer.resume(made.id).state is State.ENABLED
    disabled = writer.disable(made.id, "receiver gone (410)")
    assert (disabled.state, disabled.state_reason, disabled.version) == (State.DISABLED, "receiver gone (410)", 4)
    for call in (writer.pause, writer.resume):
        with pytest.raises(Conflict, match="is disabled: receiver gone"):
            call(made.id)
    enabled = writer.enable(made.id)
    assert (enabled.state, enabled.state_reason) == (State.ENABLED, "")
    with pytest.raises(InputError):
        writer.disable(made.id, "a\0b")


def test_a_deleted_webhook_is_gone(shop: Any) -> None:
    """It is found no more, by anybody, and its place is free again."""
    writer = shop.writer()
    made, _ = writer.create(shop.new())
    writer.delete(made.id)
    with pytest.raises(NotFound):
        writer.get(made.id)
    assert shop.reader().size == 0
    assert writer.create(shop.new())[0].id != made.id


# ---- limits ----


def test_a_store_has_ten_enabled_webhooks_per_type(shop: Any) -> None:
    """The eleventh is refused, by creating, enabling or adding the type; paused ones count, disabled ones do not."""
    writer = shop.writer()
    made = [writer.create(shop.new(str(n)))[0] for n in range(10)]
    with pytest.raises(LimitExceeded, match=r"10 webhooks for order\.created") as refused:
        writer.create(shop.new("11"))
    assert refused.value.field == "event_types"
    other, _ = writer.create(shop.new("11", "order.paid"))
    with pytest.raises(LimitExceeded):
        writer.update(other.id, {"event_types": ("order.paid", "order.created")})
    writer.pause(made[0].id)
    with pytest.raises(LimitExceeded):
        writer.create(shop.new("12"))
    writer.disable(made[0].id, "rest")
    writer.update(other.id, {"event_types": ("order.paid", "order.created")})
    with pytest.raises(LimitExceeded):
        writer.enable(made[0].id)
    writer.create(shop.new("a", store_id="another"))


def test_a_url_is_called_once_per_type(shop: Any) -> None:
    """The same URL for the same type of a store is refused and the other webhook named, however it is spelt."""
    writer = shop.writer()
    made, _ = writer.create(shop.new("a"))
    twins = [shop.new("a"), shop.new(url="HTTPS://hooks.EXAMPLE.com:443/a"), shop.new("a", "order.paid", "order.created")]
    for twin in twins:
        with pytest.raises(Conflict, match=made.id) as refused:
            writer.create(twin)
        assert refused.value.field == "url"
    other, _ = writer.create(shop.new("a", "order.paid"))
    with pytest.raises(Conflict):
        writer.update(other.id, {"event_types": ("order.created",)})
    writer.create(shop.new("a", store_id="another"))
    writer.disable(made.id, "rest")
    with pytest.raises(Conflict):
        writer.create(shop.new("a"))


def test_a_store_has_a_most_in_all(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disabled webhooks count here, so that nobody fills the memory of every dispatcher."""
    monkeypatch.setattr(store_module, "MOST_PER_STORE", 3)
    writer = shop.writer()
    for n in range(3):
        writer.disable(writer.create(shop.new(str(n)))[0].id, "rest")
    with pytest.raises(LimitExceeded) as refused:
        writer.create(shop.new("x"))
    assert refused.value.field == "store_id"
    writer.create(shop.new("x", store_id="another"))


def test_a_broken_limit_keeps_nobody_from_pausing(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many already, every change that adds nothing still works."""
    writer = shop.writer()
    made = [writer.create(shop.new(str(n)))[0] for n in range(3)]
    monkeypatch.setattr(store_module, "MOST_PER_TYPE", 1)
    writer.pause(made[0].id)
    writer.resume(made[0].id)
    writer.update(made[1].id, {"name": "x"})
    writer.rotate_secret(made[1].id)
    writer.disable(made[2].id, "one too many")
    with pytest.raises(LimitExceeded):
        writer.enable(made[2].id)
