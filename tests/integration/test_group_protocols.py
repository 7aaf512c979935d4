"""The two protocols in which consumers share a group: one after the other under load, and a cluster that has only the older one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError
from hookline.kernel.kafka import KafkaConfig
from hookline.local.jars import Told
from hookline.local.kafka_broker import EmbeddedBroker
from tests.integration.conftest import on_broker
from tests.integration.load import Load

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]
GIVEN = 'hookline_dispatcher_rebalances_total{source="events",what="given"}'


class ClassicBroker(EmbeddedBroker):
    """A broker as one before 4.0 is to its groups."""

    def prepare(self, told: Told = lambda _: None) -> list[str]:
        """Format the folder as ever, then take the newer protocols out of the configuration."""
        command = super().prepare(told)
        with Path(command[-1]).open("a") as properties:
            properties.write("group.coordinator.rebalance.protocols=classic\n")
        return command


@pytest.fixture
def classic(tmp_path: Path, kafka_environ: dict[str, str]) -> Iterator[Pipeline]:
    """Give a pipeline on a cluster that has only the classic protocol."""
    broker = ClassicBroker(tmp_path / "broker")
    try:
        broker.start()
        with on_broker(broker, kafka_environ, tmp_path) as made:
            yield made
    finally:
        broker.stop()


@pytest.mark.parametrize(("before", "after"), [("classic", "consumer"), ("consumer", "classic")])
def test_the_protocol_is_changed_while_events_flow(pipeline: Pipeline, until: Until, before: str, after: str) -> None:
    """One dispatcher after the other is started with the other protocol: nothing is lost, hardly anything comes twice."""
    webhook = pipeline.create("hook")
    old = pipeline.start_dispatcher(HOOKLINE_GROUP_PROTOCOL=before)
    until(lambda: pipeline.metric(old, GIVEN) > 0, what="the first at work")
    with Load(pipeline) as load_:
        load_.run_for(1.0)
        new = pipeline.start_dispatcher(HOOKLINE_GROUP_PROTOCOL=after)
        until(lambda: pipeline.metric(new, GIVEN) > 0, what="both share the work, each in its protocol")
        load_.run_for(1.0)
        old.send_signal(signal.SIGTERM)
        assert old.wait(40) == 0
        last = pipeline.start_dispatcher(HOOKLINE_GROUP_PROTOCOL=after)
        until(lambda: pipeline.metric(last, GIVEN) > 0, what="the second of the new protocol at work")
        load_.run_for(1.0)
    until(lambda: not pipeline.account("hook", webhook, load_.events).lost, timeout_s=60, what="every event delivered")
    account = pipeline.account("hook", webhook, load_.events)
    assert account.delivered == len(load_.events) > 200
    assert account.duplicates <= len(load_.events) // 20


def test_a_cluster_of_the_classic_protocol_is_told_of(classic: Pipeline, until: Until) -> None:
    """A dispatcher with the newer one ends, and says which setting is wrong; with that setting it works."""
    wrong = classic.start_dispatcher()
    assert wrong.wait(60) != 0
    assert "HOOKLINE_GROUP_PROTOCOL=classic" in (classic.folder / "dispatcher.0.log").read_text()
    webhook, events = classic.create("hook"), classic.publish(count=20)
    classic.start_dispatcher(HOOKLINE_GROUP_PROTOCOL="classic")
    until(lambda: not classic.account("hook", webhook, events).lost, timeout_s=60, what="every event delivered")


def read_on(consumer: Consumer) -> None:
    """Read for half a minute."""
    for _ in range(60):
        kafka.fetch(consumer, 10, 0.5)


def test_a_consumer_that_is_refused_for_good_says_so(classic: Pipeline) -> None:
    """It would read nothing any more without a word."""
    consumer = kafka.group_consumer(load(KafkaConfig, classic.environ), "refused", protocol="consumer")
    consumer.subscribe(["t"])
    try:
        with pytest.raises(BrokerError) as refused:
            read_on(consumer)
    finally:
        consumer.close()
    assert "HOOKLINE_GROUP_PROTOCOL=classic" in refused.value.remedy
