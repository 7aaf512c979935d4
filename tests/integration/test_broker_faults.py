"""Brokers that stop and are killed, topics that are missing, poison: nothing is lost, and the dispatcher says what is wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError
from hookline.local.kafka_broker import EmbeddedBroker
from hookline.schemas.events import Event, example_event
from hookline.schemas.topics import TopicsConfig, create, specs
from tests.integration.conftest import on_broker
from tests.integration.load import Load
from tests.integration.nameless import BehindDoor, Door
from tests.losing import LOSING

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]


def committed(pipeline: Pipeline, topic: str, partitions: int) -> dict[int, int]:
    """Return what the group of fresh events has committed, by partition; partitions without a commit are left out."""
    consumer = kafka.group_consumer(pipeline.config, "dispatch")
    try:
        found = consumer.committed([TopicPartition(topic, number) for number in range(partitions)], timeout=10)
        return {place.partition: place.offset for place in found if place.offset >= 0}
    finally:
        consumer.close()


def ready_again(pipeline: Pipeline, process: Any, timeout_s: float = 60.0) -> None:
    """Wait until a dispatcher is ready; fail with what it complains of when it is not in time."""
    deadline = time.monotonic() + timeout_s
    while not pipeline.ready(process):
        if time.monotonic() > deadline:
            pytest.fail(f"not ready in {timeout_s:g} s: {pipeline.page(process, '/readyz')}, Kafka at {pipeline.config.bootstrap_servers}")
        time.sleep(0.1)


def published(pipeline: Pipeline, events: list[Event]) -> bool:
    """Publish, and tell whether Kafka has all: the test's own client may be lost too, and be replaced."""
    try:
        pipeline.publisher.publish_many(events, timeout_s=5)
    except BrokerError:
        return False
    return True


@pytest.fixture
def behind_door(kafka_environ: dict[str, str], tmp_path: Path) -> Iterator[tuple[Door, Pipeline]]:
    """Yield a pipeline without dispatchers, on a broker of its own, and the door in front of that."""
    door = Door()
    broker = BehindDoor(tmp_path / "broker", door)
    broker.start()
    with on_broker(broker, kafka_environ, tmp_path) as pipeline:
        yield door, pipeline
    broker.stop()
    door.close()


@pytest.mark.timeout(400)
def test_a_cluster_that_names_nobody_for_a_moment(behind_door: tuple[Door, Pipeline], until: Until) -> None:
    """Clients that are lost by that, for good in librdkafka, are replaced: the process goes on, and every event of later arrives."""
    door, pipeline = behind_door
    webhook = pipeline.create("hook")
    dispatcher = pipeline.start_dispatcher(**LOSING)
    until(lambda: pipeline.ready(dispatcher), what="the dispatcher ready")
    events = pipeline.publish(count=20)
    until(lambda: not pipeline.account("hook", webhook, events).lost, what="the events of before")
    until(lambda: len(pipeline.attempts()) == 20 and not pipeline.metric(dispatcher, "hookline_dispatcher_pending_records"), what="peace")
    for _ in range(20):
        for door.shut in (True, False):
            door.drop()
            time.sleep(1)
        if pipeline.log(dispatcher).count("kafka.client_lost") > 2:
            break
    assert door.asked > 5
    later = [example_event("order.created", "shop", clock=SystemClock()) for _ in range(100)]
    until(lambda: published(pipeline, later), timeout_s=150, what="the events taken by Kafka")
    until(lambda: not pipeline.account("hook", webhook, later).lost, timeout_s=90, what="the events of after")
    assert dispatcher.poll() is None


def test_a_broker_that_stops_and_is_killed(own_broker: EmbeddedBroker, own_pipeline: Pipeline, until: Until) -> None:
    """While the broker is away `/readyz` says so and the process lives; when it is back, work goes on, and nothing is lost."""
    pipeline = own_pipeline
    webhook = pipeline.create("hook")
    dispatcher = pipeline.start_dispatcher()
    until(lambda: pipeline.ready(dispatcher), what="the dispatcher ready")
    with Load(pipeline, per_s=100) as load:
        until(lambda: pipeline.receiver.calls, what="calls")
        for stop in (own_broker.stop, own_broker.kill):
            stop()
            away = f"Kafka at {own_broker.bootstrap_servers} has not answered for"
            until(lambda: away in pipeline.page(dispatcher, "/readyz")[1], what="the complaint")  # noqa: B023  # asked at once
            status, text = pipeline.page(dispatcher, "/readyz")
            assert (status, json.loads(text)["broker"].startswith(away)) == (503, True)
            assert pipeline.page(dispatcher, "/healthz")[0] == 200
            own_broker.start()
            ready_again(pipeline, dispatcher)
            before = len(load.events)
            until(lambda least=before: len(load.events) > least, what="publishing again")
    until(lambda: not pipeline.account("hook", webhook, load.events).lost, timeout_s=60, what="every confirmed event delivered")
    account = pipeline.account("hook", webhook, load.events)
    assert account.delivered == len(load.events) >= 30
    assert account.duplicates <= len(load.events)  # what was called and not yet committed as the broker went, twice
    assert dispatcher.poll() is None
    until(lambda: pipeline.metric(dispatcher, "hookline_dispatcher_pending_records") == 0, what="nothing pending")


def test_a_missing_retry_topic_holds_the_offset(pipeline: Pipeline, until: Until) -> None:
    """A retry that cannot be written is no loss: the offset stays, `/readyz` names the topic, and all goes on once it is made."""
    webhook = pipeline.create("hook")
    pipeline.receiver.scripts["hook"] = lambda call: web.Response(status=500 if call.number == 1 else 200)
    admin = AdminClient({"bootstrap.servers": pipeline.config.bootstrap_servers})
    topic = pipeline.topics.retry("300ms")
    admin.delete_topics([topic])[topic].result(30)
    dispatcher = pipeline.start_dispatcher()
    until(lambda: pipeline.page(dispatcher, "/readyz")[0] != 0, what="the dispatcher's own port")
    events = pipeline.publish(count=3)
    until(lambda: "Kafka refuses" in pipeline.page(dispatcher, "/readyz")[1], what="the complaint")
    for _ in range(5):  # it stays as long as its cause does
        status, text = pipeline.page(dispatcher, "/readyz")
        assert status == 503
        assert topic in json.loads(text)["settling"]
        time.sleep(0.2)
    assert set(committed(pipeline, pipeline.topics.events("orders"), 3).values()) <= {0}
    create(pipeline.config, specs(pipeline.topics, load(TopicsConfig, pipeline.environ)), 1)
    until(lambda: len([call for call in pipeline.receiver.calls if call.number == 2]) == 3, what="the retries")
    assert not pipeline.account("hook", webhook, events).lost
    until(lambda: pipeline.ready(dispatcher), what="ready again")
    until(lambda: sum(committed(pipeline, pipeline.topics.events("orders"), 3).values()) == 3, what="the offsets committed")
    assert pipeline.letters() == []


def test_a_flood_of_poison_holds_its_partition(pipeline: Pipeline, until: Until) -> None:
    """A bad deploy empties no topic: after the limit the partition is held, loudly, and the others are worked on."""
    pipeline.environ["HOOKLINE_POISON_LIMIT"] = "5"
    webhook = pipeline.create("hook", "product.changed")
    dispatcher = pipeline.start_dispatcher()
    producer = kafka.producer(pipeline.config)
    topic = pipeline.topics.events("orders")
    for number in range(40):
        producer.produce(topic, key=b"shop:x", value=b"\x01bad deploy %d" % number, partition=1)
    assert producer.flush(30) == 0
    until(lambda: "held after too many undecodable records" in pipeline.page(dispatcher, "/readyz")[1], what="the complaint")
    assert f"{topic}[1]" in pipeline.page(dispatcher, "/readyz")[1]
    events = pipeline.publish("product.changed", 20)
    until(lambda: not pipeline.account("hook", webhook, events).lost, what="the others' deliveries")
    assert len(pipeline.letters()) == 5
    until(lambda: pipeline.metric(dispatcher, "hookline_dispatcher_held_partitions") == 1, what="the metric")
    until(lambda: committed(pipeline, topic, 3).get(1) == 5, what="the offset behind the last letter")
    assert pipeline.page(dispatcher, "/healthz")[0] == 200


def test_a_record_that_kills_is_buried_after_three_deaths(pipeline: Pipeline, until: Until) -> None:
    """A record that was in hand at three deaths of a dispatcher becomes a dead letter; the one behind it is delivered."""
    webhook = pipeline.create("hook")
    topic = pipeline.topics.events("orders")
    folder = pipeline.folder / "decoding"
    folder.mkdir()
    (folder / "deaths.json").write_text(json.dumps({f"{topic}:0:0": 2}))
    (folder / "decoding.0").write_bytes(f"{topic}:0:0".encode().ljust(512, b"\0"))  # the third, a moment ago
    producer = kafka.producer(pipeline.config)
    events = [example_event("order.created", "shop", clock=SystemClock()) for _ in range(2)]
    for event in events:
        producer.produce(topic, key=b"shop:x", value=pipeline.codec.encode(event), partition=0)
    assert producer.flush(30) == 0
    pipeline.start_dispatcher()
    until(lambda: not pipeline.account("hook", webhook, events[1:]).lost, what="the second one's delivery")
    until(pipeline.letters, what="the letter")
    [letter] = pipeline.letters()
    assert (letter.letter.reason, letter.letter.original.offset) == ("poison", 0)
    assert "three times" in letter.letter.error
    assert pipeline.codec.decode(letter.value) == events[0]


def test_all_metrics_are_there(pipeline: Pipeline, until: Until) -> None:
    """Everything that the architecture names is on `/metrics` of a dispatcher that has worked a little."""
    pipeline.create("hook")
    pipeline.receiver.scripts["hook"] = lambda call: web.Response(status=500 if call.number == 1 else 200)
    dispatcher = pipeline.start_dispatcher()
    pipeline.publish(count=3)
    until(lambda: pipeline.metric(dispatcher, "hookline_dispatcher_attempts_total") >= 6, what="calls and retries")
    wanted = (
        "attempts_total",
        "clock_ahead_seconds",
        "dead_letters_total",
        "events_total",
        "faults_total",
        "held_partitions",
        "in_flight",
        "lag_records",
        "lanes",
        "loop_stall_seconds_count",
        "parked_total",
        "pending_bytes",
        "pending_records",
        "produce_retries_total",
        "queue_wait_seconds_count",
        "queued_deliveries",
        "rebalances_total",
        "received_seconds_count",
        "registry_age_seconds",
        "response_seconds_count",
        "tier_depth_records",
        "tier_due_seconds",
        "webhooks",
    )
    until(lambda: pipeline.metric(dispatcher, "hookline_dispatcher_webhooks") == 1, what="the gauges")
    until(lambda: "hookline_dispatcher_tier_due_seconds{" in pipeline.page(dispatcher, "/metrics")[1], what="the soundings")
    text = pipeline.page(dispatcher, "/metrics")[1]
    assert [name for name in wanted if f"# TYPE hookline_dispatcher_{name.removesuffix('_count')}" not in text] == []
    assert pipeline.metric(dispatcher, "hookline_dispatcher_attempts_total") == 6
    assert pipeline.metric(dispatcher, "hookline_dispatcher_registry_age_seconds") < 30
    for secret in ("whsec_", "127.0.0.1", "shop"):
        assert secret not in text
