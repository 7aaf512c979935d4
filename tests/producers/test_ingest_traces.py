"""Requests to ingest as spans, under which their events go on."""

from __future__ import annotations

import pytest
from opentelemetry.trace import StatusCode

from tests.kernel.traced import KEPT, TRACE_ID, Traced, facts, ids
from tests.producers.serving import request, serving

pytestmark = pytest.mark.unit


async def test_an_event_goes_on_from_the_request() -> None:
    """The span is under the publisher's trace parent, the event's record carries the span's."""
    tracing = Traced(share=0.0)
    async with serving(tracing=tracing) as ingest:
        assert (await ingest.post(request(), traceparent=KEPT)).status == 202
        carried = ingest.outlet.records[0].headers["traceparent"].decode()
    span = tracing.only
    assert span.context is not None
    assert ids(span) == (TRACE_ID, "00f067aa0ba902b7")
    assert carried == f"00-{TRACE_ID}-{span.context.span_id:016x}-01"
    assert facts(span) == {"hookline.store_id": "shop", "http.request.method": "POST", "http.response.status_code": 202}


async def test_a_request_without_a_trace_begins_one() -> None:
    """All events of a batch go on from it, whatever came of them."""
    tracing = Traced()
    async with serving(tracing=tracing) as ingest:
        answer = await ingest.post({"events": [request(), request(), {"type": "nonsense", "data": {}}]})
        carried = {record.headers["traceparent"] for record in ingest.outlet.records}
    assert answer.status == facts(tracing.only)["http.response.status_code"]
    assert len(carried) == 1


async def test_a_refusal_is_the_publishers_fault() -> None:
    """A 4xx ends the span with its status and without an error: ingest did what it should."""
    tracing = Traced()
    async with serving(tracing=tracing) as ingest:
        answer = await ingest.post({"events": []})
    assert facts(tracing.only)["http.response.status_code"] == answer.status
    assert 400 <= answer.status < 500
    assert tracing.only.status.status_code is StatusCode.UNSET
