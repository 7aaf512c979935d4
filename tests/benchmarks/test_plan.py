"""What a rate takes, computed from a result."""

from __future__ import annotations

import pytest

from benchmarks.plan import Plan, plan

pytestmark = pytest.mark.unit

MEDIANS = {"dispatcher-us": 80.0, "sink": 150_000.0, "ingest-batch": 25_000.0, "batch-broker": 20.0}
RESULT = {"figures": {key: {"median": value} for key, value in MEDIANS.items()}}


def test_cores_follow_from_the_measured_figures() -> None:
    """1 M deliveries/s at 80 µs keep 80 cores busy, 160 of them half the time."""
    rows = dict(plan(RESULT, Plan(busy=0.5)))
    assert rows["cores: dispatcher"] == "160"
    assert rows["cores: ingest (in batches)"] == "80"
    assert rows["cores: sink"] == "14"
    assert rows["cores: brokers"] == "120"
    assert rows["cores in all"] == "374"
    assert rows["brokers of 16 cores, at least"] == "8"


def test_several_deliveries_of_an_event_need_less_ingest() -> None:
    """Events are deliveries ÷ fan-out."""
    assert dict(plan(RESULT, Plan(busy=0.5, fan_out=4)))["cores: ingest (in batches)"] == "20"


def test_cost_does_not_depend_on_the_rate() -> None:
    """Cost per million is cores per delivery, but for rounding up to whole cores."""
    cost = [float(dict(plan(RESULT, Plan(rate=rate)))["cost per million deliveries"].split()[0]) for rate in (1e6, 1e7)]
    assert cost[0] == pytest.approx(cost[1], rel=0.02)


def test_a_result_that_lacks_a_figure_is_refused() -> None:
    """The error names what is missing."""
    with pytest.raises(SystemExit, match=r"lacks dispatcher-us, sink, ingest-batch, batch-broker"):
        plan({"figures": {}}, Plan())
