"""Replays over the API, on the real process: counted, run at a pace, cancelled, killed half way and gone on with."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Shop = Any
Mortal = Any
Client = Any
Until = Any
LETTERS: dict[str, Any] = {"source": "dead_letters"}


def path() -> str:
    """Return a path of the receiver that no other test uses."""
    return f"r{os.urandom(4).hex()}"


def calls(shop: Any, webhook: str) -> Counter[str]:
    """Return how often each delivery of a webhook was called."""
    return Counter(call[1]["webhook-id"] for call in shop.receiver.calls if call[1]["hookline-webhook"] == webhook)


def made(client: Client, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """Return a new replay."""
    reply = client.post("/replays", body, **headers)
    assert reply.status == 201, reply
    found: dict[str, Any] = reply.json
    return found


def finished(client: Client, until: Until, replay: str) -> dict[str, Any]:
    """Wait until a replay is finished, and return it."""
    until(lambda: client.get(f"/replays/{replay}").json["finished_at"], what="the end of the replay")
    found: dict[str, Any] = client.get(f"/replays/{replay}").json
    return found


@dataclass
class Broken:
    """A webhook that has `count` dead letters, and whose receiver is mended since."""

    shop: Shop
    webhook: str
    where: str
    count: int


@pytest.fixture(name="broken")
def broken_fixture(shop: Shop, until: Until) -> Callable[[int], Broken]:
    """Give tests a way to such a webhook."""

    def broken(count: int) -> Broken:
        where = path()
        webhook = shop.webhook(where, 404)
        for _ in range(count):
            shop.publish()
        query = f"/dead-letters/count?webhook={webhook}"
        until(lambda: shop.admin.get(query).json["total"] == count, what="the letters")
        shop.logged(count, f"webhook={webhook}&outcome=dead")
        shop.stack.receiver.answers[f"/{where}"] = (200, b"mended")
        return Broken(shop, webhook, where, count)

    return broken


# ---- what a replay is ----


def test_a_dry_run_only_counts(broken: Any) -> None:
    """It tells how many, for which webhooks, and how long it would take; nothing is called and no job is there."""
    it = broken(3)
    reply = it.shop.admin.post("/replays", {**LETTERS, "rate": 2, "max": 2, "dry_run": True})
    assert reply.status == 200
    found = reply.json
    assert (found["id"], found["state"], found["matching"], found["total"], found["takes_s"]) == (None, "preview", 3, 2, 1.0)
    assert found["webhooks"] == [{"webhook_id": it.webhook, "count": 3, "state": "enabled"}]
    assert it.shop.admin.get("/replays").json["data"] == []
    assert it.shop.admin.get("/audit?action=replay.create").json["data"] == []
    log = it.shop.admin.post("/replays", {"source": "log", "filter": {"outcome": "dead"}, "dry_run": True}).json
    assert (log["matching"], log["webhooks"]) == (3, found["webhooks"])


def test_dead_letters_are_delivered_after_all(broken: Any, until: Until) -> None:
    """Each goes out once more with the id it had; job, letters, log and audit tell the same of it; then nothing is left to replay."""
    it = broken(3)
    admin = it.shop.admin
    before = calls(it.shop.stack, it.webhook)
    replay = made(admin, {**LETTERS, "filter": {"webhook": it.webhook, "reason": "exhausted"}})
    end = finished(admin, until, replay["id"])
    assert (end["state"], end["total"], end["done"], end["skipped"], end["failed"]) == ("done", 3, 3, 0, 0)
    until(lambda: admin.get(f"/replays/{replay['id']}").json["outcomes"] == {"delivered": 3}, what="the outcomes")
    assert calls(it.shop.stack, it.webhook) == {delivery: count + 1 for delivery, count in before.items()}
    lines = it.shop.lines(f"job={replay['id']}")
    assert {(line["id"], line["trigger"], line["outcome"]) for line in lines} == {(d, "replay", "delivered") for d in before}
    letters = admin.get("/dead-letters?replayed=true").json["data"]
    assert {(letter["replay_id"], letter["replayed_at"] is not None) for letter in letters} == {(replay["id"], True)}
    assert admin.post("/replays", {**LETTERS, "dry_run": True}).json["matching"] == 0
    [entry] = admin.get(f"/audit?target={replay['id']}").json["data"]
    assert (entry["action"], entry["actor"]) == ("replay.create", end["created_by"])


def test_letters_of_one_delivery_are_told_from_deliveries(broken: Any, until: Until) -> None:
    """A replay that failed too leaves a second letter of each delivery: the next one counts six letters, and three deliveries that end."""
    it = broken(3)
    admin, answers = it.shop.admin, it.shop.stack.receiver.answers
    answers[f"/{it.where}"] = (404, b"not yet")
    first = finished(admin, until, made(admin, LETTERS)["id"])
    until(lambda: admin.get("/dead-letters/count").json["total"] == 6, what="the letters of the replay")
    answers[f"/{it.where}"] = (200, b"mended")
    again = finished(admin, until, made(admin, {**LETTERS, "filter": {"again": True}})["id"])
    assert [(one["done"], one["deliveries"]) for one in (first, again)] == [(3, 3), (6, 3)]
    until(lambda: admin.get(f"/replays/{again['id']}").json["outcomes"] == {"delivered": 3}, what="the outcomes")


def test_letters_can_be_replayed_again_and_one_by_one(broken: Any, until: Until) -> None:
    """Those that were replayed are left out unless they are asked for; some can be named."""
    it = broken(3)
    admin = it.shop.admin
    ids = [letter["id"] for letter in admin.get("/dead-letters").json["data"]]
    first = finished(admin, until, made(admin, {**LETTERS, "filter": {"ids": ids[:1]}})["id"])
    rest = finished(admin, until, made(admin, LETTERS)["id"])
    again = finished(admin, until, made(admin, {**LETTERS, "filter": {"again": True}})["id"])
    assert [one["done"] for one in (first, rest, again)] == [1, 2, 3]
    assert [one["matching"] for one in (first, rest, again)] == [1, 2, 3]
    foreign = finished(admin, until, made(admin, {**LETTERS, "filter": {"ids": [f"{ids[0].split(':')[0]}x:0:1"]}})["id"])
    assert (foreign["done"], foreign["total"]) == (0, 0)


def test_the_log_is_made_again_by_where_deliveries_stand(broken: Any, until: Until) -> None:
    """What the list shows for a filter is what goes out, each once; test calls are left out."""
    it = broken(3)
    admin = it.shop.admin
    assert admin.post(f"/webhooks/{it.webhook}/test").status == 200
    it.shop.logged(1, "trigger=test")
    found = finished(admin, until, made(admin, {"source": "log", "filter": {"webhook": it.webhook, "status": "4xx"}})["id"])
    assert (found["total"], found["done"], found["state"]) == (3, 3, "done")
    until(lambda: admin.get(f"/replays/{found['id']}").json["outcomes"] == {"delivered": 3}, what="the outcomes")
    assert it.shop.lines(f"webhook={it.webhook}&status=4xx") == []
    assert admin.post("/replays", {"source": "log", "filter": {"webhook": it.webhook}, "dry_run": True}).json["matching"] == 3


def test_a_replay_keeps_its_pace_and_its_maximum(broken: Any, until: Until) -> None:
    """Four of five at two a second take a second and a half at least."""
    it = broken(5)
    found = finished(it.shop.admin, until, made(it.shop.admin, {**LETTERS, "rate": 2, "max": 4})["id"])
    assert (found["matching"], found["total"], found["done"], found["state"]) == (5, 4, 4, "done")
    took = datetime.fromisoformat(found["finished_at"]) - datetime.fromisoformat(found["started_at"])
    assert took.total_seconds() >= 3 / 2 - 0.2
    until(lambda: it.shop.admin.get("/dead-letters/count?replayed=false").json["total"] == 1, what="the one that is left")


def test_a_replay_that_is_cancelled_ends(broken: Any, until: Until) -> None:
    """The rest stays where it is; cancelling twice changes nothing, and what is done cannot be cancelled."""
    it = broken(4)
    admin = it.shop.admin
    replay = made(admin, {**LETTERS, "rate": 0.1})["id"]
    until(lambda: admin.get(f"/replays/{replay}").json["done"] == 1 or calls(it.shop.stack, it.webhook).total() > 12, what="the first")
    reply = admin.post(f"/replays/{replay}/cancel")
    assert (reply.status, reply.json["state"] in {"cancelling", "cancelled"}) == (200, True)
    found = finished(admin, until, replay)
    assert (found["state"], found["done"]) == ("cancelled", 1)
    assert admin.post(f"/replays/{replay}/cancel").json["state"] == "cancelled"
    until(lambda: admin.get("/dead-letters/count?replayed=false").json["total"] == 3, what="the three that are left")
    assert [one["id"] for one in admin.get("/replays?state=cancelled").json["data"]] == [replay]
    done = finished(admin, until, made(admin, {**LETTERS, "filter": {"event": "evt_none"}})["id"])["id"]
    late = admin.post(f"/replays/{done}/cancel")
    assert (late.status, late.code) == (409, "conflict")


def test_what_no_webhook_would_take_is_left_alone(broken: Any, until: Until) -> None:
    """Letters of a webhook that is disabled or deleted are skipped, not given up a second time; the preview says so before."""
    it = broken(2)
    admin = it.shop.admin
    admin.post(f"/webhooks/{it.webhook}/disable")
    assert admin.post("/replays", {**LETTERS, "dry_run": True}).json["webhooks"][0]["state"] == "disabled"
    found = finished(admin, until, made(admin, LETTERS)["id"])
    assert (found["state"], found["done"], found["skipped"]) == ("done", 0, 2)
    admin.call("DELETE", f"/webhooks/{it.webhook}", headers={"If-Match": "*"})
    preview = made(admin, {**LETTERS, "filter": {"webhook": it.webhook}})
    assert preview["webhooks"][0]["state"] == "deleted"
    assert finished(admin, until, preview["id"])["skipped"] == 2
    assert admin.get("/dead-letters/count?replayed=false").json["total"] == 2


def test_a_paused_webhook_holds_what_is_replayed(broken: Any, until: Until) -> None:
    """Explain says that it is held; resumed, it is delivered."""
    it = broken(1)
    admin = it.shop.admin
    event = admin.get("/dead-letters").json["data"][0]["event_id"]
    admin.post(f"/webhooks/{it.webhook}/pause")
    finished(admin, until, made(admin, LETTERS)["id"])
    explain = f"/webhooks/{it.webhook}/explain?event={event}"
    until(lambda: admin.get(explain).json["verdict"] == "paused", what="the hold")
    admin.post(f"/webhooks/{it.webhook}/resume")
    until(lambda: admin.get(explain).json["verdict"] == "delivered", what="the delivery")


def test_a_request_that_is_sent_again_makes_one_job(broken: Any, until: Until) -> None:
    """The same key and body give the same job; another body with that key is refused; another key makes another job."""
    it = broken(1)
    admin, key = it.shop.admin, {"Idempotency-Key": f"k{os.urandom(4).hex()}"}
    first = made(admin, {**LETTERS, "rate": 5}, **key)
    assert made(admin, {**LETTERS, "rate": 5}, **key)["id"] == first["id"]
    other = admin.post("/replays", {**LETTERS, "rate": 6}, **key)
    assert (other.status, other.code) == (409, "idempotency_mismatch")
    assert finished(admin, until, first["id"])["done"] == 1
    assert made(admin, LETTERS, **{"Idempotency-Key": "another"})["id"] != first["id"]
    assert len(admin.get("/replays").json["data"]) == 2


def test_a_store_has_few_unfinished_replays(broken: Any, until: Until) -> None:
    """The sixth is over the limit, until one of the five has ended."""
    it = broken(3)
    admin = it.shop.admin
    slow = {"source": "dead_letters", "filter": {"again": True}, "rate": 0.1}  # twenty seconds for three
    ids = [made(admin, {**slow, "max": 100 + number})["id"] for number in range(5)]
    sixth = admin.post("/replays", slow)
    assert (sixth.status, sixth.code) == (422, "limit_exceeded")
    for one in ids:
        admin.post(f"/replays/{one}/cancel")
        finished(admin, until, one)
    last = admin.post("/replays", slow)
    assert last.status == 201
    admin.post(f"/replays/{last.json['id']}/cancel")


def test_another_stores_replays_are_not_there(broken: Any, stack: Stack, until: Until) -> None:
    """Not in the list, not by id; nobody's letters are replayed by another store's key."""
    it = broken(1)
    replay = made(it.shop.admin, {**LETTERS, "filter": {"event": "evt_none"}})["id"]
    stranger = stack.admin(f"x{os.urandom(4).hex()}")
    assert stranger.get("/replays").json["data"] == []
    for reply in (stranger.get(f"/replays/{replay}"), stranger.post(f"/replays/{replay}/cancel")):
        assert (reply.status, reply.code) == (404, "not_found")
    place = it.shop.admin.get("/dead-letters").json["data"][0]["id"]
    theirs = finished(stranger, until, made(stranger, {**LETTERS, "filter": {"ids": [place]}})["id"])
    assert (theirs["total"], theirs["done"]) == (0, 0)
    named = stranger.post("/replays", {**LETTERS, "filter": {"ids": [place], "webhook": it.webhook}})
    assert (named.status, named.json["field"]) == (422, "filter.webhook")
    assert it.shop.admin.get("/dead-letters/count?replayed=true").json["total"] == 0


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "source"), ({"source": "queue"}, "source"), ({**LETTERS, "rate": 0}, "rate"), ({**LETTERS, "rate": 1_001}, "rate"),
    ({**LETTERS, "rate": "5"}, "rate"), ({**LETTERS, "max": 0}, "max"), ({**LETTERS, "max": 100_001}, "max"),
    ({**LETTERS, "max": 1.5}, "max"),
    ({**LETTERS, "dry_run": "yes"}, "dry_run"), ({**LETTERS, "store": "x"}, "store"), ({**LETTERS, "filter": []}, "filter"),
    ({**LETTERS, "filter": {"nope": 1}}, "filter.nope"), ({**LETTERS, "filter": {"since": "2026-01-01T00:00:00Z"}}, "filter.since"),
    ({**LETTERS, "filter": {"reason": "tired"}}, "filter.reason"), ({**LETTERS, "filter": {"webhook": "' OR 1=1"}}, "filter.webhook"),
    ({**LETTERS, "filter": {"ids": []}}, "filter.ids"), ({**LETTERS, "filter": {"ids": ["x"]}}, "filter.ids[0]"),
    ({**LETTERS, "filter": {"ids": ["a:1:2"] * 101}}, "filter.ids"), ({**LETTERS, "filter": {"status": "404"}}, "filter.status"),
    ({**LETTERS, "filter": {"from": "2026-11-23T14:00:00Z", "to": "2026-11-23T13:00:00Z"}}, "from"),
    ({"source": "log"}, "filter"), ({"source": "log", "filter": {}}, "filter"),
    ({"source": "log", "filter": {"reason": "gone"}}, "filter.reason"),
    ({**LETTERS, "filter": {"webhook": "wh_nowhere"}}, "filter.webhook"),
    ({"source": "log", "filter": {"webhook": "wh_nowhere"}, "dry_run": True}, "filter.webhook"),
    ({"source": "log", "filter": {"status": "60"}}, "filter.status"),
    ({"source": "log", "filter": {"from": "2026-01-01T00:00:00Z"}}, "from"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_a_wrong_wish_names_what_is_wrong(shop: Shop, body: dict[str, Any], field: str) -> None:
    """Nothing is counted and no job is made."""
    reply = shop.admin.post("/replays", body)
    assert (reply.status, reply.code, reply.json["field"]) == (422, "invalid", field)


def test_an_unknown_event_type_in_a_filter(shop: Shop) -> None:
    """It is told with its own code, as everywhere."""
    reply = shop.admin.post("/replays", {**LETTERS, "filter": {"event_type": "order.exploded"}})
    assert (reply.status, reply.code, reply.json["field"]) == (422, "unknown_event_type", "filter.event_type")
