"""A trace from the publisher through Kafka and a dispatcher process to the receiver and the collector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from hookline.kernel.clock import SystemClock
from hookline.schemas.events import example_event
from tests.kernel.collector import Collector, collector
from tests.kernel.traced import KEPT, TRACE_ID

__all__ = ["collector"]

pytestmark = pytest.mark.kafka


def test_a_trace_from_publish_to_receiver(pipeline: Any, until: Callable[..., None], collector: Collector) -> None:
    """Each call carries the trace with a span of its own, retries too; the collector has all of them, under the publisher's."""
    pipeline.create("traced")
    pipeline.receiver.scripts["traced"] = lambda call: web.Response(status=200 if call.number == 2 else 503)
    pipeline.start_dispatcher(HOOKLINE_OTLP_ENDPOINT=collector.url)
    pipeline.publisher.publish(example_event("order.created", "shop", clock=SystemClock()), traceparent=KEPT)
    until(lambda: len(pipeline.receiver.of("traced")) == 2, what="a call and its retry")
    went = [call.headers["traceparent"].split("-") for call in pipeline.receiver.of("traced")]
    assert [(trace, flags) for _, trace, _, flags in went] == [(TRACE_ID, "01")] * 2
    until(lambda: len(collector.spans) == 2, what="both spans at the collector")
    spans = {span.span_id.hex(): span for span in collector.spans}
    assert [parent for _, _, parent, _ in went] == list(spans)
    assert {span.parent_span_id.hex() for span in spans.values()} == {KEPT.split("-")[2]}
    statuses = [pair.value.int_value for span in spans.values() for pair in span.attributes if pair.key == "http.response.status_code"]
    assert statuses == [503, 200]


def test_without_an_endpoint_the_trace_parent_goes_through(pipeline: Any, until: Callable[..., None]) -> None:
    """The receiver gets the publisher's own trace parent, on the retry too."""
    pipeline.create("plain")
    pipeline.receiver.scripts["plain"] = lambda call: web.Response(status=200 if call.number == 2 else 503)
    pipeline.start_dispatcher()
    pipeline.publisher.publish(example_event("order.created", "shop", clock=SystemClock()), traceparent=KEPT)
    until(lambda: len(pipeline.receiver.of("plain")) == 2, what="a call and its retry")
    assert {call.headers["traceparent"] for call in pipeline.receiver.of("plain")} == {KEPT}
