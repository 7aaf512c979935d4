"""How long an order takes from the start of its HTTP publish to the receiver; `python -m benchmarks.latency`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from benchmarks.stack import STORE, Process, Stack, receiver, stack, wait
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.local.kafka_broker import free_port
from hookline.producers.api_keys import ApiKeyConfig, ApiKeys, ApiKeyWriter
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.wire import Codec
from hookline.webhooks.store import NewWebhook

RATE = 100
SECONDS = 20
WARM_S = 3


def measure(rate: int = RATE, seconds: int = SECONDS) -> dict[str, Any]:
    """Return publish→receive percentiles in milliseconds at a steady rate, published one by one over HTTP."""
    with stack() as on:
        to = receiver(on)
        with on.webhooks() as webhooks:
            webhooks.create(NewWebhook(store_id=STORE, url=to.url("hook"), event_types=("order.created",)))
        key, port = api_key(on), free_port()
        processes = [on.hookline("dispatch"), ingest(on, port)]
        time.sleep(WARM_S)
        asyncio.run(_publish(port, key, rate, WARM_S))
        wait(lambda: to.count() >= rate * WARM_S, 30, "the warm-up to arrive")
        before = [process.cpu_s for process in processes]
        asyncio.run(_publish(port, key, rate, seconds))
        wait(lambda: to.count() >= rate * (WARM_S + seconds), 30, "all calls")
        found = sorted(to.latencies_s()[rate * WARM_S :])
        cpu = [(process.cpu_s - start) / seconds for process, start in zip(processes, before, strict=True)]
        return {
            "events": len(found),
            "rate_per_s": rate,
            **{f"p{q:g}_ms": found[min(len(found) - 1, int(len(found) * q / 100))] * 1e3 for q in (50, 95, 99)},
            "max_ms": found[-1] * 1e3,
            "dispatcher_cpu": cpu[0],
            "ingest_cpu": cpu[1],
        }


def api_key(on: Stack) -> str:
    """Make an API key of the bench's store."""
    registry = EmbeddedRegistry(on.config)
    registry.start()
    codec, secret, clock = Codec(registry), load(ApiKeyConfig, on.environ), SystemClock()
    keys = ApiKeys(on.config, codec, secret, clock)
    keys.start()
    _, text = ApiKeyWriter(on.config, codec, secret, keys, clock).create(STORE, ("events:write",), name="bench", lives_s=0)
    keys.stop()
    registry.stop()
    return text


def ingest(on: Stack, port: int) -> Process:
    """Start an ingest process and wait until it listens."""
    made = on.hookline("ingest", HOOKLINE_INGEST_PORT=str(port))
    wait(lambda: _listens(port), 30, "ingest")
    return made


def _listens(port: int) -> bool:
    import socket  # noqa: PLC0415  # one probe

    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _publish(port: int, key: str, rate: int, seconds: int) -> None:
    """Publish at a steady rate; each event's id tells when its publishing began."""
    url, began = f"http://127.0.0.1:{port}/api/v1/events", time.monotonic()
    data = EVENT_TYPES["order.created"].example
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        tasks = []
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            tasks.append(asyncio.create_task(_post(session, url, number, data)))
        await asyncio.gather(*tasks)


async def _post(session: aiohttp.ClientSession, url: str, number: int, data: object) -> None:
    body = {"type": "order.created", "id": f"bench-{time.time_ns()}-{number}", "data": data}
    async with session.post(url, json=body) as answer:
        if answer.status != 202:  # accepted
            raise SystemExit(f"ingest answered {answer.status}: {await answer.text()}")


if __name__ == "__main__":
    print(measure())
