"""Whether anybody is there before a command waits for Kafka: a client library goes on trying for much longer than a person does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from hookline.kernel.config import load
from hookline.kernel.errors import BrokerUnavailable
from hookline.kernel.kafka import KafkaConfig

_WAIT_S: Final = 2.0
_AGAIN_S: Final = 0.1
_PORT: Final = 9_092


def reached(environ: Mapping[str, str], wait_s: float = _WAIT_S) -> KafkaConfig:
    """Return how to reach Kafka, once one of its bootstrap servers takes a connection; raise `BrokerUnavailable` after `wait_s`.

    Only the connection is tried, which a busy broker's machine still takes: how long its answers may be in coming is decided by those
    who ask. A server that refuses is tried again meanwhile, since it may just be starting.
    """
    config = load(KafkaConfig, environ)
    found, deadline = threading.Event(), time.monotonic() + wait_s
    places = [place_of(server) for server in config.bootstrap_servers.split(",") if server.strip()]
    for place in places:
        threading.Thread(target=_knock, args=(place, deadline, found), name="knock", daemon=True).start()
    if not found.wait(wait_s):
        raise BrokerUnavailable(
            f"No Kafka broker answers at {config.bootstrap_servers}", remedy="Check KAFKA_BOOTSTRAP_SERVERS and that the broker runs."
        )
    return config


def place_of(server: str) -> tuple[str, int]:
    """Return host and port of a bootstrap server as Kafka's clients write it: `[protocol://]host[:port]`, IPv6 in brackets."""
    text = server.strip().rpartition("://")[2]
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        host, port = text, ""
    return host.strip("[]"), int(port) if port.isdigit() else _PORT


def _knock(place: tuple[str, int], deadline: float, found: threading.Event) -> None:
    """Set the event once a connection is taken; give up at the deadline, or when somebody else was lucky."""
    while not found.is_set() and (left_s := deadline - time.monotonic()) > 0:
        with suppress(OSError, OverflowError, UnicodeError):  # no such host, refused, a port that is none
            socket.create_connection(place, left_s).close()
            found.set()
            return
        time.sleep(min(_AGAIN_S, left_s))
