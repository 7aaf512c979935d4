"""What a delivery costs a dispatcher, and how much memory it takes; `python -m benchmarks.dispatcher`."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.many import write_many
from benchmarks.stack import STORE, Process, Receiver, Stack, metric, receiver, stack, wait
from hookline.kernel.clock import SystemClock
from hookline.local.kafka_broker import free_port
from hookline.schemas.events import example_event
from hookline.webhooks.store import NewWebhook

EVENTS = 30_000
WARM = 2_000
WEBHOOKS = 10_000
IN_FLIGHT = 1_000


def measure_native(events: int = EVENTS) -> dict[str, Any]:
    """Return the same of a dispatcher that calls through Hookline's own sender."""
    return measure_rate(events, transport="native")


def measure_rate(events: int = EVENTS, transport: str = "aiohttp") -> dict[str, Any]:
    """Return CPU per delivery and rate of one dispatcher that works off a backlog of orders for one webhook.

    The figures leave out the first calls, while connections and caches are made.
    """
    with stack(HOOKLINE_LANE_CONCURRENCY="64", HOOKLINE_LANE_QUEUE="10000", HOOKLINE_TRANSPORT=transport) as on:
        to = receiver(on)
        with on.webhooks() as webhooks:
            webhooks.create(NewWebhook(store_id=STORE, url=to.url("hook"), event_types=("order.created",)))
        _publish(on, events + WARM)
        dispatcher = on.hookline("dispatch")
        return _timed(on, dispatcher, to, events)


def _timed(on: Stack, dispatcher: Process, to: Receiver, events: int) -> dict[str, Any]:
    broker = on.broker.pid
    wait(lambda: to.count() >= WARM, 60, "the first calls")
    began, first, cpu = time.monotonic(), to.count(), dispatcher.cpu_s
    wait(lambda: to.count() >= events + WARM, 300, "all calls")
    took, done, used = time.monotonic() - began, to.count() - first, dispatcher.cpu_s - cpu
    return {
        "deliveries": done,
        "rate_per_s": done / took,
        "cpu_us_per_delivery": used / done * 1e6,
        "rate_per_cpu_s": done / used,
        "rss_mb": dispatcher.rss_mb,
        "broker_pid": broker,
    }


def _publish(on: Stack, events: int) -> None:
    clock = SystemClock()
    with on.publisher() as publisher:
        for start in range(0, events, 5_000):
            publisher.publish_many([example_event("order.created", STORE, clock=clock) for _ in range(min(5_000, events - start))])


def measure_memory(webhooks: int = WEBHOOKS, in_flight: int = IN_FLIGHT) -> dict[str, Any]:
    """Return the resident megabytes of a dispatcher that knows many webhooks while many calls hang."""
    with stack(HOOKLINE_IN_FLIGHT=str(in_flight)) as on:
        to = receiver(on, delay_s=9.0)
        write_many(on, [(f"store{n}", to.url(f"hook{n}")) for n in range(webhooks)])
        port = free_port()
        dispatcher = on.hookline("dispatch", HOOKLINE_METRICS_PORT=str(port))
        wait(lambda: _known(port) >= webhooks, 60, "the dispatcher to know all webhooks")
        idle = dispatcher.rss_mb
        with on.publisher() as publisher:
            clock = SystemClock()
            publisher.publish_many([example_event("order.created", f"store{n % webhooks}", clock=clock) for n in range(in_flight * 2)])
        wait(lambda: metric(port, "hookline_dispatcher_in_flight") >= in_flight, 60, f"{in_flight} calls in flight")
        return {"webhooks": webhooks, "in_flight": in_flight, "idle_rss_mb": idle, "rss_mb": dispatcher.rss_mb}


def _known(port: int) -> float:
    try:
        return metric(port, "hookline_dispatcher_webhooks")
    except OSError:
        return -1


if __name__ == "__main__":
    print(measure_rate())
    print(measure_native())
    print(measure_memory())
