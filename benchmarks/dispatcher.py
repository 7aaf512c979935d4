"""What a delivery costs a dispatcher, and how much memory it takes; `python -m benchmarks.dispatcher`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.many import write_many
from benchmarks.repeats import Values
from benchmarks.stack import STORE, Process, Receiver, Stack, metric, receiver, stack, wait
from hookline.kernel.clock import SystemClock
from hookline.local.kafka_broker import EmbeddedBroker, free_port
from hookline.schemas.events import example_event

SMALL = "product.changed"  # 1,023 bytes of JSON
LARGE = "order.created"  # 3.1 KB
UNDER_WAY = 64
_ACTIVE = 100
_WARM_PART = 10
_SETTLE_S = 0.5
_PATIENCE_S = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What a dispatcher works off.

    `fan_out`: webhooks that match each event. `webhooks`: how many there are in all, those beyond `fan_out` of other stores. `hung`: calls
    that get no answer meanwhile. `live`: published while the dispatcher runs. `dispatchers`: how many processes share the work.
    """

    events: int
    event_type: str = SMALL
    fan_out: int = 1
    webhooks: int = 1
    hung: int = 0
    live: bool = False
    dispatchers: int = 1
    tls: bool = False
    transport: str = "native"

    @property
    def deliveries(self) -> int:
        """Return how many calls there are to be."""
        return self.events * self.fan_out


def measure_backlog(backlog: Backlog, broker: EmbeddedBroker | None = None) -> Values:
    """Return CPU per delivery and rate of dispatchers that work off a backlog that is on Kafka before they start.

    A tenth more, before what is counted, makes connections and warms caches. The CPU is read half a second after the last call.
    """
    settings = {"HOOKLINE_LANE_CONCURRENCY": str(max(1, UNDER_WAY // backlog.fan_out)), "HOOKLINE_LANE_QUEUE": "10000"}
    settings |= {"HOOKLINE_TRANSPORT": backlog.transport, "HOOKLINE_IN_FLIGHT": "2000"}
    with stack(broker, **settings) as on:
        to = receiver(on)
        trust = {"SSL_CERT_FILE": str(to.authority)} if backlog.tls else {}
        stores = _webhooks(on, to, backlog)
        if not backlog.live:
            _publish(on, backlog, stores)
        ports = [free_port() for _ in range(backlog.dispatchers)]
        started = [on.hookline("dispatch", HOOKLINE_METRICS_PORT=str(port), **trust) for port in ports]
        if backlog.hung:
            _hang(on, ports[0], backlog.hung)
        if not backlog.live:
            return _timed(started, to, backlog)
        with ThreadPoolExecutor(1) as publishing:
            published = publishing.submit(_publish, on, backlog, stores)
            found = _timed(started, to, backlog)
            published.result()
        return found


def _webhooks(on: Stack, to: Receiver, backlog: Backlog) -> list[str]:
    """Write the webhooks; return the stores that publish: the one of the fan-out, or up to 100 that have one webhook each."""
    url = to.tls_url if backlog.tls else to.url
    wanted = [(STORE, url(f"hook{n}")) for n in range(backlog.fan_out)]
    others = [f"store{n}" for n in range(backlog.webhooks - backlog.fan_out)]
    wanted += [(store, url("hook")) for store in others]
    write_many(on, wanted, backlog.event_type)
    if backlog.hung:
        write_many(on, [(f"hung{n}", to.url("hang")) for n in range(backlog.hung)], backlog.event_type, timeout_s=30.0)
    return [STORE, *others[:: max(1, len(others) // _ACTIVE)][: _ACTIVE - 1]] if backlog.fan_out == 1 else [STORE]


def _hang(on: Stack, port: int, hung: int) -> None:
    clock = SystemClock()
    with on.publisher() as publisher:
        publisher.publish_many([example_event(SMALL, f"hung{n}", clock=clock) for n in range(hung)])
    wait(lambda: _metric(port, "hookline_dispatcher_in_flight") >= hung, 60, f"{hung} calls that hang")


def _publish(on: Stack, backlog: Backlog, stores: Sequence[str]) -> None:
    clock, events = SystemClock(), backlog.events + _warm(backlog)
    with on.publisher() as publisher:
        for start in range(0, events, 5_000):
            numbers = range(start, min(start + 5_000, events))
            publisher.publish_many([example_event(backlog.event_type, stores[n % len(stores)], clock=clock) for n in numbers])


def _warm(backlog: Backlog) -> int:
    return max(1, backlog.events // _WARM_PART)


def _timed(started: Sequence[Process], to: Receiver, backlog: Backlog) -> Values:
    hung, warm = backlog.hung, _warm(backlog) * backlog.fan_out
    last = hung + warm + backlog.deliveries
    wait(lambda: to.count() >= hung + warm, _PATIENCE_S, "the first calls")
    began, first, cpu = time.monotonic(), to.count(), [process.cpu_s for process in started]
    wait(lambda: to.count() >= last, _PATIENCE_S, "all calls")
    took = time.monotonic() - began
    time.sleep(_SETTLE_S)
    if (seen := to.unique()) != last:
        raise SystemExit(f"{last} deliveries were to be made, {to.count()} calls of {seen} deliveries came")
    if not (done := last - first):
        raise SystemExit("all calls came before they could be timed; make the case larger")
    used = sum(process.cpu_s - before for process, before in zip(started, cpu, strict=True))
    return {
        "deliveries": done,
        "rate_per_s": done / took,
        "rate_per_cpu_s": done / used,
        "cpu_us_per_delivery": used / done * 1e6,
        "rss_mb": max(process.rss_mb for process in started),
    }


def further_us(one: Values, many: Values, fan_out: int) -> float:
    """Return the CPU of a further webhook of the same event: (cost of an event with `fan_out` - with one) / (`fan_out` - 1)."""
    return float((many["cpu_us_per_delivery"] * fan_out - one["cpu_us_per_delivery"]) / (fan_out - 1))


def measure_memory(webhooks: int, in_flight: int, broker: EmbeddedBroker | None = None) -> Values:
    """Return the resident megabytes of a dispatcher that knows many webhooks while many calls hang."""
    with stack(broker, HOOKLINE_IN_FLIGHT=str(in_flight)) as on:
        to = receiver(on)
        write_many(on, [(f"store{n}", to.url("hang")) for n in range(webhooks)], timeout_s=30.0)
        port = free_port()
        dispatcher = on.hookline("dispatch", HOOKLINE_METRICS_PORT=str(port))
        wait(lambda: _metric(port, "hookline_dispatcher_webhooks") >= webhooks, 120, "the dispatcher to know all webhooks")
        idle = dispatcher.rss_mb
        with on.publisher() as publisher:
            clock = SystemClock()
            publisher.publish_many([example_event(LARGE, f"store{n % webhooks}", clock=clock) for n in range(in_flight * 2)])
        wait(lambda: metric(port, "hookline_dispatcher_in_flight") >= in_flight, 60, f"{in_flight} calls in flight")
        return {"webhooks": webhooks, "in_flight": in_flight, "idle_rss_mb": idle, "rss_mb": dispatcher.rss_mb}


def _metric(port: int, name: str) -> float:
    try:
        return metric(port, name)
    except OSError:
        return -1


if __name__ == "__main__":
    print(measure_backlog(Backlog(events=20_000)))
