"""Traces: who begins one, whose decision counts, what leaves the process, and that a collector that is away costs nothing but traces."""

from __future__ import annotations

import re
import sys
import time

import pytest
from opentelemetry.trace import StatusCode

from hookline.kernel.config import load, masked
from hookline.kernel.errors import ConfigError
from hookline.kernel.tracing import TracingConfig, open_tracing
from tests.kernel.collector import Collector, collector
from tests.kernel.traced import KEPT, NOT_KEPT, TRACE_ID, Traced, facts, ids

__all__ = ["collector"]

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@pytest.mark.unit
def test_without_an_endpoint_there_is_nothing() -> None:
    """Off is the default, and nothing of OpenTelemetry is asked for."""
    assert open_tracing(load(TracingConfig, {}), "ingest") is None


@pytest.mark.unit
def test_an_endpoint_without_the_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what to install."""
    monkeypatch.setitem(sys.modules, "hookline.kernel.otel", None)
    with pytest.raises(ConfigError) as told:
        open_tracing(load(TracingConfig, {"HOOKLINE_OTLP_ENDPOINT": "http://127.0.0.1:1/v1/traces"}), "ingest")
    assert "hookline[otel]" in told.value.remedy


@pytest.mark.unit
@pytest.mark.parametrize(
    ("variable", "text"),
    [("HOOKLINE_OTLP_ENDPOINT", "collector:4317"), ("HOOKLINE_OTLP_HEADERS", "hush"), ("HOOKLINE_TRACE_SHARE", "2")],
)
def test_a_wrong_setting_is_told(variable: str, text: str) -> None:
    """The variable is named; what may be secret is not repeated."""
    with pytest.raises(ConfigError, match=variable) as told:
        load(TracingConfig, {variable: text})
    assert "hush" not in told.value.message
    assert masked(TracingConfig, {"HOOKLINE_OTLP_HEADERS": "a=b"})["HOOKLINE_OTLP_HEADERS"] == "********"


@pytest.mark.unit
def test_a_trace_goes_on() -> None:
    """Under a trace parent that is kept the span is of its trace; what follows goes on from the span."""
    tracing = Traced(share=0.0)
    span = tracing.call("deliver", KEPT, lambda: {"a": 1})
    parts = TRACEPARENT.fullmatch(span.traceparent)
    span.end({"b": 2})
    assert parts is not None
    assert (parts[1], parts[3]) == (TRACE_ID, "01")
    assert ids(tracing.only) == (TRACE_ID, "00f067aa0ba902b7")
    assert facts(tracing.only) == {"a": 1, "b": 2}
    assert tracing.only.status.status_code is StatusCode.UNSET


@pytest.mark.unit
def test_a_decision_not_to_keep_is_passed_on() -> None:
    """A trace parent that is not kept goes through as it came, whatever share is begun here."""
    tracing = Traced(share=1.0)
    span = tracing.serve("publish", NOT_KEPT, lambda: pytest.fail("what is not kept costs nothing"))
    assert span.traceparent == NOT_KEPT
    span.end({}, "500")
    assert tracing.spans == ()


@pytest.mark.unit
@pytest.mark.parametrize(("share", "kept"), [(1.0, 1), (0.0, 0)])
def test_a_trace_begins(share: float, kept: int) -> None:
    """Without a trace parent the share decides, and the decision goes with the trace parent that follows."""
    tracing = Traced(share)
    span = tracing.serve("publish", "", dict)
    parts = TRACEPARENT.fullmatch(span.traceparent)
    span.end({})
    assert parts is not None
    assert int(parts[3], 16) & 1 == kept
    assert len(tracing.spans) == kept


@pytest.mark.unit
def test_what_went_wrong_is_on_the_span() -> None:
    """An error is the span's status and its `error.type`."""
    tracing = Traced()
    tracing.call("deliver", "", dict).end({}, "timeout")
    assert tracing.only.status.status_code is StatusCode.ERROR
    assert facts(tracing.only)["error.type"] == "timeout"


# ---- a collector ----


@pytest.mark.process
def test_spans_reach_a_collector(collector: Collector) -> None:
    """Real OTLP over HTTP: the service, the span, the header that was configured; closing sends what is left."""
    environ = {"HOOKLINE_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}/v1/traces", "HOOKLINE_OTLP_HEADERS": "x-token=hush"}
    tracing = open_tracing(load(TracingConfig, environ), "dispatcher")
    assert tracing is not None
    tracing.call("deliver", KEPT, lambda: {"hookline.attempt": 1}).end({}, "503")
    tracing.close()
    [request] = collector.taken
    [group] = request.resource_spans
    named = {pair.key: pair.value.string_value for pair in group.resource.attributes}
    assert named["service.name"] == "hookline-dispatcher"
    [span] = group.scope_spans[0].spans
    assert (span.name, span.trace_id.hex()) == ("deliver", TRACE_ID)
    assert collector.tokens == ["hush"]


@pytest.mark.process
def test_a_collector_that_is_away_costs_traces_only() -> None:
    """Ending a span does not wait, nothing is raised, and closing takes seconds at most."""
    tracing = open_tracing(load(TracingConfig, {"HOOKLINE_OTLP_ENDPOINT": "http://127.0.0.1:1/v1/traces"}), "dispatcher")
    assert tracing is not None
    began = time.monotonic()
    for _ in range(5_000):  # more than the queue holds
        tracing.call("deliver", KEPT, dict).end({})
    assert time.monotonic() - began < 5
    tracing.close()
    assert time.monotonic() - began < 15
