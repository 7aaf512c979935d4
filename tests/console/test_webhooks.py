"""Webhooks over the API, on the real process: made, read, changed, switched, rotated, tried, deleted."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Client = Any
Until = Any


def wanted(stack: Stack, path: str = "hooks", **more: Any) -> dict[str, Any]:
    """Return the body of a webhook that calls the receiver."""
    return {"url": stack.receiver.url(path), "event_types": ["order.created"], **more}


def made(stack: Stack, client: Client, path: str = "hooks", **more: Any) -> dict[str, Any]:
    """Return a new webhook."""
    reply = client.post("/webhooks", wanted(stack, path, **more))
    assert reply.status == 201, reply
    found: dict[str, Any] = reply.json
    return found


def test_a_new_webhook_shows_its_secret_once(stack: Stack, admin: Client, store: str) -> None:
    """The answer to the creation names the place, the version and the secret; reading it again shows no secret and no header's value."""
    reply = admin.post("/webhooks", wanted(stack, headers={"X-Token": "s3cret"}, name="Büro"))
    assert reply.status == 201
    found = reply.json
    assert reply.headers["location"] == f"/api/v1/webhooks/{found['id']}"
    assert reply.headers["etag"] == '"1"'
    assert found["secret"].startswith("whsec_")
    again = admin.get(f"/webhooks/{found['id']}")
    assert (again.status, again.headers["etag"]) == (200, '"1"')
    assert {**again.json, "secret": found["secret"]} == found
    assert (again.json["store_id"], again.json["headers"], again.json["name"]) == (store, {"x-token": "********"}, "Büro")


def test_a_known_version_is_not_sent_again(stack: Stack, admin: Client) -> None:
    """If-None-Match with the current ETag answers 304 without a body; with another one the webhook."""
    webhook = made(stack, admin)
    same = admin.get(f"/webhooks/{webhook['id']}", **{"If-None-Match": 'W/"1"'})
    assert (same.status, same.body) == (304, b"")
    assert admin.get(f"/webhooks/{webhook['id']}", **{"If-None-Match": '"7"'}).status == 200


def test_a_change_names_the_version_it_was_made_from(stack: Stack, admin: Client) -> None:
    """PATCH without If-Match is 428, with an old version 412, with the current one it works and gives the next version."""
    path = f"/webhooks/{made(stack, admin)['id']}"
    assert admin.call("PATCH", path, {"name": "a"}).status == 428
    first = admin.call("PATCH", path, {"name": "a"}, {"If-Match": '"1"'})
    assert (first.status, first.json["name"], first.headers["etag"]) == (200, "a", '"2"')
    late = admin.call("PATCH", path, {"name": "b"}, {"If-Match": '"1"'})
    assert (late.status, late.code) == (412, "version_stale")
    assert admin.call("PATCH", path, {"name": "b"}, {"If-Match": 'W/"2"'}).status == 412
    assert admin.call("PATCH", path, {"name": "b"}, {"If-Match": '"9", "2"'}).json["name"] == "b"


def test_of_many_writers_one_wins(stack: Stack, admin: Client) -> None:
    """Of 40 changes at once from the same version one is made; the others are told so, and none is lost silently."""
    path = f"/webhooks/{made(stack, admin)['id']}"
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda n: admin.call("PATCH", path, {"name": f"n{n}"}, {"If-Match": '"1"'}), range(40)))
    assert sorted({reply.status for reply in replies}) == [200, 412]
    [winner] = [reply for reply in replies if reply.status == 200]
    assert admin.get(path).json == winner.json
    assert winner.json["version"] == 2


def test_a_masked_header_cannot_be_written_back(stack: Stack, admin: Client) -> None:
    """A client that reads, edits and writes the whole webhook does not replace a password by asterisks."""
    webhook = made(stack, admin, headers={"x-token": "s3cret"})
    path, match = f"/webhooks/{webhook['id']}", {"If-Match": "*"}
    reply = admin.call("PATCH", path, {"headers": webhook["headers"]}, match)
    assert (reply.status, reply.code, reply.json["field"]) == (422, "invalid", "headers")
    assert admin.call("PATCH", path, {"headers": {}}, match).json["headers"] == {}


def test_null_keeps_the_value_of_a_header(stack: Stack, admin: Client, store: str) -> None:
    """Headers are replaced whole, and a password that nobody can read goes on being sent; one that is not there cannot be kept."""
    webhook = made(stack, admin, f"{store}/kept", headers={"X-Token": "s3cret", "X-Old": "old"})
    path, match = f"/webhooks/{webhook['id']}", {"If-Match": "*"}
    reply = admin.call("PATCH", path, {"headers": {"X-TOKEN": None, "X-New": "new"}}, match)
    assert reply.json["headers"] == {"x-token": "********", "x-new": "********"}
    assert admin.post(f"{path}/test", {}).json["outcome"] == "delivered"
    [headers] = [headers for called, headers, _ in stack.receiver.calls if called == f"/{store}/kept"]
    assert (headers["x-token"], headers["x-new"], "x-old" in headers) == ("s3cret", "new", False)
    for wrong, field in (({"x-old": None}, "headers.x-old"), ({"x-token": None, "X-Token": "b"}, "headers.x-token")):
        reply = admin.call("PATCH", path, {"headers": wrong}, match)
        assert (reply.status, reply.code, reply.json["field"]) == (422, "invalid", field)
    assert admin.post("/webhooks", wanted(stack, f"{store}/new", headers={"x-token": None})).status == 422


def test_states_and_their_order(stack: Stack, admin: Client) -> None:
    """Pause and resume, disable with a reason and enable; a disabled one is not paused; doing it twice changes nothing."""
    path = f"/webhooks/{made(stack, admin)['id']}"
    assert admin.post(f"{path}/pause").json["state"] == "paused"
    paused_twice = admin.post(f"{path}/pause")
    assert (paused_twice.json["state"], paused_twice.headers["etag"]) == ("paused", '"2"')
    assert admin.post(f"{path}/resume").json["state"] == "enabled"
    disabled = admin.post(f"{path}/disable", {"reason": "moving house"})
    assert (disabled.json["state"], disabled.json["state_reason"]) == ("disabled", "moving house")
    refused = admin.post(f"{path}/pause")
    assert (refused.status, refused.code) == (409, "conflict")
    assert admin.post(f"{path}/enable").json["state"] == "enabled"


@pytest.mark.parametrize("verb", ["pause", "resume", "disable", "enable", "rotate-secret"])
def test_a_stale_if_match_changes_no_state(admin: Client, stack: Stack, verb: str) -> None:
    """The header may be left out; where it is given it must fit, also when the webhook is already as it is wished."""
    path = f"/webhooks/{made(stack, admin)['id']}"
    admin.call("PATCH", path, {"name": "changed"}, {"If-Match": '"1"'})
    late = admin.post(f"{path}/{verb}", **{"If-Match": '"1"'})
    assert (late.status, late.code, late.json["field"]) == (412, "version_stale", "If-Match")
    assert admin.get(path).json["version"] == 2
    fitting = admin.post(f"{path}/{verb}", **{"If-Match": '"2"'})
    assert (fitting.status, fitting.headers["etag"]) == (200, '"2"' if verb in {"resume", "enable"} else '"3"')


def test_a_secret_is_replaced_with_an_overlap(stack: Stack, admin: Client) -> None:
    """Rotation shows the new secret and until when the old one signs too; an overlap of 0 ends the old ones at once."""
    webhook = made(stack, admin)
    rotated = admin.post(f"/webhooks/{webhook['id']}/rotate-secret", {"overlap_s": 3600}).json
    assert rotated["secret"] != webhook["secret"]
    assert rotated["old_secret_signs_until"] == admin.get(f"/webhooks/{webhook['id']}").json["old_secret_signs_until"]
    at_once = admin.post(f"/webhooks/{webhook['id']}/rotate-secret", {"overlap_s": 0}).json
    assert at_once["old_secret_signs_until"] is None


def test_a_deleted_webhook_is_gone(stack: Stack, admin: Client) -> None:
    """DELETE needs the version, answers 204 without a body, and after it the webhook is found nowhere."""
    webhook = made(stack, admin)
    path = f"/webhooks/{webhook['id']}"
    assert admin.call("DELETE", path).status == 428
    assert admin.call("DELETE", path, headers={"If-Match": '"5"'}).status == 412
    deleted = admin.call("DELETE", path, headers={"If-Match": '"1"'})
    assert (deleted.status, deleted.body) == (204, b"")
    assert admin.get(path).status == 404
    assert admin.get("/webhooks").json["data"] == []


def test_lists_come_in_pages_that_new_things_do_not_disturb(stack: Stack, admin: Client) -> None:
    """Three pages of two give every webhook once, in order, though one is made meanwhile; filters choose."""
    ids = [made(stack, admin, f"p{n}")["id"] for n in range(5)]
    first = admin.get("/webhooks?limit=2").json
    late = made(stack, admin, "late")["id"]
    second = admin.get(f"/webhooks?limit=2&cursor={first['next_cursor']}").json
    third = admin.get(f"/webhooks?limit=1000&cursor={second['next_cursor']}").json
    assert [w["id"] for page in (first, second, third) for w in page["data"]] == [*ids, late]
    assert third["next_cursor"] is None
    admin.post(f"/webhooks/{late}/pause")
    assert [w["id"] for w in admin.get("/webhooks?state=paused").json["data"]] == [late]
    assert admin.get("/webhooks?event_type=order.paid").json["data"] == []


def test_the_same_url_twice_and_too_many_are_refused(stack: Stack, admin: Client) -> None:
    """A second webhook of the same type and URL is 409; the eleventh of a type is over the limit."""
    for number in range(10):
        made(stack, admin, f"l{number}")
    twin = admin.post("/webhooks", wanted(stack, "l0"))
    assert (twin.status, twin.code, twin.json["field"]) == (409, "conflict", "url")
    eleventh = admin.post("/webhooks", wanted(stack, "l10"))
    assert (eleventh.status, eleventh.code) == (422, "limit_exceeded")


def test_a_test_call_brings_the_receivers_answer(stack: Stack, admin: Client) -> None:
    """The receiver gets one signed call with the example, or with the data given; what it says comes back."""
    path = f"t{os.urandom(3).hex()}"
    webhook = made(stack, admin, path, headers={"x-token": "s3cret"})
    stack.receiver.answers[f"/{path}"] = (201, b"well received")
    reply = admin.post(f"/webhooks/{webhook['id']}/test")
    assert reply.status == 200, reply
    found = reply.json
    assert (found["outcome"], found["http_status"], found["response_body"]) == ("delivered", 201, "well received")
    assert (found["event_type"], found["error"], found["response_body_cut"]) == ("order.created", None, False)
    assert "s3cret" not in found["request_headers"]
    [call] = [call for call in stack.receiver.calls if call[0] == f"/{path}"]
    assert call[1]["webhook-id"] == found["delivery_id"]
    assert call[1]["x-token"] == "s3cret"
    Verifier(webhook["secret"]).verify(call[2], call[1])


def test_what_may_be_erased_later_is_not_remembered(stack: Stack, admin: Client) -> None:
    """A test call with the Idempotency-Key of another calls again: the former answer may name a person who was erased since."""
    path, key = f"t{os.urandom(3).hex()}", {"Idempotency-Key": os.urandom(8).hex()}
    webhook = made(stack, admin, path)
    for said in ("ann@example.com", "nobody"):
        stack.receiver.answers[f"/{path}"] = (200, said.encode())
        reply = admin.post(f"/webhooks/{webhook['id']}/test", **key)
        assert (reply.json["response_body"], reply.headers.get("idempotency-replayed")) == (said, None)
    tried = {"template": "slack", "event_types": ["order.paid"]}
    replies = [admin.post("/templates/try", body, **key) for body in (tried, {**tried, "template": "discord"})]
    assert [(reply.status, reply.headers.get("idempotency-replayed")) for reply in replies] == [(200, None)] * 2


def test_a_test_call_that_fails_is_no_error_of_the_request(stack: Stack, admin: Client) -> None:
    """A receiver that says 500 is told with its status and words; own data must fit their type."""
    path = f"t{os.urandom(3).hex()}"
    stack.receiver.answers[f"/{path}"] = (500, b"<b>down</b>")
    webhook = made(stack, admin, path)
    data = {**admin.get("/event-types/order.paid").json["example"], "nope": 1}
    wrong = admin.post(f"/webhooks/{webhook['id']}/test", {"event_type": "order.paid", "data": data})
    assert (wrong.status, wrong.json["field"]) == (422, "data.nope")
    found = admin.post(f"/webhooks/{webhook['id']}/test", {"event_type": "order.paid"}).json
    assert (found["outcome"], found["http_status"], found["response_body"]) == ("dead", 500, "<b>down</b>")
    [call] = [call for call in stack.receiver.calls if call[0] == f"/{path}"]
    assert json.loads(call[2])["type"] == "order.paid"


def test_another_stores_webhook_is_not_there(stack: Stack, admin: Client) -> None:
    """Every way to another store's webhook answers 404, as if there were none."""
    webhook = made(stack, admin)
    stranger = stack.admin(f"x{os.urandom(4).hex()}")
    path, match = f"/webhooks/{webhook['id']}", {"If-Match": "*"}
    replies = [
        stranger.get(path),
        stranger.call("PATCH", path, {"name": "mine"}, match),
        stranger.call("DELETE", path, headers=match),
        *(stranger.post(f"{path}/{verb}") for verb in ("enable", "disable", "pause", "resume", "rotate-secret", "test")),
    ]
    assert {(reply.status, reply.code) for reply in replies} == {(404, "not_found")}
    assert stranger.get("/webhooks").json["data"] == []
    assert admin.get(path).json["version"] == 1


@pytest.mark.parametrize(
    ("kinds", "written"),
    [
        (["order.created"], "data.order.number"),
        (["order.created", "customer.created"], "type == 'order.created' ? data.order.number != '' : 1"),
        (["order.created", "order.paid"], "data.order.nmber == '1'"),
        (["order.created"], "data.order.number ="),
    ],
    ids=["no condition", "no condition for one type", "misspelt for every type", "no CEL"],
)
def test_a_filter_is_refused_alike_when_made_and_when_changed(stack: Stack, admin: Client, kinds: list[str], written: str) -> None:
    """By a creation, by a change of the filter, and by a change of the types that it must fit: the same words."""
    refused = admin.post("/webhooks", wanted(stack, event_types=kinds, filter=written))
    assert (refused.status, refused.json["code"], refused.json["field"]) == (422, "filter_invalid", "filter")
    webhook = made(stack, admin, event_types=kinds)
    path, version = f"/webhooks/{webhook['id']}", {"If-Match": "*"}
    changed = admin.call("PATCH", path, {"filter": written}, version)
    assert (changed.status, changed.json) == (422, refused.json)
    both = admin.call("PATCH", path, {"filter": written, "event_types": kinds[::-1]}, version)
    assert (both.status, both.json["code"]) == (422, "filter_invalid")


def test_types_that_a_filter_does_not_fit_are_refused(stack: Stack, admin: Client) -> None:
    """A webhook whose filter was right for its types does not get one for which it says neither yes nor no."""
    webhook = made(stack, admin, filter="type == 'order.created' ? true : data.customer.email")
    changed = admin.call("PATCH", f"/webhooks/{webhook['id']}", {"event_types": ["order.created", "customer.created"]}, {"If-Match": "*"})
    assert (changed.status, changed.json["code"]) == (422, "filter_invalid")
    assert "customer.created" in changed.json["detail"]
