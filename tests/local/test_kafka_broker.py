"""The embedded broker: it keeps its data and its address through stops and accidents, and refuses what it cannot read."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import LocalError
from hookline.kernel.kafka import KafkaConfig
from hookline.local.jars import VERSION
from hookline.local.kafka_broker import AFTER_A_KILL, EmbeddedBroker
from hookline.schemas.topics import TopicSpec, create

pytestmark = pytest.mark.process

SPEC = TopicSpec(name="kept", partitions=1, config={})


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """Give a broker that is not started."""
    found = EmbeddedBroker(tmp_path / "kafka")
    yield found
    found.stop()


def config_of(broker: EmbeddedBroker) -> KafkaConfig:
    """Return the client configuration of a started broker."""
    return load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers})


def values(broker: EmbeddedBroker) -> list[bytes]:
    """Return what the topic holds."""
    return [message.value() or b"" for message in kafka.scan(config_of(broker), [SPEC.name])]


def test_data_and_address_survive_a_kill_and_a_move(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """What was acknowledged is there after `kill -9`, at the same address; with the port taken it is there at another."""
    broker.start()
    address = broker.bootstrap_servers
    create(config_of(broker), [SPEC], 1)
    producer = kafka.producer(config_of(broker))
    for number in range(3):
        kafka.produce_sync(producer, SPEC.name, key=b"k", value=str(number).encode())
    broker.kill()
    broker.start()
    assert broker.bootstrap_servers == address
    assert values(broker) == [b"0", b"1", b"2"]
    broker.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(address.rpartition(":")[2])))
        taken.listen()
        broker.start()
        assert broker.bootstrap_servers != address
        assert values(broker) == [b"0", b"1", b"2"]
    assert (tmp_path / "kafka" / "version").read_text() == VERSION


def test_only_a_life_after_a_kill_has_short_sessions(broker: EmbeddedBroker) -> None:
    """A broker that stands still is not out of its cluster; one that was killed is back at once all the same."""
    broker.start()
    broker.stop()
    assert broker.prepare()[-2:] != list(AFTER_A_KILL)
    broker.start()
    broker.kill()
    assert broker.prepare()[-2:] == list(AFTER_A_KILL)
    began = time.monotonic()
    broker.start()
    create(config_of(broker), [SPEC], 1)
    assert time.monotonic() - began < 30


def test_another_versions_folder_is_refused(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Data of another Kafka is neither read nor overwritten; the error names both versions' folder and the way out."""
    data = tmp_path / "kafka" / "data"
    data.mkdir(parents=True)
    (tmp_path / "kafka" / "version").write_text("3.9.0")
    with pytest.raises(LocalError, match=r"was written by Kafka 3\.9\.0") as caught:
        broker.start()
    assert "--fresh" in caught.value.remedy
    assert list(data.iterdir()) == []


def test_a_broker_that_cannot_start_says_why(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Data that Kafka cannot read: the error has Kafka's last words and the place of its log."""
    broker.prepare()
    meta = tmp_path / "kafka" / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=99"))
    with pytest.raises(LocalError, match="embedded Kafka ended with status") as caught:
        broker.start()
    assert "broker.log" in caught.value.remedy


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is an error with its path."""
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="cannot be used"):
        EmbeddedBroker(tmp_path / "file" / "kafka").start()
