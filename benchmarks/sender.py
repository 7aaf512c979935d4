"""The dispatcher's sender alone: no Kafka, no signatures, the same body to the same receiver as the reference."""

from __future__ import annotations

import asyncio
import time

import uvloop

from benchmarks.reference import CONNECTIONS, body
from benchmarks.repeats import Values
from benchmarks.stack import Receiver, Stack
from hookline.dispatcher.transport.contract import Reply, Request, Result
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.kernel.config import load
from hookline.webhooks.urls import UrlPolicy

_TIMEOUT_S = 10.0
_OK = 200


def measure(on: Stack, to: Receiver, event_type: str, calls: int) -> Values:
    """Return calls per CPU-second of this process, which does nothing beside them."""
    return uvloop.run(
        _run(load(UrlPolicy, on.environ), to, Request(to.url("hook"), _HEADERS, body(event_type), _TIMEOUT_S, "bench"), calls)
    )


_HEADERS = (("content-type", "application/json"),)


async def _run(policy: UrlPolicy, to: Receiver, request: Request, calls: int) -> Values:
    transport, ended, left, failed = NativeTransport(policy), asyncio.Event(), calls, 0
    await transport.start()

    def done(result: Result) -> None:
        nonlocal left, failed
        left -= 1
        failed += not (isinstance(result, Reply) and result.status == _OK)
        if left >= CONNECTIONS:
            transport.send(request, done)
        elif not left:
            ended.set()

    before, began = time.process_time(), time.monotonic()
    for _ in range(min(calls, CONNECTIONS)):
        transport.send(request, done)
    await ended.wait()
    cpu_s, took_s = time.process_time() - before, time.monotonic() - began
    await transport.stop()
    if failed:
        raise SystemExit(f"{failed} of {calls} calls to {to.url()} failed")
    return {"calls": calls, "rate_per_cpu_s": calls / cpu_s, "rate_per_s": calls / took_s}
