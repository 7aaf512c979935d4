"""Retention that takes records before they were read: how many is counted, and the rest arrives."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from confluent_kafka import TopicPartition

from hookline.kernel import kafka
from hookline.schemas.events import Event
from hookline.webhooks.model import Webhook
from tests.integration.test_delivery import at_work

pytestmark = pytest.mark.kafka

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]


def take_away(pipeline: Pipeline, topic: str, left: int) -> None:
    """Delete all but the last records of each partition, as retention would."""
    consumer = kafka.plain_consumer(pipeline.config)
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ends = {number: kafka.watermarks(consumer, topic, number) for number in partitions}
    finally:
        consumer.close()
    cut = [TopicPartition(topic, number, max(low, high - left)) for number, (low, high) in ends.items() if high - left > low]
    assert cut
    admin = kafka.admin(pipeline.config)  # it must live until the answers are there
    for done in admin.delete_records(cut).values():
        done.result(30)


def missed(pipeline: Pipeline, process: Any, source: str) -> float:
    """Return how many records a dispatcher says that it missed."""
    lines = pipeline.page(process, "/metrics")[1].splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith(f'hookline_dispatcher_missed_records_total{{source="{source}"}}')
    )


def worked_and_left(pipeline: Pipeline, until: Until) -> tuple[Webhook, list[Event]]:
    """Have a dispatcher deliver five events and stop; return their webhook, and them."""
    webhook = pipeline.create("hook")
    first = pipeline.start_dispatcher()
    until(lambda: at_work(pipeline, first), what="the dispatcher at work")
    early = pipeline.publish(count=5)
    until(lambda: pipeline.account("hook", webhook, early).delivered == 5, what="the first ones")
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    return webhook, early


def test_events_that_are_gone_while_nobody_reads(pipeline: Pipeline, until: Until) -> None:
    """A dispatcher that comes back late says how many it missed; what is left is delivered."""
    webhook, early = worked_and_left(pipeline, until)
    late = pipeline.publish(count=30)
    take_away(pipeline, pipeline.topics.events("orders"), 2)
    second = pipeline.start_dispatcher()
    until(lambda: missed(pipeline, second, "events") > 0, what="the loss counted")
    late += pipeline.publish(count=1)
    until(lambda: pipeline.account("hook", webhook, late[-1:]).delivered == 1, what="a new one")
    assert missed(pipeline, second, "events") == len(pipeline.account("hook", webhook, early + late).lost) == 28
    assert '"event": "shares.records_gone"' in (pipeline.folder / "dispatcher.1.log").read_text()


def test_events_that_are_all_gone(pipeline: Pipeline, until: Until) -> None:
    """With none left to come the loss is counted all the same, once: the next dispatcher begins behind it."""
    webhook, _ = worked_and_left(pipeline, until)
    pipeline.publish(count=30)
    take_away(pipeline, pipeline.topics.events("orders"), 0)
    second = pipeline.start_dispatcher()
    until(lambda: missed(pipeline, second, "events") == 30, what="the loss counted")
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    third = pipeline.start_dispatcher()
    until(lambda: at_work(pipeline, third), what="the next dispatcher at work")
    late = pipeline.publish(count=5)
    until(lambda: pipeline.account("hook", webhook, late).delivered == 5, what="new ones")
    assert missed(pipeline, third, "events") == 0
    assert "offset reset (at offset" not in (pipeline.folder / "dispatcher.2.log").read_text()


def test_retries_that_are_gone_while_they_wait(pipeline: Pipeline, until: Until) -> None:
    """The same of a retry topic, in a dispatcher that runs all the time."""
    pipeline.environ |= {"HOOKLINE_RETRY_TIERS": "300ms,1s,3s,15s", "HOOKLINE_RETRY_SCHEDULE": "15s"}
    subprocess.run([sys.executable, "-m", "hookline.cli.main", "topics", "create"], env=pipeline.environ, check=True, capture_output=True)
    pipeline.create("down")
    pipeline.receiver.scripts["down"] = lambda call: web.Response(status=500 if call.headers["hookline-attempt"] == "1" else 200)
    process = pipeline.start_dispatcher()
    until(lambda: at_work(pipeline, process), what="the dispatcher at work")
    pipeline.publish(count=3)
    until(lambda: len(pipeline.attempts()) == 3, what="the first calls, whose retries are on Kafka with their records")
    take_away(pipeline, pipeline.topics.retry("15s"), 0)
    pipeline.publish(count=1)
    until(lambda: missed(pipeline, process, "retry.15s") == 3, what="the loss counted")
    until(lambda: len(pipeline.receiver.of("down")) == 5, what="the retry of the last")
