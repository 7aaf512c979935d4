"""Replay jobs outlive their console: killed half way they go on, each delivery once; one console at a time runs them."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from confluent_kafka import KafkaError, KafkaException

from hookline.console.jobs_lead import Lead
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Mortal = Any
Client = Any
Until = Any


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


# ---- killed half way ----


def _dead(mortal: Mortal, store: str, count: int, until: Until) -> tuple[Client, str, str]:
    """Have a store's webhook give up on some events; return an admin's client, the webhook and its receiver's path."""
    made_key = mortal.operator.post(f"/api-keys?store={store}", {"scopes": ["admin"]})
    admin = replace(mortal.operator, key=made_key.json["key"])
    where = path()
    mortal.receiver.answers[f"/{where}"] = (404, b"no")
    webhook = admin.post("/webhooks", {"url": mortal.receiver.url(where), "event_types": ["order.paid"]}).json["id"]
    data = admin.get("/event-types/order.paid").json["example"]
    for _ in range(count):
        assert admin.post("/events", {"type": "order.paid", "data": data}).status == 202
    dead = "/deliveries?outcome=dead&limit=1000"
    until(lambda: admin.get("/dead-letters/count").json.get("total") == count and len(admin.get(dead).json["data"]) == count, 90)
    mortal.receiver.answers[f"/{where}"] = (200, b"mended")
    return admin, webhook, where


def _replayed(mortal: Mortal) -> Counter[tuple[str, str]]:
    """Return how often each delivery stands on the replays topic, by job."""
    config = load(KafkaConfig, mortal.environ)
    headers = [kafka.headers_of(m) for m in kafka.scan(config, [Topics(config.topic_prefix).replays])]
    return Counter((h["hookline-job-id"].decode(), h["hookline-delivery-id"].decode()) for h in headers)


def test_a_console_that_is_killed_half_way_doubles_nothing(mortal: Mortal, until: Until) -> None:
    """Two jobs, of letters and of the log, are killed with the console, twice: started again it goes on with both, each delivery once.

    The request that made a job, sent again with its key after the restart, still makes no second one.
    """
    count, key = 40, {"Idempotency-Key": "only-once"}
    letters_admin, letters_webhook, _ = _dead(mortal, "letters", count, until)
    log_admin, log_webhook, _ = _dead(mortal, "log", count, until)
    wish = {"source": "dead_letters", "rate": 4}
    jobs = {
        made(letters_admin, wish, **key)["id"]: (letters_admin, letters_webhook),
        made(log_admin, {"source": "log", "filter": {"outcome": "dead"}, "rate": 4})["id"]: (log_admin, log_webhook),
    }
    for share in (8, 20):
        until(lambda share=share: sum(_replayed(mortal).values()) >= 2 * share, what="half of it")
        mortal.kill()
        assert sum(_replayed(mortal).values()) < 2 * count
        mortal.start()
        for admin, _ in jobs.values():
            admin.port = mortal.port
        assert made(letters_admin, wish, **key)["id"] in jobs
    for job, (admin, webhook) in jobs.items():
        found = finished(admin, until, job)
        assert (found["state"], found["done"], found["failed"]) == ("done", count, 0)
        until(lambda: len(calls(mortal, webhook)) == count and set(calls(mortal, webhook).values()) == {4}, what="the calls")  # noqa: B023  # asked at once
    assert set(_replayed(mortal).values()) == {1}
    assert Counter(job for job, _ in _replayed(mortal)) == dict.fromkeys(jobs, count)


# ---- who runs jobs ----


def test_a_lead_whose_client_is_lost_leads_again(stack: Stack, kafka_environ: dict[str, str], until: Until) -> None:
    """Another client joins in its place, in a later term; until then this console does not lead."""
    config = replace(load(KafkaConfig, {**kafka_environ, "HOOKLINE_SESSION_TIMEOUT_MS": "6000"}), topic_prefix=f"l{os.urandom(4).hex()}")
    lead = Lead(config, replace(Topics(config.topic_prefix), prefix=stack.environ["HOOKLINE_TOPIC_PREFIX"]))

    def leads() -> bool:
        lead.poll()
        return lead.leading

    lead.start()
    until(leads, what="the lead")
    term = lead.term
    lead._loss._note()
    assert not leads()
    until(leads, what="the lead again")
    assert lead.term == term + 1
    lead.stop()


def test_a_lead_that_cannot_be_renewed_now_is_renewed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """`poll` raises nothing, and tries again."""
    clients: list[Mock] = []

    def make(*_: object, **__: object) -> Mock:
        if len(clients) == 1:
            clients.append(Mock())
            raise KafkaException(KafkaError(KafkaError._FAIL))
        clients.append(Mock())
        return clients[-1]

    monkeypatch.setattr(kafka, "group_consumer", make)
    lead = Lead(load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": "nowhere:1"}), Topics("x"))
    lead.start()
    lead._loss._note()
    lead.poll()
    assert lead._consumer is clients[0]
    lead.poll()
    assert lead._consumer is clients[2]
    assert clients[0].close.called


def test_one_console_leads_and_another_takes_over(stack: Stack, kafka_environ: dict[str, str], until: Until) -> None:
    """Of two members one may run jobs; when it leaves, the other may; one that is not polled loses the lead by itself."""
    config = replace(load(KafkaConfig, {**kafka_environ, "HOOKLINE_SESSION_TIMEOUT_MS": "6000"}), topic_prefix=f"l{os.urandom(4).hex()}")
    topics = replace(Topics(config.topic_prefix), prefix=stack.environ["HOOKLINE_TOPIC_PREFIX"])
    first, second = Lead(config, topics), Lead(config, topics)
    polling = {first: True, second: True}

    def poll() -> None:
        while polling:
            for lead in [lead for lead, wanted in list(polling.items()) if wanted]:
                lead.poll()
            time.sleep(0.01)

    first.start()
    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        until(lambda: first.leading, what="the first leads")
        second.start()
        until(lambda: first.leading or second.leading)
        assert not (first.leading and second.leading)
        leader, other = (first, second) if first.leading else (second, first)
        term = other.term
        polling[leader] = False
        until(lambda: not leader.leading, what="a lead that is not proven runs out")
        leader.stop()
        until(lambda: other.leading, what="the other takes over")
        assert other.term > term
    finally:
        polling.clear()
        thread.join(10)
        first.stop()
        second.stop()
