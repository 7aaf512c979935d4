"""PromQL from the metric definitions: a metric or a label that there is not cannot be named."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from hookline.analytics import metrics as analytics
from hookline.console import metrics as console
from hookline.dispatcher import metrics as dispatcher
from hookline.producers.ingest import metrics as ingest

COMPONENTS: Final[dict[str, ModuleType]] = {"Ingest": ingest, "Dispatchers": dispatcher, "Sink and log": analytics, "Console": console}
TARGET: Final = '{instance=~"$instance"}'
QUANTILES: Final = ("0.5", "0.99")
_WORST: Final = {  # gauges whose sum over processes means nothing
    dispatcher.OLDEST_DUE_S: "min",
    dispatcher.CLOCK_FAST_S: "max",
    dispatcher.REGISTRY_AGE_S: "max",
    dispatcher.REGISTRY_FAULTS: "max",
    dispatcher.WEBHOOKS: "max",
    analytics.WAITING: "max",
    analytics.DELAY: "max",
    analytics.AUDIT_DIFFERENCE: "max",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric as a panel shows it: queries with their legends, and what the definition says of it."""

    name: str
    title: str
    text: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    """(expression, legend) of each."""


def metrics_of(module: ModuleType) -> list[MetricWrapperBase]:
    """Return a component's metrics in the order of their definitions."""
    return [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]


def name_of(metric: MetricWrapperBase) -> str:
    """Return the name under which Prometheus knows a metric; a histogram's is without its suffix."""
    found = next(iter(metric.describe()))
    return f"{found.name}_total" if isinstance(metric, Counter) else found.name


def labels_of(metric: MetricWrapperBase) -> tuple[str, ...]:
    """Return a metric's own labels."""
    return tuple(metric._labelnames)  # noqa: SLF001  # the library keeps them to itself


def series(metric: MetricWrapperBase) -> Series:
    """Return how a metric is shown: a counter's rate, a histogram's quantiles, a gauge as it is."""
    name = name_of(metric)
    text = next(iter(metric.describe())).documentation
    what = name.removeprefix("hookline_").partition("_")[2]
    title = what.removesuffix("_total").replace("_", " ").capitalize()
    return Series(name=name, title=title, text=text, unit=_unit(metric, name), queries=_queries(metric, name))


def _queries(metric: MetricWrapperBase, name: str) -> tuple[tuple[str, str], ...]:
    labels = labels_of(metric)
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    if isinstance(metric, Histogram):
        by = ", ".join(("le", *labels))
        rate = f"sum by ({by}) (rate({name}_bucket{TARGET}[$__rate_interval]))"
        return tuple((f"histogram_quantile({q}, {rate})", f"p{float(q) * 100:g} {legend}".strip()) for q in QUANTILES)
    by = f" by ({', '.join(labels)})" if labels else ""
    if isinstance(metric, Counter):
        return ((f"sum{by} (rate({name}{TARGET}[$__rate_interval]))", legend or "a second"),)
    return ((f"{_over_processes(metric)}{by} ({name}{TARGET})", legend or "now"),)


def _over_processes(metric: MetricWrapperBase) -> str:
    return _WORST.get(metric, "sum") if isinstance(metric, Gauge) else "sum"


def _unit(metric: MetricWrapperBase, name: str) -> str:
    bare = name.removesuffix("_total")
    if bare.endswith("_bytes"):
        return "Bps" if isinstance(metric, Counter) else "bytes"
    if bare.endswith("_seconds"):
        return "s"
    return "ops" if isinstance(metric, Counter) else "short"
