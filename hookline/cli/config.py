"""`hookline config`: every setting of every process, as it is in force here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Final

import typer

from hookline.cli.output import AsJson, say, show_json, show_table
from hookline.kernel.config import Setting, blanked, environment, masked, settings_of

COMPONENTS: Final = (
    ("Kafka", "hookline.kernel.kafka:KafkaConfig"),
    ("Topics", "hookline.schemas.topics:TopicsConfig"),
    ("Schema registry", "hookline.schemas.registered:RegistryConfig"),
    ("Publisher", "hookline.producers.publisher:PublisherConfig"),
    ("API keys", "hookline.producers.api_keys:ApiKeyConfig"),
    ("Ingest", "hookline.producers.ingest.config:IngestConfig"),
    ("Secrets", "hookline.webhooks.secrets:SecretsConfig"),
    ("Addresses", "hookline.webhooks.urls:UrlPolicy"),
    ("Dispatcher", "hookline.dispatcher.config:DispatchConfig"),
    ("Lanes", "hookline.dispatcher.lanes:LaneConfig"),
    ("Sink", "hookline.analytics.config:SinkConfig"),
    ("ClickHouse", "hookline.analytics.config:WarehouseConfig"),
    ("Retention", "hookline.analytics.config:RetentionConfig"),
    ("Log and statistics", "hookline.analytics.config:QueryConfig"),
    ("Console", "hookline.console.config:ConsoleConfig"),
    ("Panel", "hookline.console.panel.config:PanelConfig"),
    ("Metrics and health", "hookline.kernel.metrics:MetricsConfig"),
    ("Traces", "hookline.kernel.tracing:TracingConfig"),
)
"""The components in the order of the data's way, and the dataclasses that hold their settings."""

OTHERS: Final = (
    Setting(env="HOOKLINE_STATE_DIR", default=".hookline", doc="folder of the embedded stack's state", parse=str),
    Setting(env="HOOKLINE_CACHE_DIR", default="~/.cache/hookline", doc="folder of what the embedded stack has fetched once", parse=str),
    Setting(env="HOOKLINE_STORE", default="demo", doc="the store that commands mean when they get no --store", parse=str),
    Setting(env="HOOKLINE_INGEST_URL", default="", doc="where `demo-store --via http` publishes; `hookline up` sets it", parse=str),
    Setting(env="HOOKLINE_API_KEY", default="", doc="the API key that `demo-store --via http` uses", parse=str, secret=True),
)
"""Variables that commands read and no process."""

_MASK: Final = "********"
_HEAD: Final = (
    "# Configuration",
    "",
    "Every process reads its settings from environment variables, checks them at start, and ends with an error that names the variable",
    "when one is missing or wrong. An empty variable counts as unset. `hookline config` shows what is in force, secrets masked. Beside the",
    "environment stands what a running `hookline up` of the same folder has set; the environment wins.",
    "",
    "This page is made from the code: `hookline config --reference > docs/configuration.md`.",
    "",
)


def command(
    as_json: AsJson = False,
    reference: Annotated[bool, typer.Option("--reference", help="Print docs/configuration.md: names, defaults, meanings.")] = False,
) -> None:
    """Show every setting and where it comes from, secrets masked; say which ones are wrong or missing."""
    if reference:
        typer.echo(document(), nl=False)
        return
    environ = environment()
    found = list(rows(environ))
    if as_json:
        show_json(found)
        return
    show_table(found, ("component", "variable", "value", "from"), as_json=False)
    for row in found:
        if row["problem"]:
            say(f"{row['variable']} {row['problem']}. Expected: {row['meaning']}")


def components() -> Iterator[tuple[str, type]]:
    """Yield (name, dataclass) of every component."""
    for name, path in COMPONENTS:
        module, _, attribute = path.partition(":")
        yield name, getattr(import_module(module), attribute)


def rows(environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield what is in force: component, variable, value (secrets masked), where it comes from, meaning, what is wrong with it."""
    for name, component in components():
        texts = masked(component, environ)
        for _, spec in settings_of(component):
            yield _row(name, spec, texts[spec.env], environ)
    for spec in OTHERS:
        text = environ.get(spec.env) or spec.default or ""
        yield _row("Commands", spec, _MASK if spec.secret and text else blanked(text), environ)


def document() -> str:
    """Return docs/configuration.md."""
    lines = [*_HEAD, "| component | variable | default | meaning |", "|---|---|---|---|"]
    for name, component in components():
        lines += [_line(name, spec) for _, spec in settings_of(component)]
    lines += [_line("Commands", spec) for spec in OTHERS]
    return "\n".join(lines) + "\n"


def _row(name: str, spec: Setting, text: str, environ: Mapping[str, str]) -> dict[str, str]:
    source = "environment" if os.environ.get(spec.env) else "hookline up" if environ.get(spec.env) else "default"
    source = source if text else "missing" if spec.default is None else ""
    return {
        "component": name,
        "variable": spec.env,
        "value": text,
        "from": source,
        "meaning": spec.doc,
        "problem": _problem(spec, environ.get(spec.env) or spec.default),
    }


def _problem(spec: Setting, text: str | None) -> str:
    """Return what is wrong with a setting, or an empty text."""
    if text is None:
        return "is not set"
    try:
        spec.parse(text)
    except ValueError as error:
        return f"is not valid: {str(error).replace(text, blanked(text))}"
    return ""


def _line(name: str, spec: Setting) -> str:
    default = "**required**" if spec.default is None else f"`{spec.default}`" if spec.default else ""
    return f"| {name} | `{spec.env}` | {default} | {_cell(spec.doc)}{' (secret)' if spec.secret else ''} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
