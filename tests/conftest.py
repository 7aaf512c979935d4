"""What every test shares: one real Kafka for the session, chDB per test that asks, no network for unit tests."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.local.kafka_broker import EmbeddedBroker
from hookline.schemas.registration import register_all
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import SCHEMAS, Topics, TopicsConfig, create, specs

# Here and not in the dispatcher's own: the tests of chaos, which come before them, import some of these too.
pytest.register_assert_rewrite(
    *(f"tests.dispatcher.{name}" for name in ("suite", "hostile", "transport_conformance", "connections_conformance")),
    *(f"tests.dispatcher.{name}" for name in ("guard_conformance", "spellings_conformance")),
)

# A deadline measures the machine, not the code: other processes run beside the tests.
settings.register_profile("hookline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hookline")

_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
            message = f"a test wants to leave this machine: {address}"
            raise OSError(message)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """Give a real Apache Kafka on free ports, or the cluster of HOOKLINE_TEST_BOOTSTRAP_SERVERS through `kafka_environ`."""
    found = EmbeddedBroker(tmp_path_factory.mktemp("broker"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def kafka_environ(broker: EmbeddedBroker) -> dict[str, str]:
    """Return the environment of processes on the session's broker, with the schemas registered."""
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "HOOKLINE_REPLICATION_FACTOR": "1",
        "HOOKLINE_SECRET_KEYS": "test:" + base64.b64encode(os.urandom(32)).decode(),
        "HOOKLINE_API_KEY_PEPPER": os.urandom(24).hex(),
        "HOOKLINE_ALLOW_HTTP": "true",
        "HOOKLINE_ALLOWED_PORTS": "any",
        "HOOKLINE_ALLOW_ADDRESSES": "127.0.0.0/8,::1/128",
    }
    config = load(KafkaConfig, environ)
    create(config, [spec for spec in specs(Topics("unused"), load(TopicsConfig, environ)) if spec.name == SCHEMAS], 1)
    registry = EmbeddedRegistry(config)
    registry.start()
    register_all(registry)
    registry.stop()
    return environ


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty state folder that the process environment points to."""
    monkeypatch.setenv("HOOKLINE_STATE_DIR", str(tmp_path))
    return tmp_path
