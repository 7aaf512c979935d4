"""Commands say soon that nobody is there, and wait for a broker that is slow."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hookline.cli.broker import place_of, reached
from hookline.kernel.errors import BrokerUnavailable
from hookline.local import kafka_broker
from tests.calm import calmly

pytestmark = pytest.mark.process

COMMANDS = (
    ("webhooks", "list"),
    ("webhooks", "create", "--url", "https://shop.example.com/", "--type", "order.paid"),
    ("api-keys", "list"),
    ("dead-letters", "list"),
    ("dead-letters", "replay", "--dry-run"),
    ("topics", "create"),
    ("topics", "list"),
    ("topics", "plan"),
    ("topics", "apply", "--yes"),
    ("schemas", "list"),
    ("schemas", "register"),
    ("events", "publish", "--type", "order.paid"),
)


@pytest.fixture
def free_port() -> int:
    """Return a port that nobody listens on, nor will: the system gives it to no outgoing connection."""
    return kafka_broker.free_port()


@pytest.fixture
def silent() -> Iterator[int]:
    """Yield the port of somebody who takes connections and never answers, as a broker that is overrun."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_broker_that_is_down_is_told_within_three_seconds(
    hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, free_port: int, command: tuple[str, ...]
) -> None:
    """Status 1, the address, the variable to look at; not after ten seconds."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port}")
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", "k1:" + "A" * 43 + "=")
    monkeypatch.setenv("HOOKLINE_API_KEY_PEPPER", "p" * 32)

    def attempt() -> None:
        began = time.monotonic()
        said = hookline(*command)
        assert said.status == 1, said
        assert f"127.0.0.1:{free_port}" in said.err
        assert "KAFKA_BOOTSTRAP_SERVERS" in said.err
        assert time.monotonic() - began < 3

    calmly(attempt)


def test_one_that_takes_connections_is_waited_for(silent: int, free_port: int) -> None:
    """A busy broker passes at once, also beside one that is down: its answers have their own time."""

    def attempt() -> None:
        began = time.monotonic()
        found = reached({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port}, PLAINTEXT://127.0.0.1:{silent}"})
        assert found.bootstrap_servers.endswith(str(silent))
        assert time.monotonic() - began < 1

    calmly(attempt)


def test_one_that_is_starting_is_waited_for(free_port: int) -> None:
    """A port that opens within the wait is found."""
    with socket.socket() as late:
        late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        late.bind(("127.0.0.1", free_port))
        timer = threading.Timer(0.5, late.listen, (8,))
        timer.start()
        reached({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port}"}, wait_s=30)
        timer.join()


@pytest.mark.parametrize("servers", ["", ",", "no-such-host.invalid:9092", "127.0.0.1:99999", "..:1", "127.0.0.1:port"])
def test_what_is_no_address_is_nobody(servers: str) -> None:
    """Nothing that can be typed there ends in a stack trace."""
    with pytest.raises(BrokerUnavailable):
        reached({"KAFKA_BOOTSTRAP_SERVERS": servers or " "}, wait_s=0.3)


def test_addresses_are_read_as_kafkas_clients_read_them() -> None:
    """A protocol before, a port behind, IPv6 in brackets; 9092 where no port stands."""
    texts = ("kafka-1:19092", " kafka-1 ", "SASL_SSL://kafka-1:9093", "[::1]:9094", "[::1]")
    assert [place_of(text) for text in texts] == [
        ("kafka-1", 19_092),
        ("kafka-1", 9_092),
        ("kafka-1", 9_093),
        ("::1", 9_094),
        ("::1", 9_092),
    ]
