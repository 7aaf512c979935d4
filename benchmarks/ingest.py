"""What an event costs the HTTP ingest, singly and in batches of 100; `python -m benchmarks.ingest`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, Final

import orjson
import uvloop

from benchmarks.latency import api_key, ingest
from benchmarks.stack import Process, stack
from hookline.dispatcher.transport.contract import Reply, Request, Result
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.kernel.config import load
from hookline.local.kafka_broker import free_port
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.webhooks.urls import UrlPolicy

SINGLE = 20_000
BATCHES = 600
BATCH = 100
_UNDER_WAY: Final = 64
_WARM: Final = 500
_TIMEOUT_S: Final = 30.0
_ACCEPTED: Final = 202


def measure(single: int = SINGLE, batches: int = BATCHES) -> dict[str, Any]:
    """Return events per CPU-second and per second of one ingest process, orders published over kept-alive connections."""
    with stack() as on:
        key, port = api_key(on), free_port()
        process = ingest(on, port)
        policy = load(UrlPolicy, on.environ)
        load_ = _Load(policy, f"http://127.0.0.1:{port}/api/v1/events", key)
        uvloop.run(load_.run(_one, _WARM))
        one = _timed(process, load_, _one, single)
        many = _timed(process, load_, _batch, batches)
    return {
        "single_per_cpu_s": single / one[0],
        "single_per_s": single / one[1],
        "batch_per_cpu_s": batches * BATCH / many[0],
        "batch_per_s": batches * BATCH / many[1],
    }


def _timed(process: Process, load_: _Load, body: Any, count: int) -> tuple[float, float]:  # noqa: ANN401  # a function of the number
    cpu, began = process.cpu_s, time.monotonic()
    uvloop.run(load_.run(body, count))
    return process.cpu_s - cpu, time.monotonic() - began


def _event(name: str) -> dict[str, Any]:
    return {"type": "order.created", "id": name, "data": EVENT_TYPES["order.created"].example}


def _one(number: int) -> bytes:
    return orjson.dumps(_event(f"one-{time.time_ns()}-{number}"))


def _batch(number: int) -> bytes:
    return orjson.dumps({"events": [_event(f"many-{time.time_ns()}-{number}-{i}") for i in range(BATCH)]})


class _Load:
    """Posts bodies over and over with 64 requests under way, and wants every one accepted."""

    def __init__(self, policy: UrlPolicy, url: str, key: str) -> None:
        self._policy = policy
        self._url = url
        self._headers = (("authorization", f"Bearer {key}"), ("content-type", "application/json"))

    async def run(self, body: Any, count: int) -> None:  # noqa: ANN401  # a function of the number
        """Post `body(0)` … `body(count - 1)`."""
        transport = NativeTransport(self._policy)
        await transport.start()
        ended = asyncio.Event()
        seen: Counter[int] = Counter()
        numbers = iter(range(count))

        def done(result: Result) -> None:
            seen[result.status if isinstance(result, Reply) else 0] += 1
            post()
            if seen.total() == count:
                ended.set()

        def post() -> None:
            number = next(numbers, None)
            if number is not None:
                transport.send(Request(self._url, self._headers, body(number), _TIMEOUT_S, "bench"), done)

        for _ in range(_UNDER_WAY):
            post()
        await ended.wait()
        await transport.stop()
        if seen[_ACCEPTED] != count:
            raise SystemExit(f"ingest did not accept everything: {dict(seen)}")


if __name__ == "__main__":
    print(measure())
