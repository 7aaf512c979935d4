"""Event types, events, API keys, stores, audit and idempotency over the API, on the real process."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Client = Any
Until = Any
HOOK = {"url": "http://127.0.0.1:9/resources", "event_types": ["order.created"]}
PAID = {"type": "order.paid", "data": dict(EVENT_TYPES["order.paid"].example)}


def test_the_catalogue_can_be_read_whole(admin: Client) -> None:
    """Every event type is listed, and shows a schema and an example that the API itself takes."""
    listed = [kind["name"] for kind in admin.get("/event-types?limit=1000").json["data"]]
    assert listed == sorted(EVENT_TYPES)
    for name in listed:
        detail = admin.get(f"/event-types/{name}").json
        assert detail["data_schema"]["type"] == "record"
        assert admin.post("/events", {"type": name, "data": detail["example"]}).status == 202


def test_a_published_event_is_delivered(stack: Stack, admin: Client, store: str, until: Until) -> None:
    """202 gives the id under which the store's webhook gets the event."""
    path = f"e{os.urandom(3).hex()}"
    admin.post("/webhooks", {"url": stack.receiver.url(path), "event_types": ["order.paid"]})
    reply = admin.post("/events", {**PAID, "store_id": store})
    assert reply.status == 202
    until(lambda: [call for call in stack.receiver.calls if call[0] == f"/{path}"], what="the call")
    [call] = [call for call in stack.receiver.calls if call[0] == f"/{path}"]
    assert json.loads(call[2])["id"] == reply.json["id"]


def test_an_event_sent_again_is_one_event(stack: Stack, admin: Client, store: str) -> None:
    """Fifty requests at once with one Idempotency-Key, and fifty with one id, leave one event each, with one answer each."""
    again: list[int] = []
    with ThreadPoolExecutor(20) as pool:
        keyed = list(pool.map(lambda _: _published(admin, again, PAID, **{"Idempotency-Key": f"once-{store}"}), range(50)))
        named = list(pool.map(lambda _: _published(admin, again, {**PAID, "id": f"evt_{store}"}), range(50)))
    assert {(reply.status, reply.body) for reply in keyed} == {(202, keyed[0].body)}
    assert {(reply.status, reply.json["id"]) for reply in named} == {(202, f"evt_{store}")}
    found = _events(stack, store)
    assert set(found) == {keyed[0].json["id"], f"evt_{store}"}
    assert again or len(found) == 2  # only what was said to be uncertain may be there twice


def _published(admin: Client, again: list[int], body: dict[str, Any], **headers: str) -> Any:
    """Publish as a client should: what is told to come back (a busy machine) comes back with the same key; `again` notes it."""
    deadline = time.monotonic() + 60
    while (reply := admin.post("/events", body, **headers)).status == 503 and time.monotonic() < deadline:
        again.append(reply.status)
        time.sleep(1)
    return reply


def _events(stack: Stack, store: str) -> list[str]:
    """Return the ids of a store's events on Kafka."""
    config = load(KafkaConfig, stack.environ)
    registry = EmbeddedRegistry(config)
    registry.start()
    codec, topics = Codec(registry), Topics(config.topic_prefix)
    try:
        events = [codec.decode(message.value() or b"") for message in kafka.scan(config, topics.all_events())]
    finally:
        registry.stop()
    return [event.id for event in events if event.store_id == store]


def test_a_repeated_post_changes_nothing_again(admin: Client) -> None:
    """The same Idempotency-Key and body give the same answer, secret included, and say so; another body is a 409."""
    key = {"Idempotency-Key": os.urandom(8).hex()}
    first, again = admin.post("/webhooks", HOOK, **key), admin.post("/webhooks", HOOK, **key)
    assert (first.status, again.status, again.body) == (201, 201, first.body)
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert (again.headers["location"], again.headers["etag"]) == (first.headers["location"], first.headers["etag"])
    other = admin.post("/webhooks", {**HOOK, "name": "another"}, **key)
    assert (other.status, other.code) == (409, "idempotency_mismatch")
    assert len(admin.get("/webhooks").json["data"]) == 1


def test_an_idempotency_key_belongs_to_store_key_and_route(stack: Stack, admin: Client, store: str) -> None:
    """The same text used by another store, another API key or for another route is another one; a failure is not remembered."""
    key = {"Idempotency-Key": os.urandom(8).hex()}
    assert admin.post("/webhooks", {**HOOK, "event_types": ["order.nope"]}, **key).status == 422
    made = admin.post("/webhooks", HOOK, **key)
    assert made.status == 201
    by_operator = [stack.operator.post("/webhooks", HOOK, **key, **{"Hookline-Store": f"{store}{which}"}) for which in "ab"]
    assert [reply.status for reply in by_operator] == [201, 201]  # one caller, one path: the store alone tells them apart
    assert len({reply.json["id"] for reply in by_operator}) == 2
    assert stack.admin(f"z{os.urandom(4).hex()}").post("/webhooks", HOOK, **key).json["id"] != made.json["id"]
    assert stack.admin(store).post("/webhooks", HOOK, **key).status == 409
    assert admin.post(f"/webhooks/{made.json['id']}/pause", **key).json["state"] == "paused"


def test_a_key_is_shown_once_and_dies_at_once(stack: Stack, admin: Client, store: str) -> None:
    """Two keys live at once; each shows its text only when made; a revoked one is refused from the next request on."""
    first, second = (admin.post("/api-keys", {"scopes": ["hooks:read"], "name": name}).json for name in ("old", "new"))
    assert admin.get(f"/api-keys/{first['id']}").json == {name: value for name, value in first.items() if name != "key"}
    assert [stack.client(made["key"]).get("/webhooks").status for made in (first, second)] == [200, 200]
    assert admin.post(f"/api-keys/{first['id']}/revoke").json["state"] == "revoked"
    old = stack.client(first["key"])
    old.source = "127.66.0.1"
    assert (old.get("/webhooks").status, stack.client(second["key"]).get("/webhooks").status) == (401, 200)
    assert [key["id"] for key in admin.get("/api-keys?state=revoked").json["data"]] == [first["id"]]
    assert {key["store_id"] for key in admin.get("/api-keys").json["data"]} == {store}


def test_a_keys_last_use_is_told_to_the_hour(stack: Stack, admin: Client) -> None:
    """A key that was never used says null, a used one the hour of its use."""
    made = admin.post("/api-keys", {"scopes": ["hooks:read"], "expires_in_days": 30}).json
    assert (made["last_used_at"], made["expires_at"] > made["created_at"]) == (None, True)
    stack.client(made["key"]).get("/webhooks")
    used = admin.get(f"/api-keys/{made['id']}").json["last_used_at"]
    assert used.endswith(":00:00.000000Z")


def test_a_store_has_no_more_than_fifty_live_keys(admin: Client) -> None:
    """The fifty-first is refused until one is revoked."""
    made = [admin.post("/api-keys", {"scopes": ["hooks:read"]}) for _ in range(49)]
    assert {reply.status for reply in made} == {201}
    refused = admin.post("/api-keys", {"scopes": ["hooks:read"]})
    assert (refused.status, refused.code) == (422, "limit_exceeded")
    admin.post(f"/api-keys/{made[0].json['id']}/revoke")
    assert admin.post("/api-keys", {"scopes": ["hooks:read"]}).status == 201


def test_every_change_is_on_the_audit(admin: Client, store: str) -> None:
    """Who, what, how it looked before and after, from where: one entry per change, the newest first, in pages; reads leave none."""
    webhook = admin.post("/webhooks", HOOK).json["id"]
    admin.get(f"/webhooks/{webhook}")
    changed = admin.call("PATCH", f"/webhooks/{webhook}", {"name": "b"}, {"If-Match": "*"})
    admin.post(f"/webhooks/{webhook}/rotate-secret")
    admin.call("PATCH", f"/webhooks/{webhook}", {"name": "late"}, {"If-Match": '"1"'})
    admin.call("DELETE", f"/webhooks/{webhook}", headers={"If-Match": "*"})
    page = admin.get(f"/audit?target={webhook}&limit=3").json
    rest = admin.get(f"/audit?target={webhook}&limit=3&cursor={page['next_cursor']}").json
    entries = [*page["data"], *rest["data"]]
    assert [entry["action"] for entry in entries] == ["webhook.delete", "webhook.rotate-secret", "webhook.update", "webhook.create"]
    assert {(entry["store_id"], entry["target"], entry["address"]) for entry in entries} == {(store, webhook, "127.0.0.1")}
    assert {entry["actor"] for entry in entries} == {f"key:{admin.key.split('_')[1]}"}
    assert [entry["before"] for entry in entries] == [entries[1]["after"], entries[2]["after"], entries[3]["after"], ""]
    assert entries[0]["after"] == ""
    assert entries[2]["request_id"] == changed.headers["hookline-request"]
    assert [entry["action"] for entry in admin.get("/audit?action=webhook.update").json["data"]] == ["webhook.update"]


def test_what_changes_nothing_leaves_no_line_on_the_audit(admin: Client) -> None:
    """Resuming what is not paused, enabling what is enabled, and the second pause and disabling are no changes."""
    webhook = admin.post("/webhooks", HOOK).json["id"]
    for verb in ("resume", "enable", "pause", "pause", "resume", "disable", "disable"):
        assert admin.post(f"/webhooks/{webhook}/{verb}").status == 200
    entries = admin.get(f"/audit?target={webhook}").json["data"]
    assert [entry["action"] for entry in entries] == ["webhook.disable", "webhook.resume", "webhook.pause", "webhook.create"]


def test_a_disabling_by_410_is_on_the_audit(shop: Any, until: Until) -> None:
    """Once, by the dispatcher, under a name that says why."""
    webhook = shop.webhook(f"gone{os.urandom(3).hex()}", 410)
    shop.publish()
    until(lambda: len(shop.admin.get(f"/audit?target={webhook}").json["data"]) == 2, what="the second entry")
    newest = shop.admin.get(f"/audit?target={webhook}").json["data"][0]
    assert (newest["actor"], newest["action"], newest["store_id"]) == ("dispatcher", "webhook.disable-gone", shop.store)
    assert shop.admin.get(f"/webhooks/{webhook}").json["state_reason"] == "the receiver answered 410 Gone"


def test_the_operator_acts_for_any_store(stack: Stack, admin: Client, store: str) -> None:
    """Named by parameter or header a store is the operator's too; unnamed it is asked for; two names are refused."""
    webhook = admin.post("/webhooks", HOOK).json["id"]
    by_name = stack.operator.get(f"/webhooks/{webhook}?store={store}")
    assert by_name.json == stack.operator.get(f"/webhooks/{webhook}", **{"Hookline-Store": store}).json
    unnamed = stack.operator.get(f"/webhooks/{webhook}")
    assert (unnamed.status, unnamed.code, unnamed.json["field"]) == (422, "invalid", "store")
    assert stack.operator.get("/webhooks?store=a", **{"Hookline-Store": "b"}).status == 422
    assert stack.operator.get(f"/webhooks/{webhook}?store=another").status == 404
    assert store in {entry["store_id"] for entry in stack.operator.get("/audit?limit=1000").json["data"]}
    assert {entry["actor"] for entry in stack.operator.get(f"/audit?store={store}").json["data"]} >= {"operator"}


def test_stores_are_counted_for_the_operator(stack: Stack, admin: Client, store: str) -> None:
    """Each store that has something is listed once, with its webhooks by state and its live keys, over pages."""
    ids = [admin.post("/webhooks", {**HOOK, "url": f"http://127.0.0.1:9/{n}"}).json["id"] for n in range(3)]
    admin.post(f"/webhooks/{ids[0]}/pause")
    admin.post(f"/webhooks/{ids[1]}/disable")
    page = stack.operator.get("/stores?limit=2").json
    found = page["data"]
    while page["next_cursor"] is not None:
        page = stack.operator.get(f"/stores?limit=2&cursor={page['next_cursor']}").json
        found += page["data"]
    assert [one["id"] for one in found] == sorted({one["id"] for one in found})
    [mine] = [one for one in found if one["id"] == store]
    assert mine == {"id": store, "webhooks": 3, "enabled": 1, "paused": 1, "disabled": 1, "api_keys": 1}
