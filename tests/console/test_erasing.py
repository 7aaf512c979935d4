"""A person is erased while everything runs: found by a path, counted first, then neither shown nor sent by anybody, and on the audit."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.topics import Topics

pytestmark = [pytest.mark.kafka, pytest.mark.process, pytest.mark.clickhouse]

Stack = Any  # the fixtures' classes stand in conftest.py
Shop = Any
Until = Any


def port_of_queries(stack: Stack) -> int:
    """Return where the console serves the named queries."""
    lines = (json.loads(line) for line in stack.log.read_text().splitlines() if line.startswith("{"))
    return int(next(line["port"] for line in lines if line["event"] == "queries.listening"))


def hookline(stack: Stack, *words: str) -> tuple[int, Any]:
    """Run a command beside the console; return its status and what it said in JSON."""
    environ = {**stack.environ, "HOOKLINE_QUERY_URL": f"http://127.0.0.1:{port_of_queries(stack)}"}
    run = subprocess.run(
        [sys.executable, "-m", "hookline.cli.main", *words, "--json"], env=environ, capture_output=True, timeout=120, check=False
    )
    return run.returncode, json.loads(run.stdout) if run.stdout else run.stderr.decode()


def order(email: str) -> dict[str, Any]:
    """Return an order's data with another customer."""
    data: dict[str, Any] = json.loads(json.dumps(EVENT_TYPES["order.created"].example))
    data["order"]["customer"]["email"] = email
    return data


def test_a_person_is_erased(shop: Shop, until: Until) -> None:
    """Views, events, dead letters, resends and replays know the person no more; others' are untouched; a second run finds nothing new."""
    stack, admin = shop.stack, shop.admin
    path, ann = f"e{os.urandom(4).hex()}", f"ann.{os.urandom(4).hex()}@example.com"
    shop.webhook(path, 500)
    stack.receiver.answers[f"/{path}"] = (500, b"no such customer")
    events = [admin.post("/events", {"type": "order.created", "data": order(email)}).json["id"] for email in (ann, ann, "bob@example.com")]
    shop.logged(9)
    until(lambda: len(admin.get("/dead-letters").json["data"]) == 3, what="three dead letters")
    offset = refused_by_the_sink(stack, ann)
    wanted = ("privacy", "erase", "--store", shop.store, "--path", "customer.email", "--value", ann)
    status, counted = hookline(stack, *wanted, "--dry-run")
    assert [place.split(".", 1)[1] for place in counted["unreadable"]] == [f"attempts.rejected:0:{offset}"]
    assert (status, counted["events"], counted["new"], counted["erased"], counted["rows_with_answers"]) == (0, 2, 2, 0, 6)
    assert {topic.split(".", 1)[1] for topic in counted["records_by_topic"]} >= {"events.orders", "dead-letters.orders", "retry.300ms"}
    assert ann in admin.get(f"/events/{events[0]}").json["body"]

    status, done = hookline(stack, *wanted, "--yes")
    assert (status, done["erased"], done["rows_left"]) == (0, 2, 0), done
    gone_from_views(shop, ann, events)
    nothing_is_sent_again(shop, events, until)
    assert hookline(stack, *wanted, "--yes")[1]["erased"] == 0
    entries = [entry for entry in admin.get("/audit").json["data"] if entry["action"] == "privacy.erase"]
    assert [(entry["request_id"], entry["target"], entry["actor"]) for entry in entries][-1] == (
        done["request_id"],
        "customer.email: 2 events",
        "command-line",
    )
    assert ann not in json.dumps(entries)


def refused_by_the_sink(stack: Stack, ann: str) -> int:
    """Put a record that names the person where the sink puts what it cannot read; return its offset."""
    config = load(kafka.KafkaConfig, stack.environ)
    topic = Topics(config.topic_prefix).attempts_rejected
    return kafka.produce_sync(kafka.producer(config), topic, key=b"x", value=f"no attempt: {ann}".encode())


def gone_from_views(shop: Shop, ann: str, events: list[str]) -> None:
    """Look at everything that shows payloads or answers: the person is nowhere, the other one still there."""
    admin = shop.admin
    rows = shop.lines("each=attempt")
    assert len(rows) == 9
    for row in rows:
        detail = admin.get(f"/deliveries/{row['id']}")
        assert detail.status == 200
        assert ann.encode() not in detail.body
        assert (b"[erased]" in detail.body) is (row["event_id"] in events[:2])
        assert (b"no such customer" in detail.body) is (row["event_id"] == events[2])
        assert (b"bob@example.com" in detail.body) is (row["event_id"] == events[2])
    for kind in ("csv", "ndjson"):
        assert ann.encode() not in admin.get(f"/deliveries/export?format={kind}").body
    for letter in admin.get("/dead-letters").json["data"]:
        shown = admin.get(f"/dead-letters/{letter['id']}")
        assert ann.encode() not in shown.body
        assert (b"was erased" in shown.body) is (letter["event_id"] in events[:2])
        assert ann.encode() not in base64.b64decode(shown.json["raw_base64"])
        assert bool(shown.json["raw_base64"]) is (letter["event_id"] == events[2])
    found = [admin.get(f"/events/{event_id}").json["body"] for event_id in events]
    assert found[:2] == [None, None]
    assert "bob@example.com" in found[2]
    status, shown = hookline(shop.stack, "log", "show", rows[0]["id"], "--store", shop.store)
    assert status == 0
    assert ann not in json.dumps(shown)


def nothing_is_sent_again(shop: Shop, events: list[str], until: Until) -> None:
    """Resend by hand: refused. Replay all: the other one only."""
    admin, receiver = shop.admin, shop.stack.receiver
    for row in {row["event_id"]: row for row in shop.lines()}.values():
        answer = admin.post(f"/deliveries/{row['id']}/resend")
        assert answer.status == (404 if row["event_id"] in events[:2] else 202), answer
    until(lambda: len(admin.get("/dead-letters").json["data"]) >= 4, what="the resent one's dead letter")
    before = len(receiver.calls)
    job = admin.post("/replays", {"source": "dead_letters"}).json["id"]
    until(lambda: admin.get(f"/replays/{job}").json["state"] == "done", what="the replay")
    until(lambda: len(receiver.calls) > before, what="the other one's call")
    assert {json.loads(body)["id"] for _, _, body in receiver.calls[before:]} == {events[2]}
