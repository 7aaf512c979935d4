"""An erasure reaches what waits on Kafka: retries under way end without another call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from hookline.analytics.subjects import Subjects, subject
from hookline.kernel import kafka
from hookline.schemas.erasures import Erasure, following
from hookline.schemas.records import ErrorKind, Outcome

pytestmark = pytest.mark.kafka

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]


def erase(pipeline: Pipeline, event: Any) -> None:
    """Write an erasure as `hookline privacy erase` does."""
    with following(pipeline.config, pipeline.topics, pipeline.codec) as erasures:
        erasures.write([Erasure(store_id=event.store_id, event_id=event.id, erased_at_us=time.time_ns() // 1_000)])


def test_a_retry_of_an_erased_event_is_not_sent(pipeline: Pipeline, until: Until) -> None:
    """It ends with a `cancelled` record where the next attempt was due; another event of the same webhook goes its way."""
    pipeline.create("down")
    pipeline.receiver.scripts["down"] = lambda _: web.Response(status=503)
    pipeline.start_dispatcher(HOOKLINE_RETRY_SCHEDULE="3s,300ms")
    erased, other = pipeline.publish(count=2)
    until(lambda: len(pipeline.receiver.of("down")) == 2, what="the first attempts")
    erase(pipeline, erased)
    until(lambda: len(pipeline.letters()) == 1, what="the other one's dead letter")
    records = {(a.event_id, a.attempt, a.outcome, a.error_kind) for a in pipeline.attempts()}
    assert {record[1:] for record in records if record[0] == erased.id} == {
        (1, Outcome.RETRYING, ErrorKind.HTTP_STATUS),
        (0, Outcome.SKIPPED, ErrorKind.CANCELLED),
    }
    assert sorted(record[1] for record in records if record[0] == other.id) == [1, 2, 3]
    assert sum(erased.id.encode() in call.body for call in pipeline.receiver.of("down")) == 1
    assert [pipeline.codec.decode(letter.value).id for letter in pipeline.letters()] == [other.id]


def test_what_was_erased_before_a_dispatcher_started_is_not_sent(pipeline: Pipeline, until: Until) -> None:
    """A dispatcher knows every erasure before its first call: not even an event that nobody took up yet goes out."""
    pipeline.create("up")
    erased, other = pipeline.publish(count=2)
    erase(pipeline, erased)
    pipeline.start_dispatcher()
    until(lambda: len(pipeline.attempts()) == 2, what="a record each")
    assert {a.event_id: a.error_detail for a in pipeline.attempts()} == {erased.id: "the event was erased", other.id: ""}
    assert all(other.id.encode() in call.body for call in pipeline.receiver.of("up"))


def test_what_cannot_be_read_and_may_be_about_a_person_is_named(pipeline: Pipeline, until: Until) -> None:
    """Poison, its dead letter, and what the sink refused: each by its place, without an event; what does not hold the value is not."""
    config, topics = pipeline.config, pipeline.topics
    pipeline.start_dispatcher()
    for value in (b"no event of ann@example.com", b"no event of bob@example.com"):
        pipeline.produce_raw(value)
        kafka.produce_sync(kafka.producer(config), topics.attempts_rejected, key=b"x", value=value)
    until(lambda: len(pipeline.letters()) == 2, what="two dead letters")
    subjects = Subjects(config, topics, pipeline.codec, ("300ms", "1s", "3s"))
    whom = subject("shop", "customer.email", "ann@example.com")
    hits = [hit for topic in subjects.topics for hit in subjects.find(whom, topic)]
    assert {hit.event_id for hit in hits} == {""}
    assert [hit.topic for hit in hits] == [topics.events("orders"), topics.dead_letters("orders"), topics.attempts_rejected]
    for hit in hits:
        topic, partition, offset = hit.place.rsplit(":", 2)
        [message] = [m for m in kafka.scan(config, [topic]) if (m.partition(), m.offset()) == (int(partition), int(offset))]
        assert message.value() == b"no event of ann@example.com"
