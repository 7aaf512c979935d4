"""Each attempt as a span: under the event's trace parent, with what the log says of it and nothing secret."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

from hookline.dispatcher.delivery import Delivery
from hookline.dispatcher.transport.contract import Reply, Result
from hookline.kernel.tracing import Attributes, Span, Tracing
from hookline.webhooks.model import Webhook

_FAILED: Final = 300


def begin(tracing: Tracing, delivery: Delivery, webhook: Webhook) -> Span:
    """Begin the span of an attempt that is about to be made; its trace parent goes out with the call."""
    return tracing.call("deliver", delivery.waiting.traceparent, lambda: _known(delivery, webhook))


def _known(delivery: Delivery, webhook: Webhook) -> Attributes:
    waiting = delivery.waiting
    return {
        "http.request.method": "POST",
        "server.address": urlsplit(webhook.url).hostname or "",
        "hookline.store_id": waiting.store_id,
        "hookline.webhook_id": webhook.id,
        "hookline.delivery_id": waiting.delivery_id,
        "hookline.event_id": waiting.event_id,
        "hookline.event_type": waiting.event_type,
        "hookline.attempt": waiting.attempt + 1,
        "hookline.trigger": str(waiting.trigger),
        "hookline.queue_wait_s": max(0.0, time.time() - delivery.ready_at),
    }


def end(span: Span, result: Result) -> None:
    """End it with what came back."""
    if isinstance(result, Reply):
        error = f"{result.status}" if result.status >= _FAILED else ""
        span.end({"http.response.status_code": result.status}, error)
    else:
        span.end({}, str(result.kind))
