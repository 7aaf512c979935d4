"""Traces by OpenTelemetry's SDK; needs the extra `otel`."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hookline import __version__
from hookline.kernel.tracing import Attributes, TracingConfig

_HEADER: Final = "traceparent"
_CLOSE_MS: Final = 3_000
_EXPORT_S: Final = 3.0
_WIRE: Final = TraceContextTextMapPropagator()
# A collector that is away is told once per batch, with stacks; what is lost are traces, never events.
logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


class Unkept:
    """A span that is not kept: what follows learns so from the trace parent, and does not decide again."""

    def __init__(self, came: str) -> None:
        self._came = came

    @property
    def traceparent(self) -> str:
        """The trace parent as it came, or a new one that says that the trace is not kept."""
        if not self._came:
            self._came = f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-00"
        return self._came

    def end(self, attributes: Attributes, error: str = "") -> None:
        """Do nothing."""


class Kept:
    """A span of the SDK."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """The trace parent for what follows."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, attributes: Attributes, error: str = "") -> None:
        """End it."""
        self._span.set_attributes(attributes)
        if error:
            self._span.set_status(Status(StatusCode.ERROR, error))
            self._span.set_attribute("error.type", error)
        self._span.end()


class OtelTracing:
    """Begins spans and hands those that are kept to a processor; trace parents must be well formed. Thread-safe."""

    def __init__(self, component: str, share: float, processor: SpanProcessor) -> None:
        resource = Resource.create({"service.name": f"hookline-{component}", "service.version": __version__})
        self._share = share
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("hookline", __version__)

    def serve(self, name: str, traceparent: str, attributes: Callable[[], Attributes]) -> Kept | Unkept:
        """Begin the answer to a request."""
        return self._begin(name, SpanKind.SERVER, traceparent, attributes)

    def call(self, name: str, traceparent: str, attributes: Callable[[], Attributes]) -> Kept | Unkept:
        """Begin a call."""
        return self._begin(name, SpanKind.CLIENT, traceparent, attributes)

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(_CLOSE_MS)
        self._provider.shutdown()

    def _begin(self, name: str, kind: SpanKind, traceparent: str, attributes: Callable[[], Attributes]) -> Kept | Unkept:
        keep = int(traceparent[-2:], 16) & 1 if traceparent else random.random() < self._share  # noqa: S311  # no secret
        if not keep:
            return Unkept(traceparent)
        context = _WIRE.extract({_HEADER: traceparent} if traceparent else {})
        return Kept(self._tracer.start_span(name, context, kind, dict(attributes())))


def exporting(config: TracingConfig, component: str) -> OtelTracing:
    """Return tracing whose spans go to the endpoint in batches, from a thread of their own; when it falls behind they are dropped."""
    exporter = OTLPSpanExporter(config.endpoint, headers=dict(config.headers), timeout=_EXPORT_S)
    return OtelTracing(component, config.share, BatchSpanProcessor(exporter))
