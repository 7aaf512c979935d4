"""The embedded registry, on the real broker: Confluent's record format, ids that never change, records of others."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from confluent_kafka import Producer

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError, ConfigError, RegistryUnavailable, SchemaError, UnknownSchema
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas import registry as registry_module
from hookline.schemas.catalogue import SCHEMAS, canonical
from hookline.schemas.registration import register_all
from hookline.schemas.registry import EmbeddedRegistry, open_registry
from hookline.schemas.rest_registry import RestRegistry
from hookline.schemas.topics import SCHEMAS as REAL_TOPIC
from hookline.schemas.topics import TopicSpec, create

pytestmark = pytest.mark.kafka

PAID = "hookline.orders.OrderPaid"


class Rig:
    """A schemas topic of its own, and the registries that a test started on it."""

    def __init__(self, config: KafkaConfig, topic: str, producer: Producer) -> None:
        self.config = config
        self.topic = topic
        self.started: list[EmbeddedRegistry] = []
        self._producer = producer

    def open(self) -> EmbeddedRegistry:
        """Start a registry, as a new process would."""
        found = EmbeddedRegistry(self.config)
        self.started.append(found)
        found.start()
        return found

    def put(self, key: bytes, value: bytes | None) -> None:
        """Append a record as another program would."""
        kafka.produce_sync(self._producer, self.topic, key=key, value=value)

    def put_version(self, subject: str, version: int, number: int, schema: Any, **more: Any) -> None:
        """Append a version in Confluent's format."""
        key = {"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}
        text = schema if isinstance(schema, str) else json.dumps(schema)
        value = {"subject": subject, "version": version, "id": number, "schema": text, "deleted": False, **more}
        self.put(json.dumps(key).encode(), json.dumps(value).encode())

    def records(self) -> list[tuple[bytes, bytes | None]]:
        """Return every record of the topic."""
        return [(_bytes(m.key()) or b"", _bytes(m.value())) for m in kafka.scan(self.config, [self.topic])]


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


@pytest.fixture(scope="module")
def producer(kafka_environ: dict[str, str]) -> Producer:
    """Return a writer for all tests."""
    return kafka.producer(load(KafkaConfig, kafka_environ), linger_ms=0)


@pytest.fixture
def rig(kafka_environ: dict[str, str], producer: Producer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Yield a schemas topic of its own."""
    config, topic = load(KafkaConfig, kafka_environ), f"_schemas.{os.urandom(4).hex()}"
    monkeypatch.setattr(registry_module, "TOPIC", topic)
    create(config, [TopicSpec(name=topic, partitions=1, config={"cleanup.policy": "compact"})], 1)
    made = Rig(config, topic, producer)
    yield made
    for registry in made.started:
        registry.stop()


def other(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a compatible other version of a schema."""
    changed = deepcopy(schema)
    changed["fields"].append({"name": name, "type": ["null", "string"], "default": None})
    return changed


def test_records_are_in_confluents_format(rig: Rig) -> None:
    """Key and value of each record are what Confluent Schema Registry and Karapace write, field by field."""
    register_all(rig.open())
    records = rig.records()
    assert len(records) == len(SCHEMAS)
    for number, ((key, value), (subject, schema)) in enumerate(zip(records, SCHEMAS.items(), strict=True), 1):
        assert key == json.dumps({"keytype": "SCHEMA", "subject": subject, "version": 1, "magic": 1}, separators=(",", ":")).encode()
        found = json.loads(value or b"")
        assert {name: found[name] for name in found if name != "schema"} == {
            "subject": subject,
            "version": 1,
            "id": number,
            "deleted": False,
        }
        assert json.loads(found["schema"]) == schema


def test_ids_stay_the_same_for_every_process(rig: Rig) -> None:
    """A second registration writes nothing; a process that starts later finds the same ids and schemas."""
    first = register_all(rig.open())
    later = rig.open()
    assert [(r.subject, r.id, r.new) for r in register_all(later)] == [(r.subject, r.id, False) for r in first]
    assert len(rig.records()) == len(SCHEMAS)
    for entry in first:
        assert later.id_of(entry.subject) == entry.id
        assert later.subject_of(entry.id) == entry.subject
        assert later.schema_of(entry.id) == SCHEMAS[entry.subject]


def test_what_is_registered_later_is_found_by_looking_again(rig: Rig) -> None:
    """A process that started before a registration finds it without a restart."""
    running, registrar = rig.open(), rig.open()
    with pytest.raises(SchemaError, match="not registered"):
        running.id_of(PAID)
    with pytest.raises(UnknownSchema):
        running.schema_of(1)
    number = registrar.register(PAID, dict(SCHEMAS[PAID]))
    assert running.id_of(PAID) == number
    assert running.subject_of(number) == PAID


def test_versions_of_a_subject_are_kept_in_order(rig: Rig) -> None:
    """A new version gets a new id; the old one stays readable, and this build's own is told from both."""
    registry = rig.open()
    first = registry.register(PAID, dict(SCHEMAS[PAID]))
    second = registry.register(PAID, other(dict(SCHEMAS[PAID]), "x"))
    assert [(v.version, v.id) for v in registry.versions(PAID)] == [(1, first), (2, second)]
    assert registry.id_of(PAID) == first
    assert registry.register(PAID, dict(SCHEMAS[PAID])) == first


def test_one_schema_under_two_subjects_has_one_id(rig: Rig) -> None:
    """As in Confluent's registry an id stands for a schema."""
    registry = rig.open()
    number = registry.register(PAID, dict(SCHEMAS[PAID]))
    assert registry.register("another-subject", dict(SCHEMAS[PAID])) == number


def test_records_of_others_are_no_fault(rig: Rig) -> None:
    """Configuration, no-operations, schemas that are no Avro records and other teams' subjects are passed over in peace."""
    registry = rig.open()
    rig.put(b'{"keytype":"NOOP","magic":0}', None)
    rig.put(b'{"keytype":"CONFIG","subject":null,"magic":0}', b'{"compatibilityLevel":"BACKWARD"}')
    rig.put(b'{"keytype":"MODE","subject":null,"magic":0}', b'{"mode":"READWRITE"}')
    rig.put_version("proto", 1, 50, 'syntax = "proto3";', schemaType="PROTOBUF")
    rig.put_version("json", 1, 51, '{"type":"object"}', schemaType="JSON")
    rig.put_version("text-value", 1, 52, '"string"')
    rig.put_version("theirs", 1, 53, {"type": "record", "name": "T", "fields": []}, md5="x", references=[])
    assert registry.register(PAID, dict(SCHEMAS[PAID])) == 54
    assert registry.faults == 0
    assert registry.subject_of(53) == "T"


GARBAGE = [
    (b"", b"{}"),
    (b"[]", b"{}"),
    (b"\xff\xfe", b"{}"),
    (b"1", b"{}"),
    (b'{"keytype":"SCHEMA"}', b"{}"),
    (b'{"keytype":"SCHEMA","subject":"x","version":"a","magic":1}', b"{}"),
    (b'{"keytype":"SCHEMA","subject":"x","version":1,"magic":1}', b"[]"),
    (b'{"keytype":"SCHEMA","subject":"x","version":1,"magic":1}', b'{"id":7}'),
    (b'{"keytype":"SCHEMA","subject":"x","version":1,"magic":1}', b'{"id":7,"schema":"{"}'),
    (b'{"keytype":"SCHEMA","subject":"x","version":1,"magic":1}', b"\x00\x01\x02"),
    (b"[" * 100_000, b"{}"),
]


def test_garbage_is_counted_and_breaks_nothing(rig: Rig) -> None:
    """Whatever lies on the topic, the schemas around it stay known."""
    registry = rig.open()
    number = registry.register(PAID, dict(SCHEMAS[PAID]))
    for key, value in GARBAGE:
        rig.put(key, value)
    register_all(registry)
    for found in (registry, rig.open()):
        assert found.id_of(PAID) == number
        assert found.faults >= len(GARBAGE) - 2  # an empty key and a bare number say nothing at all


def test_deleted_versions_are_gone_but_their_ids_still_read(rig: Rig) -> None:
    """Soft and hard deletion and deletion of a subject end a version; what was written with it stays readable."""
    registry = rig.open()
    ids = [registry.register(PAID, other(dict(SCHEMAS[PAID]), name)) for name in ("a", "b", "c", "d")]
    rig.put_version(PAID, 1, ids[0], other(dict(SCHEMAS[PAID]), "a"), deleted=True)
    rig.put(json.dumps({"keytype": "SCHEMA", "subject": PAID, "version": 2, "magic": 1}).encode(), None)
    key = json.dumps({"keytype": "DELETE_SUBJECT", "subject": PAID, "magic": 0}).encode()
    rig.put(key, json.dumps({"subject": PAID, "version": 3}).encode())
    number = registry.register(PAID, dict(SCHEMAS[PAID]))
    assert [(v.version, v.id) for v in registry.versions(PAID)] == [(4, ids[3]), (5, number)]
    assert registry.subject_of(ids[0]) == PAID


def test_an_id_never_changes_its_meaning(rig: Rig) -> None:
    """A record that gives an id, or a version, another meaning is refused by every reader: the first in the log counts."""
    registry = rig.open()
    number = registry.register(PAID, dict(SCHEMAS[PAID]))
    rig.put_version("hookline.orders.OrderCreated", 1, number, SCHEMAS["hookline.orders.OrderCreated"])
    rig.put_version(PAID, 1, number + 1, other(dict(SCHEMAS[PAID]), "x"))
    assert registry.register("something", other(dict(SCHEMAS[PAID]), "y")) == number + 1
    for found in (registry, rig.open()):
        assert found.schema_of(number) == SCHEMAS[PAID]
        assert [v.id for v in found.versions(PAID)] == [number]
        assert found.faults == 2


def test_registrars_at_the_same_moment_agree(rig: Rig) -> None:
    """Several builds that register at once end with ids that mean the same to all, also after compaction."""
    registries = [rig.open() for _ in range(4)]
    barrier = threading.Barrier(len(registries))
    given: list[tuple[int, str, int]] = []

    def register(build: int) -> None:
        barrier.wait()
        for subject in (PAID, "hookline.orders.OrderCreated"):
            number = registries[build].register(subject, other(dict(SCHEMAS[subject]), f"of_build_{build}"))
            given.append((build, subject, number))

    threads = [threading.Thread(target=register, args=(build,)) for build in range(len(registries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({number for _, _, number in given}) == len(given) == 8
    fresh = rig.open()
    for build, subject, number in given:
        assert canonical(fresh.schema_of(number)) == canonical(other(dict(SCHEMAS[subject]), f"of_build_{build}"))
    compacted = dict(rig.records())
    for entry in (v for subject in (PAID, "hookline.orders.OrderCreated") for v in fresh.versions(subject)):
        key = {"keytype": "SCHEMA", "subject": entry.subject, "version": entry.version, "magic": 1}
        last = json.loads(compacted[json.dumps(key, separators=(",", ":")).encode()] or b"")
        assert last["id"] == entry.id
        assert json.loads(last["schema"]) == entry.schema


def test_a_registry_that_cannot_look_says_so(rig: Rig) -> None:
    """When looking again fails the answer is "try again", not "unknown"."""
    registry = rig.open()
    register_all(registry)
    registry.stop()
    with pytest.raises(RegistryUnavailable):
        registry.schema_of(999)
    assert registry.id_of(PAID)


def test_a_missing_topic_names_the_remedy(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the topic nothing starts, and the remedy is told."""
    monkeypatch.setattr(registry_module, "TOPIC", "_schemas.missing")
    with pytest.raises(BrokerError, match=r"_schemas\.missing does not exist") as refused:
        rig.open()
    assert "hookline topics create" in refused.value.remedy


def test_the_environment_chooses_the_registry(kafka_environ: dict[str, str]) -> None:
    """SCHEMA_REGISTRY_URL chooses REST; a wrong one ends the start, naming the variable, without the password."""
    assert isinstance(open_registry(kafka_environ), EmbeddedRegistry)
    assert isinstance(open_registry({**kafka_environ, "SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}), RestRegistry)
    for url in ("file:///etc/passwd", "registry:8081", "http://user:secret@registry"):
        with pytest.raises(ConfigError, match="SCHEMA_REGISTRY_URL"):
            open_registry({**kafka_environ, "SCHEMA_REGISTRY_URL": url})
    with pytest.raises(ConfigError, match="SCHEMA_REGISTRY_CREDENTIALS") as refused:
        open_registry({**kafka_environ, "SCHEMA_REGISTRY_URL": "http://registry", "SCHEMA_REGISTRY_CREDENTIALS": "topsecret"})
    assert "topsecret" not in str(refused.value)


def test_the_real_topic_is_called_as_confluents() -> None:
    """Other registries look for `_schemas`."""
    assert REAL_TOPIC == "_schemas"
