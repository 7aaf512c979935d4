"""What the failure doctor asks the log: since when a webhook fails, with what, its last calls, and what a pause holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hookline.analytics.client import ClickHouse
from hookline.analytics.queries import ClickHouseQueries
from hookline.analytics.warehouse import Parameters
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger

pytestmark = pytest.mark.clickhouse

Rig = Any  # the fixture's class stands in conftest.py
Fill = Callable[[Sequence[Attempt]], None]
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


@pytest.fixture
def log(warehouse: ClickHouse) -> ClickHouseQueries:
    """Give the queries over the test's warehouse."""
    return ClickHouseQueries(warehouse)


def good(rig: Rig, at_us: int, **more: Any) -> Attempt:
    """Return a call that succeeded."""
    return rig.attempt(attempted_at_us=at_us, **more)  # type: ignore[no-any-return]


def bad(rig: Rig, at_us: int, status: int = 401, kind: ErrorKind = ErrorKind.HTTP_STATUS, **more: Any) -> Attempt:
    """Return a call that failed."""
    given = {"outcome": Outcome.RETRYING, "http_status": status, "error_kind": kind, **more}
    return rig.attempt(attempted_at_us=at_us, **given)  # type: ignore[no-any-return]


def held(rig: Rig, at_us: int, delivery: str) -> Attempt:
    """Return the record of a delivery that a pause holds."""
    given = {"attempt": 0, "outcome": Outcome.SKIPPED, "error_kind": ErrorKind.PAUSED, "http_status": 0, "delivery_id": delivery}
    return rig.attempt(attempted_at_us=at_us, **given)  # type: ignore[no-any-return]


def faults(log: ClickHouseQueries, webhook: str, now_us: int, since_us: int = 0) -> dict[tuple[str, int], dict[str, Any]]:
    """Return what goes wrong, by kind and status."""
    asked: Parameters = {"store_id": "shop", "webhook_id": webhook, "since_us": since_us or now_us - 31 * DAY_US, "until_us": now_us}
    rows = log.run("webhook_faults", {**asked, "recent_us": now_us - DAY_US})
    return {(row["error_kind"], row["http_status"]): row for row in rows}


def test_it_fails_since_the_first_failure_after_the_last_success(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """Failures before that success count among the recent ones alone; days may lie between, and tests are calls too."""
    now_us = time.time_ns() // 1_000
    well_us, first_us = now_us - 4 * DAY_US, now_us - 4 * DAY_US + HOUR_US
    attempts = [
        bad(rig, now_us - 5 * DAY_US),
        good(rig, well_us, trigger=Trigger.TEST),
        bad(rig, first_us),
        bad(rig, now_us - 2 * HOUR_US),
        bad(rig, now_us - HOUR_US, 0, ErrorKind.TIMEOUT),
        good(rig, now_us - 3 * HOUR_US, webhook_id="wh_other"),
    ]
    fill(attempts)
    found = faults(log, attempts[0].webhook_id, now_us)
    refused, late, well = found["http_status", 401], found["timeout", 0], found["", 200]
    assert (refused["straight"], refused["recent"], refused["began_us"]) == (2, 1, first_us)
    assert refused["last_us"] == now_us - 2 * HOUR_US
    assert (late["straight"], late["began_us"]) == (1, now_us - HOUR_US)
    assert (well["recent"], well["straight"], well["last_us"]) == (0, 0, well_us)


def test_what_never_succeeded_fails_since_the_span_begins(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """Nothing older than the span is looked at, and there is no row of successes."""
    now_us = time.time_ns() // 1_000
    attempts = [bad(rig, now_us - days * DAY_US) for days in (6, 3, 2)]
    fill(attempts)
    found = faults(log, attempts[0].webhook_id, now_us, now_us - 4 * DAY_US)
    assert set(found) == {("http_status", 401)}
    row = found["http_status", 401]
    assert (row["straight"], row["recent"], row["began_us"]) == (2, 0, now_us - 3 * DAY_US)


def test_what_is_mended_has_no_beginning(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """A success after the failures ends them."""
    now_us = time.time_ns() // 1_000
    attempts = [bad(rig, now_us - 2 * HOUR_US), good(rig, now_us - HOUR_US)]
    fill(attempts)
    found = faults(log, attempts[0].webhook_id, now_us)
    assert (found["http_status", 401]["straight"], found["http_status", 401]["recent"]) == (0, 1)


def test_the_last_calls_leave_out_what_was_not_called(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """Newest first, as many as asked for; with a kind of error the rows of that kind, called or not."""
    now_us = time.time_ns() // 1_000
    attempts = [*(good(rig, now_us - number * HOUR_US) for number in range(1, 5)), held(rig, now_us - HOUR_US // 2, "msg_held")]
    fill(attempts)
    asked: Parameters = {
        "store_id": "shop",
        "webhook_id": attempts[0].webhook_id,
        "since_us": now_us - DAY_US,
        "until_us": now_us,
        "limit": 3,
    }
    rows = log.run("webhook_calls", {**asked, "error_kind": ""})
    assert [row["attempted_at_us"] for row in rows] == [now_us - number * HOUR_US for number in (1, 2, 3)]
    assert [row["error_kind"] for row in log.run("webhook_calls", {**asked, "error_kind": "paused"})] == ["paused"]


def test_what_was_called_since_is_not_held(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """The newest row of a delivery decides."""
    now_us = time.time_ns() // 1_000
    attempts = [
        held(rig, now_us - 3 * HOUR_US, "msg_waits"),
        held(rig, now_us - 3 * HOUR_US, "msg_came"),
        good(rig, now_us - HOUR_US, delivery_id="msg_came"),
    ]
    fill(attempts)
    asked: Parameters = {"store_id": "shop", "webhook_id": attempts[0].webhook_id, "since_us": now_us - DAY_US}
    assert log.run("held", asked) == [{"webhook_id": attempts[0].webhook_id, "held": 1}]
    assert log.run("held", {**asked, "webhook_id": ""}) == log.run("held", asked)
    assert log.run("held", {**asked, "webhook_id": "wh_other"}) == []
