"""The views for analysts: what each column means, counted by hand on a few attempts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hookline.analytics.client import ClickHouse
from hookline.analytics.queries import ClickHouseQueries, statistics
from hookline.analytics.warehouse import Rows
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger

pytestmark = pytest.mark.clickhouse

Rig = Any  # the fixture's class stands in conftest.py
Fill = Callable[[Sequence[Attempt]], None]
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
START_US = time.time_ns() // 1_000 // DAY_US * DAY_US - DAY_US // 2  # noon of yesterday: within what is kept, and far from midnight
FAILED = {"outcome": Outcome.RETRYING, "http_status": 503, "error_kind": ErrorKind.HTTP_STATUS}


def asked(warehouse: ClickHouse, query: str) -> Rows:
    """Return rows of the tests' store."""
    return warehouse.rows(f"{query} WHERE store_id = 'shop' ORDER BY ALL")


def started(rig: Rig, second: float, **given: Any) -> Attempt:
    """Return an attempt that began so many seconds after the event was published."""
    made: Attempt = rig.attempt(attempted_at_us=START_US + int(second * 1e6), source_timestamp_ms=START_US // 1_000, **given)
    return made


def test_a_delivery_is_one_row_as_it_stands(fill: Fill, rig: Rig, warehouse: ClickHouse) -> None:
    """Two failures and a success are one delivered delivery of three attempts, timed from the event to the answer's end."""
    ids = {"delivery_id": "msg_1", "event_id": "evt_1"}
    fill([started(rig, 1, **ids, **FAILED), started(rig, 6, attempt=2, **ids, **FAILED)])
    fill([started(rig, 66, attempt=3, response_time_us=250_000, **ids)])
    [row] = asked(warehouse, "SELECT *, toUnixTimestamp64Micro(last_at) AS last_us FROM v_deliveries")
    assert (row["outcome"], row["attempts"], row["http_status"], row["error_kind"]) == ("delivered", 3, 200, None)
    assert row["delivery_time_s"] == pytest.approx(66.25)
    assert row["last_us"] == START_US + 66_000_000
    assert not row["made_again"]


def test_a_delivery_that_waits_or_was_given_up_has_no_time(fill: Fill, rig: Rig, warehouse: ClickHouse) -> None:
    """The last row decides; one without an answer has no status; nothing is delivered, so nothing took time."""
    fill([started(rig, 1, delivery_id="msg_1", outcome=Outcome.RETRYING, http_status=0, error_kind=ErrorKind.TIMEOUT)])
    fill(
        [started(rig, 1, delivery_id="msg_2", **FAILED), started(rig, 9, delivery_id="msg_2", attempt=2, **(FAILED | {"outcome": "dead"}))]
    )
    rows = asked(warehouse, "SELECT delivery_id, outcome, http_status, error_kind, delivered_at, delivery_time_s FROM v_deliveries")
    assert [tuple(row.values()) for row in rows] == [
        ("msg_1", "retrying", None, "timeout", None, None),
        ("msg_2", "dead", 503, "http_status", None, None),
    ]


def test_resends_belong_to_their_delivery_and_tests_to_none(fill: Fill, rig: Rig, warehouse: ClickHouse) -> None:
    """What was made again is told; the time is that of the first success; a skip is no attempt; a test call is no delivery."""
    fill([started(rig, 1, delivery_id="msg_1"), started(rig, 900, delivery_id="msg_1", trigger=Trigger.RESEND)])
    fill([started(rig, 2, delivery_id="msg_2", attempt=0, outcome=Outcome.SKIPPED, http_status=0, error_kind=ErrorKind.PAUSED)])
    fill([started(rig, 3, delivery_id="msg_3", trigger=Trigger.TEST)])
    rows = asked(warehouse, "SELECT delivery_id, attempts, outcome, made_again, first_attempt_at IS NULL AS none FROM v_deliveries")
    assert [tuple(row.values()) for row in rows] == [("msg_1", 2, "delivered", True, 0), ("msg_2", 0, "skipped", False, 1)]
    [row] = warehouse.rows("SELECT delivery_time_s FROM v_deliveries WHERE delivery_id = 'msg_1'")
    assert row["delivery_time_s"] == pytest.approx(1.012)


def test_an_event_that_was_published_twice_has_a_row_for_each_time(fill: Fill, rig: Rig, warehouse: ClickHouse) -> None:
    """The time of the event tells them apart, and a span of it is looked for before rows are put together."""
    again_ms = START_US // 1_000 + 60_000
    fill([started(rig, 1, delivery_id="msg_1"), rig.attempt(delivery_id="msg_1", attempted_at_us=START_US, source_timestamp_ms=again_ms)])
    span = "WHERE store_id = 'shop' AND published_at > fromUnixTimestamp64Milli({since:Int64})"
    assert len(asked(warehouse, "SELECT * FROM v_deliveries")) == 2
    assert len(warehouse.rows(f"SELECT * FROM v_deliveries {span}", {"since": START_US // 1_000})) == 1
    plan = "\n".join(
        str(line)
        for row in warehouse.rows(f"EXPLAIN actions=1 SELECT outcome FROM v_deliveries {span}", {"since": 0})
        for line in row.values()
    )
    assert "source_timestamp >" in plan.partition("Aggregates:")[2]


def test_attempts_have_null_where_there_is_nothing(fill: Fill, rig: Rig, warehouse: ClickHouse) -> None:
    """A zero or an empty text of the table is null here, times are seconds, and nothing personal has a column."""
    skip = {"attempt": 0, "outcome": Outcome.SKIPPED, "http_status": 0, "error_kind": ErrorKind.PAUSED, "response_time_us": 0}
    fill([started(rig, 1), started(rig, 2, **skip), started(rig, 3, trigger=Trigger.TEST, source_topic="")])
    rows = asked(warehouse, "SELECT * FROM v_attempts")
    columns = ("http_status", "error_kind", "response_time_s", "next_retry_at", "job_id")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        (200, None, 0.012, None, None),
        (None, "paused", None, None, None),
        (200, None, 0.012, None, None),
    ]
    assert [row["published_at"] is None for row in rows] == [False, False, True]
    assert not rows[0].keys() & {"url", "error_detail", "request_headers", "response_headers", "response_body"}


def test_sums_are_those_of_the_statistics(fill: Fill, rig: Rig, warehouse: ClickHouse) -> None:
    """Hours, days and event types add up to what `hookline stats` tells; a rate of nothing is null."""
    fill([started(rig, 1), started(rig, 2, **FAILED), started(rig, 3, webhook_id="wh_2", outcome=Outcome.DEAD, http_status=410)])
    fill([started(rig, 4_000, event_type="order.paid"), started(rig, 4_001, webhook_id="wh_3", **FAILED)])
    found = statistics(ClickHouseQueries(warehouse), "shop", now_us=START_US + 2 * HOUR_US)
    hours, [day] = asked(warehouse, "SELECT * FROM v_hourly"), asked(warehouse, "SELECT * FROM v_daily")
    for name in ("attempts", "retrying", "deliveries", "first_delivered", "delivered", "dead", "made_again", "skipped"):
        assert sum(row[name] for row in hours) == day[name] == getattr(found, name), name
    assert (day["success_rate"], day["first_try_rate"]) == (found.success_rate, found.first_try_rate)
    assert found.response_time_s == pytest.approx((day["response_p50_s"], day["response_p95_s"], day["response_p99_s"]))
    assert [row["success_rate"] for row in hours if row["webhook_id"] == "wh_3"] == [None]
    types = asked(warehouse, "SELECT event_type, deliveries FROM v_event_types")
    assert {name: sum(row["deliveries"] for row in types if row["event_type"] == name) for name in ("order.created", "order.paid")} == dict(
        found.by_event_type
    )
