"""Reference pages from the code: metrics, topics, errors."""

from __future__ import annotations

import inspect
from typing import Final

from prometheus_client import Counter, Histogram

from deploy.grafana.series import COMPONENTS, labels_of, metrics_of, name_of
from deploy.site.markdown import table
from hookline.console.http.problems import MEANINGS
from hookline.kernel import errors
from hookline.kernel.config import load
from hookline.schemas.topics import SCHEMAS, Topics, TopicsConfig, specs

_DAY_MS: Final = 86_400_000
_FAMILIES: Final = {
    "events": "events of the category",
    "retry": "deliveries that wait",
    "dead-letters": "what was given up of the category",
}


def metrics() -> str:
    """Return the page of all metrics."""
    parts = [
        "# Metrics\n",
        "Each process serves them at `/metrics` of its own port (`HOOKLINE_METRICS_PORT`). Labels have closed sets of values:",
        "no store, webhook or URL is ever one. A histogram has `_bucket`, `_sum` and `_count`.\n",
    ]
    for title, module in COMPONENTS.items():
        rows = [
            (f"`{name_of(metric)}`", _kind(metric), ", ".join(f"`{name}`" for name in labels_of(metric)), _documentation(metric))
            for metric in metrics_of(module)
        ]
        parts += [f"## {title}\n", table(("metric", "kind", "labels", "meaning"), rows)]
    return "\n".join(parts)


def _kind(metric: object) -> str:
    return "counter" if isinstance(metric, Counter) else "histogram" if isinstance(metric, Histogram) else "gauge"


def _documentation(metric: object) -> str:
    return str(next(iter(metric.describe())).documentation)  # type: ignore[attr-defined]  # every metric has it


def topics() -> str:
    """Return the page of all topics with the settings that `hookline topics create` gives them."""
    config = load(TopicsConfig, {})
    rows = [(f"`{spec.name}`", spec.partitions, _kept(spec.config), _purpose(spec.name)) for spec in specs(Topics("hookline"), config)]
    return "\n".join((
        "# Topics\n",
        "What `hookline topics create` makes with the settings as they are by default; prefix, partitions, copies and retention are",
        "[settings](../configuration.md), and `hookline topics plan` tells where a cluster differs.",
        "What lies on them: [schemas](../schemas.md).\n",
        table(("topic", "partitions", "kept", "what"), rows),
        "Event, retry, replay and dead-letter topics and `.webhooks` carry the broker's time (`message.timestamp.type=LogAppendTime`); the",
        "first four take records of up to 2 MiB. Each topic has `min.insync.replicas` 2 where there are three copies or more, else 1.",
    ))  # fmt: skip


def _kept(config: dict[str, str]) -> str:
    if config["cleanup.policy"] == "compact":
        return "compacted: the last record of each key"
    kept_ms = int(config["retention.ms"])
    return "for ever" if kept_ms < 0 else f"{kept_ms // _DAY_MS} days"


def _purpose(name: str) -> str:
    """Return what the class of names says of a topic."""
    if name == SCHEMAS:
        return "schemas, in the format of Confluent's and Karapace's registry"
    for family, what in _FAMILIES.items():
        if name.startswith(f"hookline.{family}."):
            return f"{what} {name.rpartition('.')[2]}"
    named = {getattr(Topics("hookline"), key): value for key, value in vars(Topics).items() if isinstance(value, property)}
    return (inspect.getdoc(named[name]) or "").removeprefix("Compacted: ").rstrip(".")


def problems() -> str:
    """Return the page of errors: what the API answers, and what programs that use the package catch."""
    rows = [(f"`{code}`", meaning.status, meaning.title, meaning.remedy) for code, meaning in MEANINGS.items()]
    tree = (errors.__doc__ or "").split("```")[1]
    return "\n".join((
        "# Errors\n",
        "## Problems of the API\n",
        "Answers of ingest and console are `application/problem+json`. Programs decide by `code`; `detail` says what was wrong with this",
        "request, `field` where, and `remedy` what to do: the words below where there is nothing more to say.\n",
        table(("code", "status", "title", "what to do"), rows),
        "## Errors of the package\n",
        "What `Publisher` and the commands raise, from `hookline.kernel.errors`. Each has `code`, `message` and `remedy`.\n",
        f"```text{tree}```",
        "\nA command ends with status 2 when what it was given is wrong (`InputError`), with 1 otherwise.",
    ))  # fmt: skip
