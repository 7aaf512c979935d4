"""Events over HTTP: an API key, an ingest process, and the bodies that a load posts to it."""

from __future__ import annotations

import time
from typing import Any, Final

import orjson

from benchmarks.entities import examples
from benchmarks.load import Body, DueBody, Load
from benchmarks.stack import STORE, Process, Stack, wait
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.local.kafka_broker import free_port
from hookline.producers.api_keys import ApiKeyConfig, ApiKeys, ApiKeyWriter
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.wire import Codec

BATCH: Final = 100


def ingest(on: Stack) -> tuple[Process, Load]:
    """Start an ingest process, wait until it listens, and return it with a load of 64 connections that posts to it."""
    port = free_port()
    made = on.hookline("ingest", HOOKLINE_INGEST_PORT=str(port))
    wait(lambda: _listens(port), 30, "ingest")
    return made, Load(url=f"http://127.0.0.1:{port}/api/v1/events", headers={"Authorization": f"Bearer {_api_key(on)}"})


def due(event_type: str) -> DueBody:
    """Return what makes the body of one event; its id tells when the post was due: a load that is late hides nothing.

    Events go round the entities, so that they lie on every partition; what differs between them is made here, once.
    """
    parts = [(before, after) for before, _, after in (orjson.dumps(one).partition(b"@") for one in _events(event_type))]

    def body(number: int, due_ns: int) -> bytes:
        before, after = parts[number % len(parts)]
        return b"%sbench-%d-%d%s" % (before, due_ns, number, after)

    return body


def single(event_type: str) -> Body:
    """Return what makes the body of one event; its id tells when it was made."""
    made = due(event_type)
    return lambda number: made(number, time.time_ns())


def batch(event_type: str) -> Body:
    """Return what makes the body of a batch of 100 events."""
    one = single(event_type)
    return lambda number: b'{"events":[%s]}' % b",".join([one(number * BATCH + place) for place in range(BATCH)])


def _events(event_type: str) -> list[dict[str, Any]]:
    return [{"type": event_type, "id": "@", "data": data} for data in examples(event_type)]


def _api_key(on: Stack) -> str:
    registry = EmbeddedRegistry(on.config)
    registry.start()
    codec, secret, clock = Codec(registry), load(ApiKeyConfig, on.environ), SystemClock()
    keys = ApiKeys(on.config, codec, secret, clock)
    keys.start()
    _, text = ApiKeyWriter(on.config, codec, secret, keys, clock).create(STORE, ("events:write",), name="bench", lives_s=0)
    keys.stop()
    registry.stop()
    return text


def _listens(port: int) -> bool:
    import socket  # noqa: PLC0415  # one probe

    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
