"""Statistics over the API: the sums of what happened, whole and by hour and day, of a store and of one webhook."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.console.api.deliveries_filter import us_of
from hookline.console.api.statistics import starts_of

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Shop = Any
HOUR_US = 3_600_000_000
COUNTS = ("attempts", "deliveries", "delivered", "first_delivered", "dead", "retrying", "made_again", "again_delivered", "again_dead")


def path() -> str:
    """Return a path of the receiver that no other test uses."""
    return f"s{os.urandom(4).hex()}"


def test_the_sums_are_those_of_the_log(shop: Shop) -> None:
    """Three events for a receiver that works and one that says 404, a resend, a test: rates, statuses, errors, times, each as it was."""
    good, bad = shop.webhook(path()), shop.webhook(path(), 404)
    for _ in range(3):
        shop.publish()
    shop.logged(3 + 9)
    delivery = shop.lines(f"webhook={good}")[0]["id"]
    assert shop.admin.post(f"/deliveries/{delivery}/resend").status == 202
    assert shop.admin.post(f"/webhooks/{good}/test").status == 200
    shop.logged(3 + 9 + 2)
    found = shop.admin.get("/statistics").json
    total = found["total"]
    assert {name: total[name] for name in COUNTS} == {
        "attempts": 13, "deliveries": 6, "delivered": 3, "first_delivered": 3, "dead": 3, "retrying": 6, "made_again": 1,
        "again_delivered": 1, "again_dead": 0,
    }  # fmt: skip
    assert (total["success_rate"], total["first_try_rate"]) == (0.5, 0.5)
    assert (total["by_status"], total["by_error"]) == ({"200": 4, "404": 9}, {"http_status": 9})
    assert total["by_event_type"] == {"order.created": 6}
    for name in ("response_time_ms", "queue_wait_ms"):
        assert 0 <= total[name]["p50"] <= total[name]["p95"] <= total[name]["p99"]
    assert (found["store_id"], found["webhook_id"], len(found["points"])) == (shop.store, None, 30)
    of_bad = shop.admin.get(f"/webhooks/{bad}/statistics?days=1").json
    assert (of_bad["webhook_id"], of_bad["total"]["success_rate"], of_bad["total"]["attempts"]) == (bad, 0.0, 9)


@pytest.mark.parametrize(("query", "count"), [("days=1&points=hour", 24), ("days=31&points=hour", 744), ("days=31", 31), ("", 30)])
def test_the_points_make_up_the_whole(shop: Shop, query: str, count: int) -> None:
    """There are as many points as the span has hours or days, also those without attempts, and their sums are the total's."""
    shop.webhook(path())
    shop.publish()
    shop.logged(1)
    found = shop.admin.get(f"/statistics?{query}").json
    assert len(found["points"]) == count
    assert [point["at"] for point in found["points"]] == sorted({point["at"] for point in found["points"]})
    assert found["points"][0]["at"] == found["begins_at"]
    assert found["points"][-1]["at"] < found["ends_at"]
    for name in COUNTS:
        assert sum(point[name] for point in found["points"]) == found["total"][name]
    assert found["total"]["deliveries"] == 1
    empty = found["points"][0]
    assert (empty["attempts"], empty["success_rate"], empty["response_time_ms"], empty["by_status"]) == (0, None, None, {})


def test_the_end_can_be_chosen(shop: Shop) -> None:
    """What happened after the hour of `to` is not in the sums."""
    shop.webhook(path())
    shop.publish()
    [line] = shop.logged(1)
    for at, count in ((line["at"], 1), ("2026-01-01T00:00:00Z", 0)):
        assert shop.admin.get(f"/statistics?days=1&points=hour&to={at}").json["total"]["deliveries"] == count


def test_another_stores_sums_are_not_shown(shop: Shop, stack: Stack) -> None:
    """A store that nothing happened in has sums of nothing; another store's webhook is not found."""
    webhook = shop.webhook(path())
    shop.publish()
    shop.logged(1)
    stranger = stack.admin(f"x{os.urandom(4).hex()}")
    assert stranger.get("/statistics").json["total"]["attempts"] == 0
    reply = stranger.get(f"/webhooks/{webhook}/statistics")
    assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("days=0", "days"), ("days=32", "days"), ("days=-1", "days"), ("days=%2B5", "days"), ("days=1_0", "days"), ("days=", "days"),
        ("days=1000000000000000000000", "days"), ("points=week", "points"), ("to=now", "to"), ("to=2026-01-01T00:00:00", "to"),
        ("from=2026-01-01T00:00:00Z", "from"), ("webhook=wh_1", "webhook"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_names_itself(shop: Shop, query: str, field: str) -> None:
    """Days beyond 1 to 31, other words and unknown parameters are refused."""
    reply = shop.admin.get(f"/statistics?{query}")
    assert (reply.status, reply.code, reply.json["field"]) == (422, "invalid", field)


@pytest.mark.unit
@given(until_us=st.integers(400 * 24 * HOUR_US, 4_000_000_000_000_000), days=st.integers(1, 31), points=st.sampled_from(["hour", "day"]))
def test_points_are_whole_hours_or_days_and_end_with_the_current_one(until_us: int, days: int, points: str) -> None:
    """Each begins where the one before ended, on the hour or at midnight in UTC, and the last one holds the end of the span."""
    step_us = HOUR_US if points == "hour" else 24 * HOUR_US
    starts = starts_of(until_us, days, points)
    assert len(starts) == days * (24 if points == "hour" else 1)
    assert {later - earlier for earlier, later in pairwise(starts)} <= {step_us}
    assert starts[0] % step_us == 0
    assert starts[-1] < until_us <= starts[-1] + step_us


@pytest.mark.unit
def test_a_span_that_ends_on_the_hour_does_not_begin_another() -> None:
    """Two o'clock is the end of the hour from one to two."""
    assert starts_of(us_of("2026-11-23T14:00:00Z"), 1, "hour")[-1] == us_of("2026-11-23T13:00:00Z")
