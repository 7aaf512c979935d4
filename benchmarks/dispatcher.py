"""What a delivery costs a dispatcher, and how much memory it takes; `python -m benchmarks.dispatcher`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.checks import reconcile, verify
from benchmarks.entities import examples
from benchmarks.many import write_many
from benchmarks.repeats import Values
from benchmarks.stack import STORE, Process, Receiver, Stack, metric, receiver, stack, wait
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError
from hookline.local.kafka_broker import EmbeddedBroker, free_port
from hookline.producers.event_record import EventRecord
from hookline.producers.publisher import Outcome, Publisher
from hookline.schemas.events import Event, new_event_id, normalise
from hookline.schemas.topics import TopicsConfig

SMALL = "product.changed"  # 1,023 bytes of JSON
LARGE = "order.created"  # 3.1 KB
EVERY_TOPIC: Final = (SMALL, LARGE, "cart.updated", "customer.created")
"""One of each topic. Kafka gives two dispatchers whole topics: of one topic's events one of the two would get all."""
UNDER_WAY = 64
ACTIVE = 10_000
LEAST_SHARE: Final = 0.25
"""What each of several dispatchers must do of the work; else it was one that worked and one that looked on."""
_PORTS = 16
_WARM_PART = 10
_SETTLE_S = 0.7  # more than a commit takes to come, which also tells how many records are pending
_PATIENCE_S = 240
_READY_S = 120
_PART: Final = 5_000
_HANG_S = 30.0
_ATTEMPTS = "hookline_dispatcher_attempts_total"
_PENDING = "hookline_dispatcher_pending_records"
_IN_FLIGHT = "hookline_dispatcher_in_flight"
_WEBHOOKS = "hookline_dispatcher_webhooks"
_REBALANCES = "hookline_dispatcher_rebalances_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What a dispatcher works off.

    `fan_out`: webhooks that match each event. `webhooks`: how many there are in all, those beyond `fan_out` of other stores. `hung`: calls
    that get no answer meanwhile. `dispatchers`: how many processes share the work.
    """

    events: int
    event_types: tuple[str, ...] = (SMALL,)
    fan_out: int = 1
    webhooks: int = 1
    hung: int = 0
    dispatchers: int = 1
    tls: bool = False
    transport: str = "native"

    @property
    def deliveries(self) -> int:
        """Return how many calls there are to be."""
        return self.events * self.fan_out


@dataclass(frozen=True, slots=True)
class _Dispatchers:
    """Running dispatchers, each with its metrics' port."""

    processes: list[Process] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def start(self, on: Stack, **settings: str) -> None:
        """Start one more."""
        self.ports.append(free_port())
        self.processes.append(on.hookline("dispatch", HOOKLINE_METRICS_PORT=str(self.ports[-1]), **settings))

    def each(self, name: str, labels: str = "") -> list[float]:
        """Return a metric of each; -1 of one that does not answer yet."""
        return [_metric(port, name, labels) for port in self.ports]

    def partitions(self) -> list[float]:
        """Return how many partitions of events each has."""
        found = [self.each(_REBALANCES, f'source="events",what="{what}"') for what in ("given", "taken", "lost")]
        return [given - taken - lost for given, taken, lost in zip(*found, strict=True)]

    def ready(self, webhooks: int, partitions: int) -> bool:
        """Tell whether each knows all webhooks and has partitions, and all partitions are given out."""
        if min(self.each(_WEBHOOKS)) < webhooks:
            return False
        found = self.partitions()
        return min(found) > 0 and sum(found) == partitions


def measure_backlog(backlog: Backlog, broker: EmbeddedBroker | None = None) -> Values:
    """Return CPU per delivery and rate of dispatchers that work off events, from nothing in hand to nothing in hand.

    They run and are warm (a tenth more events, at least one for each webhook, before), and everything is settled, when the clock begins.
    The events, encoded before, then come onto Kafka as fast as it takes them (`published_s`), a fifth to a tenth of the time that they keep
    a dispatcher busy. The rate counts until the last call; the CPU until 0.7 s later, when all is settled. So each event is counted whole:
    fetched, decoded, matched, each of its deliveries made, called, and committed. A clock that begins in the midst of a backlog leaves out
    what is taken up and fetched ahead by then: thousands of events, and at 10 webhooks an event ten times as many deliveries.
    """
    settings = {"HOOKLINE_LANE_CONCURRENCY": str(max(1, UNDER_WAY // backlog.fan_out)), "HOOKLINE_LANE_QUEUE": "10000"}
    settings |= {"HOOKLINE_TRANSPORT": backlog.transport, "HOOKLINE_IN_FLIGHT": "2000"}
    with stack(broker, **settings) as on, on.publisher() as publisher:
        to = receiver(on, ports=_PORTS if backlog.webhooks > 1 else 1)
        stores, secrets = _webhooks(on, to, backlog)
        warm, events = _warm(backlog, len(stores)), backlog.events
        works = _started(on, to, backlog)
        records = prepared(publisher, backlog.event_types, stores, warm + events)
        _ready(on, works, len(secrets))
        if backlog.hung:
            _hang(publisher, backlog, works)
        _publish(publisher, records[:warm])
        wait(lambda: to.count() >= backlog.hung + warm * backlog.fan_out, _PATIENCE_S, "the first calls")
        found = _timed(works, to, backlog, warm, lambda: _publish(publisher, records[warm:]))
        return found | {"stores": len(stores), "signatures_verified": verify(to.sample(), secrets)}


def _webhooks(on: Stack, to: Receiver, backlog: Backlog) -> tuple[list[str], dict[str, str]]:
    """Write the webhooks; return the stores that publish, one of a fan-out or up to 10,000, and the secret behind each path."""
    stores = [STORE] * backlog.fan_out + [f"store{n}" for n in range(backlog.webhooks - backlog.fan_out)]
    paths = [f"hook{n}" for n in range(len(stores))]
    urls = [to.tls_url(path) if backlog.tls else to.url(path, n) for n, path in enumerate(paths)]
    made = write_many(on, list(zip(stores, urls, strict=True)), backlog.event_types)
    hang = [f"hang{n}" for n in range(backlog.hung)]
    if hang:
        made += write_many(on, [(f"hung{n}", to.url(path)) for n, path in enumerate(hang)], backlog.event_types, _HANG_S)
    secrets = {path: one.secret for path, one in zip([*paths, *hang], made, strict=True)}
    return [STORE] if backlog.fan_out > 1 else active(stores), secrets


def active(stores: Sequence[str]) -> list[str]:
    """Return the stores that publish: all up to 10,000, of more so many, spread evenly."""
    return list(stores[:: max(1, len(stores) // ACTIVE)][:ACTIVE])


def prepared(publisher: Publisher, event_types: Sequence[str], stores: Sequence[str], events: int) -> list[EventRecord]:
    """Return the records of events that happen now, going round types, stores and entities."""
    clock, kinds = SystemClock(), [[normalise(name, data) for data in examples(name)] for name in event_types]

    def event(number: int) -> Event:
        turn, kind = divmod(number, len(kinds))
        data, store_id = kinds[kind][turn % len(kinds[kind])], stores[number % len(stores)]
        return Event(id=new_event_id(), type=event_types[kind], store_id=store_id, occurred_at=clock.now(), data=data)

    return publisher.prepare(map(event, range(events)))


def _started(on: Stack, to: Receiver, backlog: Backlog) -> _Dispatchers:
    works, trust = _Dispatchers(), {"SSL_CERT_FILE": str(to.authority)} if backlog.tls else {}
    for _ in range(backlog.dispatchers):
        works.start(on, **trust)
    return works


def _ready(on: Stack, works: _Dispatchers, webhooks: int) -> None:
    partitions = len(on.topics.all_events()) * load(TopicsConfig, on.environ).event_partitions
    wait(lambda: works.ready(webhooks, partitions), _READY_S, "dispatchers that know all webhooks and share all partitions", every_s=0.2)


def _hang(publisher: Publisher, backlog: Backlog, works: _Dispatchers) -> None:
    _publish(publisher, prepared(publisher, backlog.event_types, [f"hung{n}" for n in range(backlog.hung)], backlog.hung))
    wait(lambda: sum(works.each(_IN_FLIGHT)) >= backlog.hung, 60, f"{backlog.hung} calls that hang")


def _publish(publisher: Publisher, records: Sequence[EventRecord]) -> float:
    """Hand records to Kafka and wait until it has them; return the seconds, and end the program when it lacks one."""
    began, failed = time.monotonic(), list[str]()

    def done(outcome: Outcome) -> None:
        if isinstance(outcome, BrokerError):
            failed.append(str(outcome))

    for record in records:
        publisher.send_record(record, done)
    publisher.flush(60)
    if failed:
        raise SystemExit(f"{len(failed)} events did not come onto Kafka: {failed[0]}")
    return time.monotonic() - began


def _warm(backlog: Backlog, stores: int) -> int:
    """Return how many events come before the clock begins: a tenth more, and at least one for each store that publishes.

    The first call of a webhook costs more, whose key is opened and whose URL is taken apart.
    """
    return max(stores, backlog.events // _WARM_PART)


def _timed(works: _Dispatchers, to: Receiver, backlog: Backlog, warm: int, publish: Callable[[], float]) -> Values:
    _settled(works, backlog)
    first, attempts, cpu = to.count(), works.each(_ATTEMPTS), [process.cpu_s for process in works.processes]
    began = time.monotonic()
    published_s = publish()
    wait(lambda: to.count() >= first + backlog.deliveries, _PATIENCE_S, "all calls")
    took = time.monotonic() - began
    time.sleep(_SETTLE_S)
    used = sum(process.cpu_s - before for process, before in zip(works.processes, cpu, strict=True))
    _settled(works, backlog)
    made = [now - before for now, before in zip(works.each(_ATTEMPTS), attempts, strict=True)]
    least = _checked(works, to, backlog, warm, made)
    return {
        "deliveries": backlog.deliveries,
        "published_s": published_s,
        "rate_per_s": backlog.deliveries / took,
        "rate_per_cpu_s": backlog.deliveries / used,
        "cpu_us_per_delivery": used / backlog.deliveries * 1e6,
        "rss_mb": max(process.rss_mb for process in works.processes),
        "least_share": least,
    }


def _settled(works: _Dispatchers, backlog: Backlog) -> None:
    """Wait until nothing is in hand but the calls that hang; end the program when that takes long, or when one of those hangs no more."""

    def alone() -> bool:
        return sum(works.each(_PENDING)) == sum(works.each(_IN_FLIGHT)) == backlog.hung

    time.sleep(_SETTLE_S)
    wait(alone, 10, f"everything to be settled, and {backlog.hung} calls still to hang", every_s=0.2)


def _checked(works: _Dispatchers, to: Receiver, backlog: Backlog, warm: int, made: Sequence[float]) -> float:
    """Return the least part of the work that one dispatcher did; end the program when it is too little, or a count is off."""
    reconcile(to_be_made=backlog.deliveries, attempts=round(sum(made)))
    wanted = backlog.deliveries + warm * backlog.fan_out
    delivered = round(sum(works.each(_ATTEMPTS, 'outcome="delivered"')))
    calls = {"calls": to.count() - backlog.hung, "different_deliveries": to.unique() - backlog.hung}
    reconcile(to_be_delivered=wanted, delivered=delivered, **calls)
    return fair(made)


def fair(made: Sequence[float]) -> float:
    """Return the least part that one of several has of what they did together; end the program when it is below `LEAST_SHARE`."""
    least = min(made) / sum(made)
    if len(made) > 1 and least < LEAST_SHARE:
        raise SystemExit(f"one of {len(made)} dispatchers made {least:.0%} of the calls: that is not {len(made)} at work")
    return least


def further_us(one: Values, many: Values, fan_out: int) -> float:
    """Return the CPU of a further webhook of the same event: (cost of an event with `fan_out` - with one) / (`fan_out` - 1).

    Both are the whole cost of events, of which nothing was in hand at the clock's beginning, nor at its end.
    """
    return float((many["cpu_us_per_delivery"] * fan_out - one["cpu_us_per_delivery"]) / (fan_out - 1))


def measure_memory(webhooks: int, in_flight: int, broker: EmbeddedBroker | None = None) -> Values:
    """Return the resident megabytes of a dispatcher that has called each of many webhooks once, while the calls of further ones hang.

    What a dispatcher keeps of a webhook, it makes for the first call: one that it only knows takes less. `idle_rss_mb`: all are known, none
    was called; `called_rss_mb`: each was, and nothing is in hand.
    """
    stores = [f"store{n}" for n in range(webhooks)]
    with stack(broker, HOOKLINE_IN_FLIGHT=str(in_flight + in_flight // 10)) as on, on.publisher() as publisher:
        to, works = receiver(on, ports=_PORTS), _Dispatchers()
        write_many(on, [(store, to.url(f"hook{n}", n)) for n, store in enumerate(stores)], (LARGE,))
        write_many(on, [(f"hung{n}", to.url(f"hang{n}", n)) for n in range(in_flight)], (LARGE,), _HANG_S)
        works.start(on)
        _ready(on, works, webhooks + in_flight)
        found: Values = {"webhooks": webhooks, "in_flight": in_flight, "idle_rss_mb": works.processes[0].rss_mb}
        _call_each(publisher, to, stores)
        found["called_rss_mb"] = works.processes[0].rss_mb
        _hang(publisher, Backlog(events=0, event_types=(LARGE,), hung=in_flight), works)
        return found | {"rss_mb": works.processes[0].rss_mb}


def _call_each(publisher: Publisher, to: Receiver, stores: Sequence[str]) -> None:
    """Have the webhook of each store called once, some at a time, so that no great backlog takes memory too."""
    for first in range(0, len(stores), _PART):
        part = stores[first : first + _PART]
        _publish(publisher, prepared(publisher, (LARGE,), part, len(part)))
        _wait_for_calls(to, first + len(part))
    reconcile(webhooks=len(stores), calls=to.count(), different_deliveries=to.unique())


def _wait_for_calls(to: Receiver, calls: int) -> None:
    wait(lambda: to.count() >= calls, _PATIENCE_S, f"{calls} calls")


def _metric(port: int, name: str, labels: str = "") -> float:
    try:
        return metric(port, name, labels)
    except OSError:
        return -1


if __name__ == "__main__":
    print(measure_backlog(Backlog(events=20_000)))
