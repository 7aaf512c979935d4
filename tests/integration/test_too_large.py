"""An event that Kafka took compressed and takes no more as a retry: it ends as a dead letter, and what comes behind it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.schemas.events import Event, example_event
from hookline.schemas.records import ErrorKind, Outcome

pytestmark = [pytest.mark.kafka, pytest.mark.process]

SIZE = 3 * 1024 * 1024


def large_event() -> Event:
    """Return an event with a text of 3 MB, which compresses well."""
    event = example_event("order.created", "shop", clock=SystemClock())
    return replace(event, data={"order": {**event.data["order"], "note": "x" * SIZE}})


def test_a_retry_that_kafka_never_takes(pipeline: Any, until: Callable[..., None]) -> None:
    """One call, one cut letter as poison, an attempt that says why, and the offset goes on: no second call, not even after a restart."""
    webhook = pipeline.create("hook")
    pipeline.receiver.scripts["hook"] = lambda call: web.Response(status=500 if len(call.body) > SIZE else 200)
    large = pipeline.codec.encode(large_event())
    producer = kafka.producer(pipeline.config, compression_type="zstd", message_max_bytes=8 * 1024 * 1024)
    kafka.produce_sync(producer, pipeline.topics.events("orders"), key=b"shop:x", value=large)
    dispatcher = pipeline.start_dispatcher()
    until(pipeline.letters, what="the letter")
    [found] = pipeline.letters()
    assert (found.letter.reason, found.letter.waiting) == ("poison", None)
    assert found.letter.error == f"Kafka takes no retry of {len(large)} bytes"
    assert large.startswith(found.value)
    assert len(found.value) == len(large) // 2
    until(lambda: len(pipeline.attempts()) == 2, what="the records")
    outcomes = [(record.outcome, record.error_kind) for record in pipeline.attempts()]
    assert outcomes == [(Outcome.RETRYING, ErrorKind.HTTP_STATUS), (Outcome.DEAD, ErrorKind.POISON)]
    until(lambda: pipeline.metric(dispatcher, "hookline_dispatcher_pending_records") == 0, what="nothing pending")
    assert pipeline.ready(dispatcher)
    assert "ledger.too_large" in pipeline.log(dispatcher)
    dispatcher.terminate()
    assert dispatcher.wait(20) == 0
    pipeline.start_dispatcher()
    events = pipeline.publish(count=3)
    until(lambda: not pipeline.account("hook", webhook, events).lost, what="what came behind it")
    assert len(pipeline.receiver.calls) == 4
