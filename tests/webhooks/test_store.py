"""Changing webhooks on the real broker: checks, limits, versions, and several writers at the same moment."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hookline.kernel.errors import (
    BrokerUnavailable,
    Conflict,
    FilterError,
    InputError,
    LimitExceeded,
    NotFound,
    Stale,
    UnknownEventType,
    UrlNotAllowed,
)
from hookline.webhooks import store as store_module
from hookline.webhooks.model import State, Webhook
from hookline.webhooks.secrets import MasterKey, Vault, open_headers, parse_secret, signing_keys

pytestmark = pytest.mark.kafka

OWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def keys_of(shop: Any, webhook: Webhook, vault: Vault) -> list[bytes]:
    """Return the keys that sign now."""
    return signing_keys(webhook, vault, shop.clock.now())


def blinded(writer: Any) -> Any:
    """Have a writer act on what it knows already, as if another's record arrived just after it looked."""
    writer._log.catch_up = lambda: None
    return writer


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


# ---- several writers ----


def test_a_change_of_another_version_is_stale(shop: Any) -> None:
    """With `expected_version` a change is made to exactly what was read, or not at all."""
    writer = shop.writer()
    made, _ = writer.create(shop.new())
    writer.update(made.id, {"name": "a"}, 1)
    for version in (1, 3, 0, -1):
        with pytest.raises(Stale):
            writer.update(made.id, {"name": "b"}, version)
    assert writer.update(made.id, {"name": "c"}, 2).version == 3


def test_of_two_changes_at_once_the_first_in_the_log_wins(shop: Any) -> None:
    """The other is told that it came too late, every reader agrees, and compaction keeps the winner."""
    first, second = shop.writer(), shop.writer()
    made, _ = first.create(shop.new())
    second.get(made.id)
    late = blinded(second)
    won = first.update(made.id, {"name": "first"}, 1)
    late._known = lambda _: made  # what it had read before the other wrote
    with pytest.raises(Stale):
        late.update(made.id, {"name": "second"}, 1)
    for reader in (first._registry, second._registry, shop.reader()):
        assert reader.get(made.id) == won
    assert len(shop.log()) == 4
    assert shop.compacted()[made.id] == won


def test_a_late_change_without_a_version_is_made_again(shop: Any) -> None:
    """Who expects no version takes whatever is there: both changes are made, one on top of the other."""
    first, second = shop.writer(), shop.writer()
    made, _ = first.create(shop.new())
    second.get(made.id)
    seen = second._log.catch_up
    second._log.catch_up = lambda: setattr(second._log, "catch_up", seen)  # blind the first time only
    first.update(made.id, {"filter": "type == 'order.created'"})
    changed = second.update(made.id, {"name": "second"})
    assert (changed.name, changed.filter, changed.version) == ("second", "type == 'order.created'", 3)
    assert shop.compacted()[made.id] == changed


def test_many_writers_lose_nothing(shop: Any) -> None:
    """Four processes that change one webhook at the same time: each success is one version, each loss is told, nothing is lost."""
    made, _ = shop.writer().create(shop.new())
    writers = [shop.writer() for _ in range(4)]
    done: list[int] = []

    def change(writer: Any, number: int) -> None:
        for turn in range(5):
            try:
                done.append(writer.update(made.id, {"name": f"{number}.{turn}"}).version)
            except Stale:
                continue

    threads = [threading.Thread(target=change, args=pair) for pair in zip(writers, range(4), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(2, 2 + len(done)))
    assert len(done) >= 5
    fresh = shop.reader().get(made.id)
    assert fresh.version == max(done)
    assert shop.compacted()[made.id] == fresh


def test_a_change_that_comes_after_the_deletion_brings_nothing_back(shop: Any) -> None:
    """The change is refused, the webhook stays deleted for every reader, and after compaction too."""
    first, second = shop.writer(), shop.writer()
    made, _ = first.create(shop.new())
    second.get(made.id)
    late = blinded(second)
    late._known = lambda _: made
    first.delete(made.id)
    with pytest.raises(Stale):
        late.update(made.id, {"name": "late"}, 1)
    for reader in (first._registry, shop.reader()):
        assert reader.get(made.id) is None
    assert shop.compacted() == {}


def test_of_two_created_at_once_beyond_a_limit_the_later_is_taken_back(shop: Any) -> None:
    """Two processes that fill the last place at the same moment end with one webhook, and the other is told."""
    first, second = shop.writer(), shop.writer()
    for n in range(9):
        first.create(shop.new(str(n)))
    second.get(first.create(shop.new("last"))[0].id)
    late = blinded(second)
    late._others = lambda webhook: []  # noqa: ARG005  # as if the tenth had not arrived yet when it looked
    known = type(late)._others
    shop.clock.go_on(seconds=1)
    check = late._check_limits

    def look_again(webhook: Webhook, others: list[Webhook]) -> None:
        check(webhook, others)
        late._others = lambda webhook: known(late, webhook)

    late._check_limits = look_again
    with pytest.raises(LimitExceeded):
        late.create(shop.new("eleventh"))
    assert shop.reader().size == 10
    assert len(shop.compacted()) == 10


# ---- secrets ----


def test_after_a_rotation_both_secrets_sign_for_a_day(shop: Any) -> None:
    """The new one signs first; the old one ends after 24 h; who rotates again in between keeps all that have not ended."""
    writer = shop.writer()
    made, first = writer.create(shop.new())
    vault = writer._vault
    shop.clock.go_on(hours=100)
    second = writer.rotate_secret(made.id)
    assert first != second
    assert keys_of(shop, writer.get(made.id), vault) == [parse_secret(second), parse_secret(first)]
    shop.clock.go_on(hours=23)
    third = writer.rotate_secret(made.id, OWN_SECRET)
    assert third == OWN_SECRET
    assert keys_of(shop, writer.get(made.id), vault) == [parse_secret(s) for s in (third, second, first)]
    shop.clock.go_on(hours=1, seconds=1)
    assert keys_of(shop, writer.get(made.id), vault) == [parse_secret(third), parse_secret(second)]
    shop.clock.go_on(hours=23)
    assert keys_of(shop, writer.get(made.id), vault) == [parse_secret(third)]
    writer.rotate_secret(made.id)
    assert len(writer.get(made.id).secrets) == 2


def test_a_leaked_secret_can_be_ended_at_once(shop: Any) -> None:
    """An overlap of 0 ends every old secret; a shorter one shortens those that still sign."""
    writer = shop.writer()
    made, first = writer.create(shop.new())
    second = writer.rotate_secret(made.id)
    third = writer.rotate_secret(made.id, overlap_s=60)
    shop.clock.go_on(seconds=59)
    assert keys_of(shop, writer.get(made.id), writer._vault) == [parse_secret(s) for s in (third, second, first)]
    shop.clock.go_on(seconds=2)
    assert keys_of(shop, writer.get(made.id), writer._vault) == [parse_secret(third)]
    writer.rotate_secret(made.id)
    last = writer.rotate_secret(made.id, overlap_s=0)
    assert keys_of(shop, writer.get(made.id), writer._vault) == [parse_secret(last)]
    for overlap in (-1, 86_401, math.nan):
        with pytest.raises(InputError, match="overlap_s"):
            writer.rotate_secret(made.id, overlap_s=overlap)


def test_rotating_without_end_is_refused(shop: Any) -> None:
    """Five secrets sign at a time and no more: each is a signature on every call."""
    writer = shop.writer()
    made, _ = writer.create(shop.new())
    for _ in range(4):
        writer.rotate_secret(made.id)
    with pytest.raises(LimitExceeded, match="5 secrets") as refused:
        writer.rotate_secret(made.id)
    assert refused.value.field == "secret"
    writer.rotate_secret(made.id, overlap_s=0)
    assert len(writer.get(made.id).secrets) == 1


def test_an_old_master_key_can_go_after_sealing_anew(shop: Any) -> None:
    """With a new key in front, every webhook is sealed anew; afterwards the old key is needed no more."""
    old, new = MasterKey("old", b"o" * 32), MasterKey("new", b"n" * 32)
    made, secret = shop.writer(vault=Vault((old,))).create(shop.new(headers=(("x-a", "1"),)))
    writer = shop.writer(vault=Vault((new, old)))
    assert writer.reseal(made.id) is True
    assert writer.reseal(made.id) is False
    found = writer.get(made.id)
    assert found.version == 2
    assert keys_of(shop, found, Vault((new,))) == [parse_secret(secret)]
    assert open_headers(found, Vault((new,))) == (("x-a", "1"),)


def test_a_topic_that_does_not_answer_is_told(shop: Any) -> None:
    """When the registry cannot catch up nothing is changed, and the error says what to look at."""
    registry = shop.reader()
    writer = shop.writer(registry)
    made, _ = writer.create(shop.new())
    registry.stop()
    with pytest.raises(BrokerUnavailable):
        writer.update(made.id, {"name": "x"})
    assert len(shop.log()) == 1


def test_the_overlap_is_a_day() -> None:
    """What the documentation promises."""
    assert timedelta(seconds=store_module.OVERLAP_S) == timedelta(hours=24)
    assert store_module.MOST_PER_TYPE == 10
