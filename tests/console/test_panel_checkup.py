"""What the failure doctor is told of a filter that lets nothing through: only what came since the webhook is as it is counts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from hookline.analytics.warehouse import Parameters, Rows
from hookline.console.panel.checkup import evidence_of
from hookline.console.panel.doctor import diagnose
from hookline.console.panel.doctor_evidence import Evidence
from hookline.console.panel.doctor_faults import Ailment
from hookline.dispatcher.lanes import LaneConfig
from hookline.kernel.config import load
from hookline.webhooks.model import State, Webhook

pytestmark = pytest.mark.unit

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = 1_795_000_000_000_000
LANES = load(LaneConfig, {})
WEBHOOK = Webhook(
    id="wh_1", store_id="shop", name="", url="https://shop.example.com/hooks", event_types=("order.created",), filter="",
    state=State.ENABLED, state_reason="", state_since_us=NOW - 40 * DAY, secrets=(), headers=(), timeout_s=10.0, schedule="default",
    created_at_us=NOW - 40 * DAY, updated_at_us=NOW - 40 * DAY, version=1, write_id="w",
)  # fmt: skip


def evidence(webhook: dict[str, Any], reached: int) -> Evidence:
    """Return the evidence of a webhook that was never called, judged since four hours ago."""
    return Evidence(webhook=replace(WEBHOOK, **webhook), now_us=NOW, lanes=LANES, reached=reached, reached_since_us=NOW - 4 * HOUR)


def test_a_filter_is_judged_by_what_came_since_the_webhook_is_as_it_is() -> None:
    """The span is told with the count; where nothing came since, the filter is not blamed."""
    fresh = {"filter": "data.x > 1", "updated_at_us": NOW - 5 * HOUR}
    [told] = diagnose(evidence(fresh, reached=3))
    assert (told.ailment, told.text) == (
        Ailment.FILTER_SILENT,
        "Other webhooks of the store got 3 events of these types in the full hours since this one was made, and this one none.",
    )
    [told] = diagnose(evidence({**fresh, "version": 2}, reached=0))
    assert (told.ailment, told.title) == (Ailment.QUIET, "Nothing was sent yet: no event came that it takes")
    assert told.text.startswith("In the full hours since this one was last changed no webhook of the store got an event of these types.")


class Asked:
    """Answers every question with nothing, and remembers from when on the sums were wanted."""

    def __init__(self) -> None:
        self.since_us: list[int] = []

    def run(self, name: str, parameters: Parameters) -> Rows:
        """Return no rows."""
        if name == "statistics":
            self.since_us.append(int(parameters["since_us"]))
        return []

    lately = run


HOUR_OF_NOW = NOW // HOUR * HOUR


@pytest.mark.parametrize(
    ("webhook", "since_us", "asked"),
    [
        ({"filter": "data.x > 1"}, 0, [NOW - 7 * DAY]),
        ({"updated_at_us": NOW - DAY}, 0, [NOW - 7 * DAY]),
        ({"filter": "data.x > 1", "updated_at_us": HOUR_OF_NOW - DAY}, HOUR_OF_NOW - DAY, [HOUR_OF_NOW - DAY]),
        ({"filter": "data.x > 1", "updated_at_us": HOUR_OF_NOW - DAY + 1}, HOUR_OF_NOW - DAY + HOUR, [HOUR_OF_NOW - DAY + HOUR]),
        ({"filter": "data.x > 1", "updated_at_us": NOW}, HOUR_OF_NOW + HOUR, []),
    ],
    ids=["an old filter", "no filter", "on the hour", "within an hour", "just now"],
)
def test_only_full_hours_of_the_filter_are_counted(webhook: dict[str, Any], since_us: int, asked: list[int]) -> None:
    """What came before the webhook was as it is proves nothing against its filter."""
    queries = Asked()
    parts: Any = SimpleNamespace(queries=queries)
    found = evidence_of(parts, replace(WEBHOOK, **webhook), LANES, NOW, letters=0)
    assert (found.reached, found.reached_since_us, queries.since_us) == (0, since_us, asked)
