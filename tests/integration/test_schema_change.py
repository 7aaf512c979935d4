"""Schemas that change while events flow: builds of different age beside each other, on the real broker, with real dispatchers."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import fastavro
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.local.kafka_broker import free_port
from hookline.schemas import catalogue, wire
from hookline.schemas.events import new_event_id, normalise
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.wire import Codec

pytestmark = [pytest.mark.kafka, pytest.mark.process]

TYPE = "newsletter.signed_up"
KIND = catalogue.EVENT_TYPES[TYPE]
TOPIC_OF_SCHEMAS = "_schemas"

NEWER_BUILD = """
import sys
from hookline.schemas import files

of_this_build = files.event_schema

def event_schema(category, name):
    schema = of_this_build(category, name)
    if name == "newsletter.signed_up":
        data = next(field["type"] for field in schema["fields"] if field["name"] == "data")
        data["fields"].append({"name": "referral", "type": ["null", "string"], "default": None})
    return schema

files.event_schema = event_schema
from hookline.cli.main import main
sys.argv = ["hookline", "dispatch"]
main()
"""


def changed(change: Callable[[list[dict[str, Any]]], object]) -> dict[str, Any]:
    """Return the schema of the type as another build has it: `change` gets the fields of its data."""
    schema = deepcopy(dict(KIND.schema))
    change(next(field["type"]["fields"] for field in schema["fields"] if field["name"] == "data"))
    return schema


NEWER = changed(lambda fields: fields.append({"name": "referral", "type": ["null", "string"], "default": None}))
OLDER = changed(lambda fields: fields.pop())  # before there was a coupon_code


@dataclass(frozen=True, slots=True)
class OtherBuild:
    """A publisher of another build: it has its own schema and nothing of this build's code."""

    producer: Producer
    topic: str
    number: int
    schema: dict[str, Any]
    data: dict[str, Any]

    def publish(self, count: int) -> list[str]:
        """Publish events; return their ids once Kafka has them."""
        parsed = fastavro.parse_schema(deepcopy(self.schema), named_schemas={})
        ids = [new_event_id() for _ in range(count)]
        for event_id in ids:
            out = io.BytesIO(struct.pack(">bI", 0, self.number))
            out.seek(5)
            datum = {"id": event_id, "store_id": "shop", "occurred_at": datetime.now(UTC), "data": self.data}
            fastavro.schemaless_writer(out, parsed, datum)
            self.producer.produce(self.topic, out.getvalue(), key=f"shop:{event_id}")
            self.producer.poll(0)
        assert self.producer.flush(60) == 0
        return ids


@pytest.fixture
def registrar(kafka_environ: dict[str, str]) -> Iterator[EmbeddedRegistry]:
    """Yield the registry as the command `hookline schemas register` of another build opens it."""
    found = EmbeddedRegistry(load(KafkaConfig, kafka_environ))
    found.start()
    yield found
    found.stop()


def data_of_this_build() -> dict[str, Any]:
    """Return the example's data as this build checks it."""
    return normalise(TYPE, KIND.example)


class Load:
    """This build's publisher, publishing all the time."""

    def __init__(self, pipeline: Any) -> None:
        self.ids: list[str] = []
        self._pipeline = pipeline
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            self.ids += [event.id for event in self._pipeline.publish(TYPE, 3)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)


def other_build(pipeline: Any, number: int, schema: dict[str, Any], data: dict[str, Any]) -> OtherBuild:
    """Return a publisher of another build to the pipeline's topic; `number` is its schema's."""
    return OtherBuild(kafka.producer(pipeline.config), pipeline.topics.events("customers"), number, schema, data)


def newer_dispatcher(pipeline: Any) -> subprocess.Popen[bytes]:
    """Start a dispatcher of a newer build, whose schema has one field more, as `Pipeline.start_dispatcher` does one of this build."""
    port = free_port()
    environ = {**pipeline.environ, "HOOKLINE_METRICS_PORT": str(port)}
    with (pipeline.folder / f"dispatcher.{len(pipeline.processes)}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", NEWER_BUILD], env=environ, stdout=log, stderr=log)
    pipeline.processes.append(process)
    pipeline.ports[process.pid] = port
    return process


def at_work(pipeline: Any, process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a dispatcher has partitions and is well; fail with the end of its log when it has ended."""
    assert process.poll() is None, pipeline.log(process)[-3_000:]
    return bool(pipeline.ready(process)) and pipeline.metric(process, "hookline_dispatcher_rebalances_total") > 0


def bodies(pipeline: Any, path: str) -> dict[str, dict[str, Any]]:
    """Return what the receiver got, by event id."""
    found = (json.loads(call.body) for call in pipeline.receiver.of(path))
    return {body["id"]: body for body in found}


def test_a_schema_changes_while_a_dispatcher_runs(pipeline: Any, registrar: EmbeddedRegistry, until: Callable[..., None]) -> None:
    """A running dispatcher delivers what older and newer builds publish, from the moment on that their schema is registered.

    Nobody restarts it. It leaves a new field out and fills in a default; nothing is lost, nothing becomes a dead letter.
    """
    webhook = pipeline.create("hook", TYPE, filter="data.locale == 'de-DE' || true")
    dispatcher = pipeline.start_dispatcher()
    data = data_of_this_build()
    with Load(pipeline) as load_of_this_build:
        until(lambda: pipeline.receiver.of("hook"), 60, "first deliveries")
        number = registrar.register(KIND.subject, NEWER)
        newer = other_build(pipeline, number, NEWER, {**data, "referral": "friend"}).publish(100)
        without = {name: value for name, value in data.items() if name != "coupon_code"}
        number = registrar.register(KIND.subject, OLDER)
        older = other_build(pipeline, number, OLDER, without).publish(100)
        until(lambda: {*newer, *older} <= set(bodies(pipeline, "hook")), 60, "all events of the other builds")
    published = {*load_of_this_build.ids, *newer, *older}
    until(lambda: published <= set(bodies(pipeline, "hook")), 60, "all events")
    got = bodies(pipeline, "hook")
    assert set(got) == published
    assert all(got[event_id]["data"] == KIND.example for event_id in (*newer, *load_of_this_build.ids))
    assert all(got[event_id]["data"] == {**KIND.example, "coupon_code": None} for event_id in older)
    for call in pipeline.receiver.of("hook"):
        pipeline.verify(call, webhook)
    assert pipeline.letters() == []
    assert dispatcher.poll() is None


@pytest.mark.timeout(300)
def test_dispatchers_are_upgraded_one_after_the_other(pipeline: Any, registrar: EmbeddedRegistry, until: Callable[..., None]) -> None:
    """An old and a new dispatcher share the work while both old and new events come; then the old one leaves; nothing is lost.

    The new one reads old events with the default of its new field, the old one new events without that field. The new one is
    given the partitions whose topics come first by name, these events' among them.
    """
    pipeline.create("hook", TYPE)
    old = pipeline.start_dispatcher()
    number = registrar.register(KIND.subject, NEWER)
    publisher = other_build(pipeline, number, NEWER, {**data_of_this_build(), "referral": "friend"})
    with Load(pipeline) as load_of_this_build:
        until(lambda: pipeline.receiver.of("hook"), 60, "first deliveries")
        newer = set(publisher.publish(30))
        until(lambda: newer <= set(bodies(pipeline, "hook")), 60, "new events from the old dispatcher")
        assert _shares(pipeline, newer) == {"without"}
        upgraded = newer_dispatcher(pipeline)
        _wait_for_its_share(pipeline, upgraded, newer, publisher, until)
        assert _shares(pipeline, newer) == {"with", "without"}
        assert old.poll() is None
        old.terminate()
        assert old.wait(60) == 0
        last = publisher.publish(50)
        until(lambda: set(last) <= set(bodies(pipeline, "hook")), 60, "the last events")
    published = {*load_of_this_build.ids, *newer, *last}
    until(lambda: published <= set(bodies(pipeline, "hook")), 60, "all events")
    got = bodies(pipeline, "hook")
    assert all(got[event_id]["data"]["referral"] == "friend" for event_id in last)
    assert {got[event_id]["data"].get("referral", "left out") for event_id in newer} <= {"friend", "left out"}
    assert {got[event_id]["data"].get("referral", "left out") for event_id in load_of_this_build.ids} <= {None, "left out"}
    assert None in {got[event_id]["data"].get("referral", "left out") for event_id in load_of_this_build.ids}
    assert pipeline.letters() == []


def _wait_for_its_share(
    pipeline: Any, process: subprocess.Popen[bytes], ids: set[str], publisher: OtherBuild, until: Callable[..., None]
) -> None:
    """Wait until a newer dispatcher is at work, and then, publishing, until it has delivered new events; print its log's end."""

    def delivers() -> bool:
        assert process.poll() is None
        ids.update(publisher.publish(30))
        time.sleep(0.3)
        return "with" in _shares(pipeline, ids)

    try:
        until(lambda: at_work(pipeline, process), 90, "the newer dispatcher at work")
        until(delivers, 60, "new events from the newer dispatcher")
    finally:
        sys.stderr.write(pipeline.log(process)[-3_000:])


def _shares(pipeline: Any, ids: set[str]) -> set[str]:
    """Return whether these events came with the new field, without it, or both."""
    return {"with" if "referral" in body["data"] else "without" for event_id, body in bodies(pipeline, "hook").items() if event_id in ids}


def test_a_new_reader_reads_the_log_of_an_old_writer(pipeline: Any, registrar: EmbeddedRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this build wrote to the broker is read by a build whose schema has grown, and the other way round."""
    pipeline.publish(TYPE, 2)
    number = registrar.register(KIND.subject, NEWER)
    other_build(pipeline, number, NEWER, {**data_of_this_build(), "referral": "x"}).publish(2)
    values = [m.value() or b"" for m in kafka.scan(pipeline.config, [pipeline.topics.events("customers")])]
    old_reader = [Codec(registrar).decode(value).data for value in values]
    assert old_reader == [data_of_this_build()] * 4
    monkeypatch.setattr(wire, "SCHEMAS", {**catalogue.SCHEMAS, KIND.subject: NEWER})
    monkeypatch.setattr(wire, "PARSED", {**catalogue.PARSED, KIND.subject: catalogue.parsed(NEWER)})
    new_reader = [Codec(registrar).decode(value).data["referral"] for value in values]
    assert sorted(map(str, new_reader)) == ["None", "None", "x", "x"]


# ---- the rest of the world ----


def raw_records(bootstrap_servers: str, topic: str) -> Iterator[Any]:
    """Yield a topic's records with a plain consumer: no code of ours."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": os.urandom(4).hex(), "auto.offset.reset": "earliest"})
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in partitions}
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        left = sum(ends.values())
        while left:
            message = consumer.poll(10)
            assert message is not None, "the broker stopped answering"
            if message.error() is None:
                left -= 1
                yield message
    finally:
        consumer.close()


def test_any_consumer_of_confluents_format_decodes_our_events(pipeline: Any) -> None:
    """An event of every type is read with the documented format alone: the frame, the schema from `_schemas`, plain Avro.

    https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
    """
    published = {}
    for name in catalogue.EVENT_TYPES:
        published[pipeline.publish(name, 1)[0].id] = name
    servers = pipeline.environ["KAFKA_BOOTSTRAP_SERVERS"]
    schemas = {}
    for record in raw_records(servers, TOPIC_OF_SCHEMAS):
        key, value = json.loads(record.key()), json.loads(record.value() or b"null")
        if key["keytype"] == "SCHEMA" and value and not value["deleted"]:
            schemas[value["id"]] = json.loads(value["schema"])
    found = {}
    for category in ("orders", "products", "checkout", "customers"):
        for record in raw_records(servers, pipeline.topics.events(category)):
            magic, number = struct.unpack_from(">bI", record.value())
            assert magic == 0
            schema = fastavro.parse_schema(schemas[number], named_schemas={})
            body = io.BytesIO(record.value()[5:])
            datum: Any = fastavro.schemaless_reader(body, schema, None)
            assert body.read() == b""
            found[datum["id"]] = (f"{schemas[number]['namespace']}.{schemas[number]['name']}", datum["store_id"], set(datum["data"]))
    assert found == {
        event_id: (catalogue.EVENT_TYPES[name].subject, "shop", set(catalogue.EVENT_TYPES[name].example))
        for event_id, name in published.items()
    }
