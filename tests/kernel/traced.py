"""Tracing whose spans a test can look at."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hookline.kernel.otel import OtelTracing

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
KEPT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
NOT_KEPT = f"00-{TRACE_ID}-00f067aa0ba902b7-00"


class Traced(OtelTracing):
    """Keeps the spans that ended."""

    def __init__(self, share: float = 1.0) -> None:
        self._memory = InMemorySpanExporter()
        super().__init__("test", share, SimpleSpanProcessor(self._memory))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that ended and were kept, in their order."""
        return self._memory.get_finished_spans()

    @property
    def only(self) -> ReadableSpan:
        """The one span."""
        [found] = self.spans
        return found


def facts(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes."""
    return dict(span.attributes or {})


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Return (trace, parent) of a span in hex; the parent is empty for a first one."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}" if span.parent is not None else ""
