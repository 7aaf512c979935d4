"""Publish → deliver → record, on a real broker with real dispatcher processes and real HTTP."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.records import ErrorKind, Outcome, Trigger
from tests.calm import calmly

pytestmark = pytest.mark.kafka

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]
GIVEN = re.compile(r'^hookline_dispatcher_rebalances_total\{source="([^"]+)",what="given"\} (\S+)$', re.MULTILINE)


def at_work(pipeline: Pipeline, process: Any) -> bool:
    """Tell whether a dispatcher is ready and has partitions of all that it reads: events, replays and every retry tier."""
    wanted = {"events", "replays", *(f"retry.{tier}" for tier in pipeline.environ["HOOKLINE_RETRY_TIERS"].split(","))}
    given = {source for source, count in GIVEN.findall(pipeline.page(process, "/metrics")[1]) if float(count) > 0}
    return bool(pipeline.ready(process)) and wanted <= given


def test_every_event_type_is_delivered_signed_and_recorded(pipeline: Pipeline, until: Until) -> None:
    """Each of the 17 types reaches its webhook once, with a valid signature, and leaves one attempt."""
    webhook = pipeline.create("all", *EVENT_TYPES)
    pipeline.start_dispatcher()
    events = [event for name in EVENT_TYPES for event in pipeline.publish(name)]
    until(lambda: len(pipeline.receiver.of("all")) == len(events), what="one call per event")
    for call in pipeline.receiver.of("all"):
        pipeline.verify(call, webhook)
        assert call.headers["hookline-attempt"] == "1"
        assert call.headers["hookline-webhook"] == webhook.id
    bodies = {json.loads(call.body)["id"]: json.loads(call.body) for call in pipeline.receiver.of("all")}
    assert {(e.id, e.type, e.store_id) for e in events} == {(i, b["type"], b["store_id"]) for i, b in bodies.items()}
    until(lambda: len(pipeline.attempts()) == len(events), what="one attempt record per event")
    assert {(a.outcome, a.http_status, a.attempt) for a in pipeline.attempts()} == {(Outcome.DELIVERED, 200, 1)}


def test_retries_climb_the_schedule_with_one_id_and_fresh_signatures(pipeline: Pipeline, until: Until) -> None:
    """Two failures, then success: one webhook-id, three attempts, each signed anew, at the schedule's pace."""
    webhook = pipeline.create("flaky")
    pipeline.receiver.scripts["flaky"] = lambda call: web.Response(status=200 if call.number == 3 else 500)
    pipeline.start_dispatcher()
    pipeline.publish()
    until(lambda: len(pipeline.receiver.of("flaky")) == 3, what="three calls")
    calls = pipeline.receiver.of("flaky")
    assert len({call.id for call in calls}) == 1
    assert [call.headers["hookline-attempt"] for call in calls] == ["1", "2", "3"]
    assert calls[1].at - calls[0].at >= 0.3
    assert calls[2].at - calls[1].at >= 1.0
    for call in calls:
        pipeline.verify(call, webhook)
    until(lambda: len(pipeline.attempts()) == 3, what="three attempt records")
    assert [a.outcome for a in sorted(pipeline.attempts(), key=lambda a: a.attempt)] == [
        Outcome.RETRYING,
        Outcome.RETRYING,
        Outcome.DELIVERED,
    ]
    assert pipeline.letters() == []


def test_what_stays_undeliverable_is_a_dead_letter_and_can_be_replayed(pipeline: Pipeline, until: Until) -> None:
    """After the schedule's last attempt a dead letter waits; replayed to the mended receiver it arrives under its old id."""
    webhook = pipeline.create("down")
    pipeline.receiver.scripts["down"] = lambda _: web.Response(status=503, text="no")
    pipeline.start_dispatcher()
    [event] = pipeline.publish()
    until(pipeline.letters, what="a dead letter")
    [letter] = pipeline.letters()
    assert letter.letter.reason == "exhausted"
    assert letter.letter.waiting is not None
    assert (letter.letter.waiting.attempt, letter.letter.waiting.last_status) == (3, 503)
    assert pipeline.codec.decode(letter.value).id == event.id
    pipeline.receiver.scripts.clear()
    pipeline.replays().replay(letter, "job_1")
    until(lambda: len(pipeline.receiver.of("down")) == 4, what="the replayed call")
    assert len({call.id for call in pipeline.receiver.of("down")}) == 1
    pipeline.verify(pipeline.receiver.of("down")[-1], webhook)
    until(lambda: any(a.trigger is Trigger.REPLAY and a.outcome is Outcome.DELIVERED for a in pipeline.attempts()), what="its record")
    assert [found.replayed for found in pipeline.letters()] == [True]


def test_retry_after_is_kept(pipeline: Pipeline, until: Until) -> None:
    """A 429 with Retry-After 2 waits 2 s though the tier is 300 ms, and counts as one attempt only."""
    pipeline.create("busy")

    def answer(call: Any) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "2"}) if call.headers["hookline-attempt"] == "1" else web.Response()

    pipeline.receiver.scripts["busy"] = answer
    dispatcher = pipeline.start_dispatcher()
    until(lambda: at_work(pipeline, dispatcher), timeout_s=60, what="the dispatcher at work")

    def attempt() -> None:
        before = len(pipeline.receiver.of("busy"))
        pipeline.publish()
        until(lambda: len(pipeline.receiver.of("busy")) == before + 2, what="the second call")
        first, second = pipeline.receiver.of("busy")[before:]
        assert 1.9 <= second.at - first.at < 6
        assert [call.headers["hookline-attempt"] for call in (first, second)] == ["1", "2"]

    calmly(attempt)


def test_gone_disables_the_webhook(pipeline: Pipeline, until: Until) -> None:
    """410 disables: the delivery becomes a dead letter, later events are skipped with a record."""
    webhook = pipeline.create("gone")
    pipeline.receiver.scripts["gone"] = lambda _: web.Response(status=410)
    pipeline.start_dispatcher()
    pipeline.publish()
    until(lambda: pipeline.registry.get(webhook.id).state == "disabled", what="the webhook disabled")
    until(lambda: [found.letter.reason for found in pipeline.letters()] == ["gone"], what="a dead letter")
    time.sleep(0.1)
    pipeline.publish()
    until(
        lambda: any(a.outcome is Outcome.SKIPPED and a.error_kind is ErrorKind.DISABLED for a in pipeline.attempts()), what="a skip record"
    )
    assert len(pipeline.receiver.of("gone")) == 1


def test_a_paused_webhook_holds_its_deliveries(pipeline: Pipeline, until: Until) -> None:
    """Nothing is called while paused, the log says why once per delivery, and everything arrives after the resume."""
    webhook = pipeline.create("paused")
    pipeline.webhooks.pause(webhook.id)
    pipeline.start_dispatcher()
    pipeline.publish(count=5)
    until(lambda: sum(a.error_kind is ErrorKind.PAUSED for a in pipeline.attempts()) == 5, what="five records of the pause")
    time.sleep(1.5)
    assert pipeline.receiver.of("paused") == []
    pipeline.webhooks.resume(webhook.id)
    until(lambda: len({call.id for call in pipeline.receiver.of("paused")}) == 5, what="all five calls")
    assert sum(a.error_kind is ErrorKind.PAUSED for a in pipeline.attempts()) == 5


def test_a_deleted_webhook_gets_no_retry(pipeline: Pipeline, until: Until) -> None:
    """A retry whose webhook was deleted meanwhile is cancelled with a record, not called and not dead-lettered."""
    webhook = pipeline.create("deleted")
    pipeline.receiver.scripts["deleted"] = lambda _: web.Response(status=500)
    pipeline.start_dispatcher()
    pipeline.publish()
    until(lambda: pipeline.receiver.of("deleted"), what="the first call")
    pipeline.webhooks.delete(webhook.id)
    until(lambda: any(a.error_kind is ErrorKind.CANCELLED for a in pipeline.attempts()), what="the cancelled record")
    assert pipeline.letters() == []


def test_filters_choose_and_failing_ones_are_explained(pipeline: Pipeline, until: Until) -> None:
    """A filter that says no leaves nothing, one that fails leaves a record, one that says yes gets the event."""
    pipeline.create("yes", filter="type == 'order.created'")
    pipeline.create("no", filter="store_id == 'another'")
    pipeline.create("fails", filter="int(data.order.customer.email) == 1")
    pipeline.start_dispatcher()
    pipeline.publish()
    until(lambda: len(pipeline.attempts()) == 2, what="one delivery and one explained skip")
    assert len(pipeline.receiver.of("yes")) == 1
    assert pipeline.receiver.of("no") == pipeline.receiver.of("fails") == []
    assert {a.error_kind for a in pipeline.attempts() if a.outcome is Outcome.SKIPPED} == {ErrorKind.FILTER}


def test_a_webhook_created_before_the_event_always_gets_it(pipeline: Pipeline, until: Until) -> None:
    """Create, then publish at once, forty times: no dispatcher reads an event before it knows the webhook."""
    pipeline.start_dispatcher()
    pipeline.create("warm")
    pipeline.publish()
    until(lambda: pipeline.receiver.of("warm"), what="the dispatcher at work")
    types = list(EVENT_TYPES)
    for number in range(40):
        pipeline.create(f"new{number}", types[1 + number % 16])
        pipeline.publish(types[1 + number % 16])
    until(lambda: all(pipeline.receiver.of(f"new{n}") for n in range(40)), what="a call to each new webhook")


def test_poison_is_kept_as_raw_bytes_and_stops_nobody(pipeline: Pipeline, until: Until) -> None:
    """Undecodable records become dead letters with their bytes; the events around them are delivered."""
    pipeline.create("fine")
    pipeline.start_dispatcher()
    poison = [b"", b"\x01nonsense", b"\x00\x00\xff\xff\xff body", b"\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
    pipeline.publish()
    for value in poison:
        pipeline.produce_raw(value)
    pipeline.publish()
    until(lambda: len(pipeline.receiver.of("fine")) == 2, what="both good events")
    until(lambda: len(pipeline.letters()) == len(poison), what="a dead letter each")
    assert {found.value for found in pipeline.letters()} == set(poison)
    assert {found.letter.reason for found in pipeline.letters()} == {"poison"}


def test_a_test_send_is_tried_once_and_leaves_no_dead_letter(pipeline: Pipeline, until: Until) -> None:
    """A test reaches even a disabled webhook, is recorded as a test, and is not retried."""
    from hookline.kernel.clock import SystemClock
    from hookline.schemas.events import example_event

    webhook = pipeline.create("test")
    pipeline.webhooks.disable(webhook.id, "not live yet")
    pipeline.receiver.scripts["test"] = lambda _: web.Response(status=500, text="not yet")
    pipeline.start_dispatcher()
    pipeline.replays().test(pipeline.registry.get(webhook.id), example_event("order.paid", "shop", clock=SystemClock()))
    until(pipeline.attempts, what="the attempt's record")
    time.sleep(1)
    [attempt] = pipeline.attempts()
    assert (attempt.trigger, attempt.outcome, attempt.http_status, attempt.response_body) == (Trigger.TEST, Outcome.DEAD, 500, b"not yet")
    assert len(pipeline.receiver.of("test")) == 1
    assert pipeline.letters() == []


def test_a_rotated_secret_signs_with_both(pipeline: Pipeline, until: Until) -> None:
    """After a rotation the call carries two signatures: receivers with the old and with the new secret accept it."""
    webhook = pipeline.create("rotated")
    old = pipeline.secrets[webhook.id]
    new = pipeline.webhooks.rotate_secret(webhook.id)
    pipeline.start_dispatcher()
    pipeline.publish()
    until(lambda: pipeline.receiver.of("rotated"), what="the call")
    [call] = pipeline.receiver.of("rotated")
    assert len(call.headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        pipeline.secrets[webhook.id] = secret
        pipeline.verify(call, webhook)


def test_a_hanging_webhook_delays_no_other(pipeline: Pipeline, until: Until) -> None:
    """With one receiver that never answers, a healthy webhook of the same events gets all of them promptly."""
    pipeline.create("healthy")
    hanging = pipeline.create("hanging", timeout_s=30.0)
    pipeline.receiver.scripts["hanging"] = lambda _: web.Response(status=200)
    blackhole = __import__("socket").socket()
    blackhole.bind(("127.0.0.1", 0))
    blackhole.listen(1)
    pipeline.webhooks.update(hanging.id, {"url": f"http://127.0.0.1:{blackhole.getsockname()[1]}/"}, None)
    dispatcher = pipeline.start_dispatcher()
    until(lambda: at_work(pipeline, dispatcher), what="the dispatcher at work")
    pipeline.publish(count=150)
    until(lambda: len(pipeline.receiver.of("healthy")) == 150, timeout_s=20, what="all healthy calls, before one that hangs has ended")
    blackhole.close()
