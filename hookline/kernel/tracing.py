"""Traces, where an endpoint is set; without one nothing is made, and trace parents go through as they came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from hookline.kernel.config import number, setting, words
from hookline.kernel.errors import ConfigError

Attributes: TypeAlias = Mapping[str, str | int | float]
_INSTALL: Final = "Install it: pip install 'hookline[otel]', or leave HOOKLINE_OTLP_ENDPOINT empty."


def endpoint(text: str) -> str:
    """Check an http or https address; empty for none."""
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return text


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Parse `name=value[,name=value]`; raise `ValueError` without showing any of it."""
    found = tuple((name, value) for name, _, value in (word.partition("=") for word in words(text)))
    if not all(name and value for name, value in found):
        raise ValueError("each header is name=value")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingConfig:
    """Where traces go, and how many are begun."""

    endpoint: str = setting(
        "HOOKLINE_OTLP_ENDPOINT",
        "",
        "where traces go (OTLP over HTTP), such as http://collector:4318/v1/traces; empty: none are made",
        endpoint,
    )
    headers: tuple[tuple[str, str], ...] = setting(
        "HOOKLINE_OTLP_HEADERS", "", "name=value[,name=value] sent with the traces", pairs, secret=True
    )
    share: float = setting(
        "HOOKLINE_TRACE_SHARE", "0.01", "part of the traces begun here that are kept; a trace parent brings its own decision", number(0, 1)
    )


class Span(Protocol):
    """A piece of a trace under way; ends once. `traceparent` is what the next one goes on from."""

    @property
    def traceparent(self) -> str:
        """The W3C trace parent."""

    def end(self, attributes: Attributes, error: str = "") -> None:
        """End it now; `error` is a word for what went wrong, empty for nothing."""


class Tracing(Protocol):
    """Begins spans; any thread may. `attributes` is asked for those of spans that are kept, so that the others cost nothing to speak of."""

    def serve(self, name: str, traceparent: str, attributes: Callable[[], Attributes]) -> Span:
        """Begin the answer to a request, under `traceparent` or, when that is empty, as a trace of its own."""

    def call(self, name: str, traceparent: str, attributes: Callable[[], Attributes]) -> Span:
        """Begin a call to somebody else, likewise."""

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""


def open_tracing(config: TracingConfig, component: str) -> Tracing | None:
    """Return what makes the traces of a component, None without an endpoint; raise `ConfigError` when the extra is not installed."""
    if not config.endpoint:
        return None
    try:
        from hookline.kernel.otel import exporting  # noqa: PLC0415  # an extra that most do without
    except ImportError as error:
        raise ConfigError("HOOKLINE_OTLP_ENDPOINT is set and OpenTelemetry is not installed", remedy=_INSTALL) from error
    return exporting(config, component)
