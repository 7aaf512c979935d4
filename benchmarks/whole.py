"""The whole system on this machine, from the HTTP publish to the rows in ClickHouse; `python -m benchmarks.whole`.

Broker, ingest, dispatcher, and the sink with the embedded ClickHouse, each a process; the load and the receiver run beside them and
are not counted. In the run it is checked that what was acknowledged, received, and written are the same events, each once, and that a
sample of the calls verifies with the `standardwebhooks` package.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import psutil
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from benchmarks.load import Load
from benchmarks.publishing import BATCH, batch, ingest, single
from benchmarks.repeats import Values
from benchmarks.stack import STORE, Receiver, Stack, receiver, stack, wait
from hookline.analytics.gateway import RemoteQueries
from hookline.analytics.queries import Audit, audit
from hookline.kernel.errors import HooklineError
from hookline.local.kafka_broker import EmbeddedBroker, free_port
from hookline.webhooks.store import NewWebhook

Publish: TypeAlias = Callable[[Load, str, int], None]
_TOKEN = "bench"  # of a process that lives for a minute on loopback
_SETTINGS = {"HOOKLINE_LANE_CONCURRENCY": "64", "HOOKLINE_LANE_QUEUE": "10000"}
_WARM = 1_000
_PATIENCE_S = 180


def measure(event_type: str, events: int, broker: EmbeddedBroker | None = None, *, publish: Publish) -> Values:
    """Return deliveries per second and CPU per delivery by process; `publish` is `one_by_one` or `by_hundreds`.

    The rate counts from the first publish until the last call came; the CPU until the last row is in ClickHouse.
    """
    with stack(broker, **_SETTINGS) as on:
        to, port = receiver(on), free_port()
        secret = _webhook(on, to, event_type)
        sink = on.hookline("sink", HOOKLINE_QUERY_PORT=str(port), HOOKLINE_QUERY_TOKEN=_TOKEN, HOOKLINE_METRICS_PORT=str(free_port()))
        dispatcher = on.hookline("dispatch")
        process, load = ingest(on)
        log = RemoteQueries(f"http://127.0.0.1:{port}", _TOKEN)
        one_by_one(load, event_type, _WARM)
        wait(lambda: _written(log) >= _WARM, 60, "the first rows in ClickHouse")
        pids = {"broker": on.broker.pid, "ingest": process.popen.pid, "dispatcher": dispatcher.popen.pid, "sink": sink.popen.pid}
        found = _timed(pids, lambda: publish(load, event_type, events), to, lambda: _written(log), events)
        return found | {"signatures_verified": _check(to, log, secret, events + _WARM)}


def one_by_one(load: Load, event_type: str, events: int) -> None:
    """Publish each event in a request of its own."""
    load.closed(single(event_type), events)


def by_hundreds(load: Load, event_type: str, events: int) -> None:
    """Publish in batches of 100; `events` is a multiple of it."""
    load.closed(batch(event_type), events // BATCH)


def _webhook(on: Stack, to: Receiver, event_type: str) -> str:
    with on.webhooks() as webhooks:
        return webhooks.create(NewWebhook(store_id=STORE, url=to.url("hook"), event_types=(event_type,)))[1]


def _timed(pids: dict[str, int], publish: Callable[[], None], to: Receiver, written: Callable[[], int], events: int) -> Values:
    before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    first = to.count()
    publish()
    published = time.monotonic() - began
    wait(lambda: to.count() >= first + events, _PATIENCE_S, "all calls")
    took = time.monotonic() - began
    wait(lambda: written() >= first + events, _PATIENCE_S, "all rows in ClickHouse", every_s=0.2)
    used = {name: (cpu_s(pid) - before[name]) / events for name, pid in pids.items()}
    return {
        "deliveries": events,
        "rate_per_s": events / took,
        "published_per_s": events / published,
        "rows_after_s": time.monotonic() - began,
        "cpu_ms_per_delivery": sum(used.values()) * 1e3,
        **{f"{name}_us": value * 1e6 for name, value in used.items()},
    }


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far, user and system, all threads."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _log(log: RemoteQueries) -> Audit | None:
    try:
        return audit(log, STORE)
    except HooklineError:
        return None


def _written(log: RemoteQueries) -> int:
    found = _log(log)
    return found.rows if found is not None else 0


def _check(to: Receiver, log: RemoteQueries, secret: str, events: int) -> int:
    """Return how many signatures were verified; end the program when a count is off or a signature is none."""
    wait(lambda: (found := _log(log)) is not None and found.adds_up, 10, "the log to add up")
    rows, calls, unique = _written(log), to.count(), to.unique()
    if not events == rows == calls == unique:
        raise SystemExit(f"acknowledged {events}, received {calls} ({unique} different), rows in ClickHouse {rows}")
    sample = to.sample()
    verify(sample, secret)
    return len(sample)


def verify(sample: Sequence[Values], secret: str) -> None:
    """Check each call's signature; end the program at one that is none, or when there is no call."""
    receiving = Webhook(secret)
    for call in sample:
        try:
            receiving.verify(call["body"], call["headers"])
        except WebhookVerificationError as error:
            raise SystemExit(f"the signature of {call['headers'].get('webhook-id')} does not verify: {error}") from error
    if not sample:
        raise SystemExit("no call was kept whose signature could be verified")


if __name__ == "__main__":
    print(measure("product.changed", 20_000, publish=one_by_one))
    print(measure("product.changed", 20_000, publish=by_hundreds))
