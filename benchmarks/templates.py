"""What a template adds to a delivery: CPU from the usual body to the one that is sent, in this process, nothing beside it."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.repeats import Values
from hookline.dispatcher.contents import Contents
from hookline.kernel.clock import SystemClock
from hookline.schemas import payload
from hookline.schemas.events import example_event
from hookline.webhooks.presets import PRESETS
from hookline.webhooks.templates import template_text

EVENT: Final = "order.created"
_OWN: Final = {
    "text": "Order ${data.order.number}: ${data.order.totals.grand_total | money}, ${data.order.lines.size()} lines",
    "large": "${data.order.totals.grand_total.amount_minor >= 10000}",
    "customer": "${data.order.customer.customer_id}",
}
_EACH: Final = {"text": "${data.order.lines | each('{quantity} x {title}') | join | slack}"}
_LOOP: Final = {"text": "${data.order.lines.map(l, string(l.quantity) + ' x ' + l.title) | join | slack}"}
TEMPLATES: Final = {**dict.fromkeys(PRESETS), "own": _OWN, "each": _EACH, "loop": _LOOP}
"""By name: the presets, a template with fields and conditions, and the lines of an order by a format and by a loop in CEL."""


def measure(events: int) -> Values:
    """Return microseconds of CPU per delivery of each template, every delivery of an event of its own; the usual body is there already."""
    body = payload.body(example_event(EVENT, "bench", clock=SystemClock(), id="bench"))
    return {"bytes": len(body)} | {f"{name}_us": _filled_us(template_text(tree or name), body, events) for name, tree in TEMPLATES.items()}


def _filled_us(template: str, body: bytes, events: int) -> float:
    contents, bodies = Contents(), (body, bytes(bytearray(body)))
    began = time.process_time()
    for number in range(events):
        contents.of(template, bodies[number % 2])
    return (time.process_time() - began) / events * 1e6
