"""What `make bench` and `make bench-full` run, and which figures come of it, with their targets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import ingest, latency, reference, sender, sink, templates, whole
from benchmarks.dispatcher import EVERY_TOPIC, LARGE, SMALL, Backlog, further_us, measure_backlog, measure_memory
from benchmarks.plot import Chart
from benchmarks.repeats import Case, Figure, Found, Values
from benchmarks.stack import receiver, stack
from hookline.local.kafka_broker import EmbeddedBroker

_FAN_OUTS = {1: "dispatcher", 10: "fan-out-10", 1_000: "fan-out-1000"}
_WEBHOOKS = {100: "webhooks-100", 100_000: "webhooks-many"}
_LEAST = "100/s"
_LOADS = {"10 %": 0.1, "50 %": 0.5, "80 %": 0.8}
_SINK_ROWS = 200_000
_SECONDS = {_LEAST: 10.0, "10 %": 2.5, "50 %": 5.0, "80 %": 2.5}
_SECONDS_FULL = {_LEAST: 30.0, "10 %": 10.0, "50 %": 20.0, "80 %": 10.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much each case does; 1.0 is made for figures, less only shows that it works."""

    scale: float = 1.0

    def of(self, number: int, least: int = 100) -> int:
        """Return so many, a multiple of 100."""
        return max(least, round(number * self.scale / 100) * 100)

    def seconds(self, number: float) -> float:
        """Return so long."""
        return max(1.0, number * self.scale)


def quick(broker: EmbeddedBroker, size: Size, *, full: bool = False) -> list[Case]:
    """Return the cases of `make bench`; references come before what is put beside them.

    A full run takes longer for latency and more for the sink.
    """

    def backlog(name: str, **more: object) -> Case:
        return _backlog(broker, size, name, 15_000, **more)

    return [
        Case("wrk", lambda _: _reference(broker, size, tls=False)),
        Case("wrk-tls", lambda _: _reference(broker, size, tls=True)),
        Case("sender", lambda _: _sender(broker, size)),
        backlog("dispatcher"),
        backlog("dispatcher-tls", tls=True),
        backlog("dispatcher-large", event_types=(LARGE,)),
        Case("fan-out-10", lambda found: _fan_out(broker, size, 10, found)),
        Case("templates", lambda _: templates.measure(size.of(20_000))),
        Case("ingest", lambda _: ingest.measure(SMALL, size.of(10_000), size.of(200), broker)),
        Case("whole", lambda _: whole.measure(SMALL, size.of(15_000), broker, publish=whole.one_by_one)),
        Case("whole-batch", lambda _: whole.measure(SMALL, size.of(20_000), broker, publish=whole.by_hundreds)),
        Case("latency", lambda found: _latency(broker, size, found, full=full)),
        Case("sink", lambda _: sink.measure(size.of(sink.ROWS if full else _SINK_ROWS, 20_000), broker)),
    ]


def longer(broker: EmbeddedBroker, size: Size) -> list[Case]:
    """Return what `make bench-full` runs beside those."""
    many = size.of(100_000)

    def backlog(name: str, **more: object) -> Case:
        return _backlog(broker, size, name, 30_000, **more)

    return [
        backlog("webhooks-100", webhooks=100),
        backlog("webhooks-many", webhooks=many),
        backlog("hung-none", hung=1),
        backlog("hung-800", hung=size.of(800)),
        Case("fan-out-1000", lambda found: _fan_out(broker, size, 1_000, found)),
        backlog("dispatchers-1", event_types=EVERY_TOPIC),
        backlog("dispatchers-2", event_types=EVERY_TOPIC, dispatchers=2),
        backlog("dispatcher-aiohttp", transport="aiohttp"),
        Case("memory", lambda _: measure_memory(many, size.of(2_000), broker)),
    ]


def _backlog(broker: EmbeddedBroker, size: Size, name: str, events: int, **more: object) -> Case:
    wanted = Backlog(events=size.of(events), **more)  # type: ignore[arg-type]  # fields of a dataclass, by name
    return Case(name, lambda _: measure_backlog(wanted, broker))


def _reference(broker: EmbeddedBroker, size: Size, *, tls: bool) -> Values:
    with stack(broker) as on:
        return reference.measure(receiver(on), SMALL, size.seconds(2), tls=tls)


def _sender(broker: EmbeddedBroker, size: Size) -> Values:
    with stack(broker) as on:
        return sender.measure(on, receiver(on), SMALL, size.of(40_000))


def _fan_out(broker: EmbeddedBroker, size: Size, fan_out: int, found: Found) -> Values:
    many = measure_backlog(Backlog(events=max(10, size.of(20_000) // fan_out), fan_out=fan_out), broker)
    return many | ({"further_us": further_us(found["dispatcher"], many, fan_out)} if "dispatcher" in found else {})


def _latency(broker: EmbeddedBroker, size: Size, found: Found, *, full: bool) -> Values:
    seconds = _SECONDS_FULL if full else _SECONDS
    rates: dict[str, float] = {_LEAST: latency.LEAST}
    if "whole" in found:
        rates |= {name: part * found["whole"]["rate_per_s"] for name, part in _LOADS.items()}
    return latency.measure(SMALL, {name: latency.At(rate, size.seconds(seconds[name])) for name, rate in rates.items()}, broker)


_PER_WEBHOOKS = ("webhooks-many.cpu_us_per_delivery", "webhooks-100.cpu_us_per_delivery")
FIGURES: Sequence[Figure] = (
    Figure("wrk", "reference: calls per CPU-second", "/s", "wrk.rate_per_cpu_s"),
    Figure("wrk-tls", "reference over TLS: calls per CPU-second", "/s", "wrk-tls.rate_per_cpu_s"),
    Figure("sender-ratio", "sender alone ÷ reference", "", "sender.rate_per_cpu_s", "wrk.rate_per_cpu_s", 0.40),
    Figure("dispatcher-ratio", "dispatcher ÷ reference, per CPU-second", "", "dispatcher.rate_per_cpu_s", "wrk.rate_per_cpu_s", 0.12),
    Figure("tls-ratio", "the same over TLS kept alive", "", "dispatcher-tls.rate_per_cpu_s", "wrk-tls.rate_per_cpu_s", 0.15),
    Figure("dispatcher-us", "dispatcher, CPU per delivery, 1 KiB", "µs", "dispatcher.cpu_us_per_delivery", "", 80, at_most=True),
    Figure("dispatcher-memory", "dispatcher, memory with a backlog of events of 1 KiB", "MB", "dispatcher.rss_mb"),
    Figure("large-us", "dispatcher, CPU per delivery, 3.1 KB", "µs", "dispatcher-large.cpu_us_per_delivery"),
    Figure("further-us", "a further webhook of the same event, CPU", "µs", "fan-out-10.further_us", "", 45, at_most=True),
    Figure(
        "template-slack", "a template adds: the message for Slack, of an order of 3.1 KB", "µs", "templates.slack_us", "", 25, at_most=True
    ),
    Figure("template-own", "a template adds: an own one with CEL, of the same", "µs", "templates.own_us", "", 25, at_most=True),
    Figure("template-cloudevents", "a template adds: CloudEvents, of the same", "µs", "templates.cloudevents_us", "", 25, at_most=True),
    Figure("template-loop", "a template adds: an own one with a loop, of the same", "µs", "templates.loop_us"),
    Figure("fan-out-1000-us", "1,000 webhooks of an event, CPU per delivery", "µs", "fan-out-1000.cpu_us_per_delivery"),
    Figure("aiohttp-us", "dispatcher with HOOKLINE_TRANSPORT=aiohttp, CPU", "µs", "dispatcher-aiohttp.cpu_us_per_delivery"),
    Figure("many-ratio", "cost with 100,000 webhooks ÷ with 100", "", *_PER_WEBHOOKS, 1.1, at_most=True),
    Figure("hung-ratio", "healthy rate with 800 hung calls ÷ without", "", "hung-800.rate_per_s", "hung-none.rate_per_s", 0.85),
    Figure("two-rate", "rate with 2 dispatchers ÷ with 1", "", "dispatchers-2.rate_per_s", "dispatchers-1.rate_per_s"),
    Figure("two-cost", "cost with 2 dispatchers ÷ with 1", "", "dispatchers-2.cpu_us_per_delivery", "dispatchers-1.cpu_us_per_delivery"),
    Figure("memory", "dispatcher, 100,000 webhooks, 2,000 in flight", "MB", "memory.rss_mb", "", 400, at_most=True),
    Figure("ingest", "ingest, single events per CPU-second", "/s", "ingest.single_per_cpu_s", "", 8_000),
    Figure("ingest-batch", "ingest, in batches of 100, per CPU-second", "/s", "ingest.batch_per_cpu_s", "", 25_000),
    Figure("sink", "sink, rows per CPU-second", "/s", "sink.rows_per_cpu_s", "", 150_000),
    Figure("sink-memory", "sink, memory at a backlog, with its ClickHouse", "MB", "sink.rss_mb", "", 1_000, at_most=True),
    Figure("whole", "whole system, one by one", "/s", "whole.rate_per_s", "", 8_000),
    Figure("whole-cpu", "whole system, one by one: CPU per delivery", "ms", "whole.cpu_ms_per_delivery", "", 0.20, at_most=True),
    *(Figure(f"whole-{part}", f"  {part}", "µs", f"whole.{part}_us") for part in ("broker", "ingest", "dispatcher", "sink")),
    Figure("batch", "whole system, in batches of 100", "/s", "whole-batch.rate_per_s", "", 12_000),
    Figure("batch-cpu", "whole system, in batches: CPU per delivery", "ms", "whole-batch.cpu_ms_per_delivery", "", 0.14, at_most=True),
    *(Figure(f"batch-{part}", f"  {part}", "µs", f"whole-batch.{part}_us") for part in ("broker", "ingest", "dispatcher", "sink")),
    Figure("p50", "publish→receive at 100/s, p50", "ms", "latency.100/s_p50_ms", "", 2, at_most=True),
    Figure("p99", "publish→receive at 100/s, p99", "ms", "latency.100/s_p99_ms", "", 5, at_most=True),
    *(
        Figure(f"p{q} {load}", f"publish→receive at {load} load, p{q}", "ms", f"latency.{load}_p{q}_ms")
        for load in _LOADS
        for q in (50, 99)
    ),
    Figure("added-p99", "added p99 at half load, above the receiver's own", "ms", "latency.50 %_added_p99_ms", "", 15, at_most=True),
    Figure("statistics", "30-day statistics of one webhook (5 M; full: 100 M)", "ms", "statistics.statistics_ms", "", 50, at_most=True),
    Figure("log-page", "filtered page of the log (the same)", "ms", "statistics.log_page_ms", "", 200, at_most=True),
    Figure("console-log", "console over HTTP: page of the log", "ms", "console.log_page_ms", "", 200, at_most=True),
    Figure("console-statistics", "console: 30-day statistics of a webhook", "ms", "console.statistics_webhook_ms", "", 100, at_most=True),
    Figure("console-store", "console: 30-day statistics of a store", "ms", "console.statistics_store_ms", "", 100, at_most=True),
    Figure("console-webhooks", "console: list of 1,000 webhooks", "ms", "console.webhook_list_ms", "", 100, at_most=True),
    Figure("console-explain", "console: explain, delivered", "ms", "console.explain_delivered_ms", "", 300, at_most=True),
    Figure("console-memory", "console: memory with its ClickHouse", "MB", "console.rss_mb", "", 1_000, at_most=True),
)


def charts(repeats: Sequence[Found]) -> dict[str, Chart]:
    """Return the charts of a run by name, each of medians; one whose cases were not run is left out."""
    load = {f"p{q}": [p for name in (_LEAST, *_LOADS) if (p := _latency_point(repeats, name, q))] for q in (50, 99)}
    made = {
        "latency": Chart("publish→receive against load", "events a second", "milliseconds", {k: sorted(v) for k, v in load.items()}),
        "rate": Chart("rate against webhooks", "webhooks", "calls a second", _by_webhooks(repeats, "rate_per_s"), powers=True),
        "cost": Chart("CPU per delivery against webhooks", "webhooks", "µs", _by_webhooks(repeats, "cpu_us_per_delivery"), powers=True),
    }
    return {name: chart for name, chart in made.items() if any(chart.lines.values())}


def _by_webhooks(repeats: Sequence[Found], value: str) -> dict[str, Sequence[tuple[float, float]]]:
    """Return the medians of a value by how many webhooks match an event, and by how many there are in all."""
    lines = {
        name: [(number, found) for number, case in cases.items() if (found := median(repeats, case, value)) is not None]
        for name, cases in (("of an event", _FAN_OUTS), ("in all", _WEBHOOKS))
    }
    return {name: line for name, line in lines.items() if line}


def median(repeats: Sequence[Found], case: str, value: str) -> float | None:
    """Return the median of a case's value; None when no repeat has it."""
    found = [float(one[case][value]) for one in repeats if case in one and value in one[case]]
    return statistics.median(found) if found else None


def _latency_point(repeats: Sequence[Found], name: str, percent: int) -> tuple[float, float] | None:
    rate, value = median(repeats, "latency", f"{name}_rate_per_s"), median(repeats, "latency", f"{name}_p{percent}_ms")
    return None if rate is None or value is None else (round(rate), value)
