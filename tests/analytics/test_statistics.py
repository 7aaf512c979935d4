"""The statistics are what plain Python counts over the same attempts."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hookline.analytics.client import ClickHouse
from hookline.analytics.queries import (
    ClickHouseQueries,
    Statistics,
    percentiles,
    rate,
    rates,
    statistics,
    statistics_by_webhook,
    statistics_daily,
)
from hookline.kernel.errors import InputError
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


def _history(rig: Rig, rng: random.Random, count: int, now_us: int) -> list[Attempt]:
    """Return attempts of a believable month: retries, dead letters, skips, resends, replays and tests of two webhooks."""
    found: list[Attempt] = []
    for number in range(count):
        ids = {
            "delivery_id": f"msg_{number}",
            "event_id": f"evt_{number}",
            "webhook_id": rng.choice(["wh_1", "wh_2"]),
            "event_type": rng.choice(["order.created", "order.paid", "cart.updated"]),
        }
        at_us = now_us - rng.randrange(1, 40 * DAY_US)
        for trigger in [Trigger.EVENT, *rng.choices([Trigger.REPLAY, Trigger.RESEND, Trigger.TEST], k=rng.choice([0, 0, 0, 1, 2]))]:
            found += _run(rig, rng, {**ids, "trigger": trigger}, at_us, now_us)
            at_us = min(now_us - 1, at_us + DAY_US)
    return found


def _run(rig: Rig, rng: random.Random, ids: dict[str, Any], at_us: int, now_us: int) -> list[Attempt]:
    """Return one delivery's attempts until it is delivered, given up, or still waiting."""
    found: list[Attempt] = []
    if rng.random() < 0.1:
        kind = rng.choice([ErrorKind.PAUSED, ErrorKind.DISABLED, ErrorKind.FILTER])
        found.append(rig.attempt(**ids, attempted_at_us=at_us, attempt=0, outcome=Outcome.SKIPPED, error_kind=kind, http_status=0))
    for number in range(1, 5):
        at_us = min(now_us - 1, at_us + rng.randrange(1, HOUR_US))
        status = rng.choice([200, 200, 204, 500, 503, 0])
        kind = ErrorKind.NONE if 200 <= status < 300 else ErrorKind.HTTP_STATUS if status else ErrorKind.TIMEOUT
        ended = kind is ErrorKind.NONE
        outcome = Outcome.DELIVERED if ended else Outcome.DEAD if number == 4 else Outcome.RETRYING
        times = {"response_time_us": rng.randrange(1_000, 900_000), "queue_wait_us": rng.randrange(0, 50_000)}
        answer = {"outcome": outcome, "http_status": status, "error_kind": kind}
        found.append(rig.attempt(**ids, **times, **answer, attempted_at_us=at_us, attempt=number))
        if ended or rng.random() < 0.1:
            break
    if rng.random() < 0.05:
        found.append(
            rig.attempt(**ids, attempted_at_us=at_us, attempt=0, outcome=Outcome.DEAD, error_kind=ErrorKind.EXPIRED, http_status=0)
        )
    return found


def _counted(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return the sums of `Statistics` as its docstring defines them, one by one."""
    real = [a for a in attempts if a.trigger is not Trigger.TEST]
    begun = [a for a in real if a.attempt == 1 and a.trigger is Trigger.EVENT]
    own = [a for a in real if a.trigger is Trigger.EVENT]
    again = [a for a in real if a.trigger is not Trigger.EVENT]
    skips = [a for a in real if a.outcome is Outcome.SKIPPED]
    return {
        "attempts": sum(a.attempt > 0 for a in real),
        "retrying": sum(a.outcome is Outcome.RETRYING for a in real),
        "deliveries": len(begun),
        "first_delivered": sum(a.outcome is Outcome.DELIVERED for a in begun),
        "delivered": sum(a.outcome is Outcome.DELIVERED for a in own),
        "dead": sum(a.outcome is Outcome.DEAD for a in own),
        "made_again": sum(a.attempt == 1 for a in again),
        "again_delivered": sum(a.outcome is Outcome.DELIVERED for a in again),
        "again_dead": sum(a.outcome is Outcome.DEAD for a in again),
        "skipped": len(skips),
        "by_event_type": dict(Counter(a.event_type for a in begun)),
        "by_status": dict(Counter(a.http_status for a in real if a.attempt)),
        "by_error_kind": dict(Counter(str(a.error_kind) for a in real if a.error_kind and a.outcome is not Outcome.SKIPPED)),
        "by_skip_kind": dict(Counter(str(a.error_kind) for a in skips)),
    }


def _assert_same(found: Statistics, attempts: Sequence[Attempt]) -> None:
    expected = _counted(attempts)
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.success_rate == rate(expected["delivered"], expected["delivered"] + expected["dead"])
    assert found.first_try_rate == rate(expected["first_delivered"], expected["deliveries"])
    real = [a for a in attempts if a.trigger is not Trigger.TEST]
    _assert_near(found.response_time_s, [a.response_time_us for a in real if a.http_status])
    _assert_near(found.queue_wait_s, [a.queue_wait_us for a in real if a.attempt])


def _assert_near(found: tuple[float, float, float] | None, values_us: list[int]) -> None:
    """Check percentiles by rank: a t-digest may be off by a share of the rows, not of the value."""
    if not values_us:
        assert found is None
        return
    assert found is not None
    ordered = sorted(values_us)
    for share, value_s in zip((0.5, 0.95, 0.99), found, strict=True):
        low, high = (ordered[min(len(ordered) - 1, max(0, int(len(ordered) * (share + off))))] for off in (-0.03, 0.03))
        assert low * 0.999 <= value_s * 1e6 <= high * 1.001


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_sums_are_what_python_counts(fill: Fill, rig: Rig, log: ClickHouseQueries, seed: int) -> None:
    """Over a random month, of the store and of each webhook, in 30 days and in 2, by webhook and by day."""
    rng, now_us = random.Random(seed), time.time_ns() // 1_000
    attempts = _history(rig, rng, 400, now_us)
    rng.shuffle(attempts)
    for start in range(0, len(attempts), 250):
        fill(attempts[start : start + 250])
    for days in (30, 2):
        since_us = (now_us - days * DAY_US) // HOUR_US * HOUR_US
        inside = [a for a in attempts if a.attempted_at_us >= since_us]
        assert inside
        _assert_same(statistics(log, "shop", days=days, now_us=now_us), inside)
        for webhook in ("wh_1", "wh_2"):
            own = [a for a in inside if a.webhook_id == webhook]
            _assert_same(statistics(log, "shop", webhook_id=webhook, days=days, now_us=now_us), own)
        _assert_grouped(statistics_by_webhook(log, "shop", days=days, now_us=now_us), "webhook_id", inside, lambda a: a.webhook_id)
        _assert_grouped(statistics_daily(log, "shop", days=days, now_us=now_us), "day", inside, _day)


def _day(attempt: Attempt) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(attempt.attempted_at_us / 1e6))


def _assert_grouped(rows: list[dict[str, Any]], name: str, attempts: list[Attempt], key: Callable[[Attempt], str]) -> None:
    groups = {key(a): [b for b in attempts if key(b) == key(a)] for a in attempts if a.trigger is not Trigger.TEST}
    assert {row[name] for row in rows} == set(groups)
    for row in rows:
        expected = _counted(groups[row[name]])
        assert {k: v for k, v in row.items() if k in expected} == {k: v for k, v in expected.items() if not k.startswith("by_")}
        answered = [a for a in groups[row[name]] if a.trigger is not Trigger.TEST and a.http_status]
        assert (percentiles(row["response_time_s"]) is None) == (not answered)


def test_a_replay_neither_mends_nor_spoils_the_rates(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """A dead delivery that a person has delivered again stays one delivery, and dead; the replay is counted beside it."""
    dead = {"delivery_id": "msg_d", "http_status": 500, "error_kind": ErrorKind.HTTP_STATUS}
    fill(
        [
            rig.attempt(delivery_id="msg_ok"),
            rig.attempt(**dead, outcome=Outcome.RETRYING),
            rig.attempt(**dead, outcome=Outcome.DEAD, attempt=2),
            rig.attempt(delivery_id="msg_d", trigger=Trigger.REPLAY),
            rig.attempt(delivery_id="msg_ok", trigger=Trigger.RESEND),
        ]
    )
    found = statistics(log, "shop")
    assert (found.deliveries, found.delivered, found.dead) == (2, 1, 1)
    assert (found.success_rate, found.first_try_rate) == (0.5, 0.5)
    assert (found.made_again, found.again_delivered, found.again_dead) == (2, 2, 0)
    assert found.attempts == 5


@pytest.mark.parametrize("seed", [1, 2])
def test_what_ended_more_than_once_is_what_python_counts(fill: Fill, rig: Rig, log: ClickHouseQueries, seed: int) -> None:
    """Of deliveries that were made again, every ending but the last, of the store and of one webhook, over 30 days and 2."""
    rng, now_us = random.Random(seed), time.time_ns() // 1_000
    attempts = _history(rig, rng, 400, now_us)
    crowded = {a.delivery_id for a in attempts if a.attempted_at_us >= now_us - 10}  # which of these was last is not told by their times
    attempts = [a for a in attempts if a.delivery_id not in crowded]
    rng.shuffle(attempts)
    fill(attempts)
    for days in (30, 2):
        since_h = (now_us - days * DAY_US) // HOUR_US
        inside = [a for a in attempts if a.attempted_at_us >= since_h * HOUR_US and a.trigger is not Trigger.TEST]
        expected = {name: more for name in ("wh_1", "wh_2") if (more := _more([a for a in inside if a.webhook_id == name]))}
        assert expected
        for webhook in ("", "wh_1"):
            rows = log.run("made_again", {"store_id": "shop", "webhook_id": webhook, "since_h": since_h})
            found = {row["webhook_id"]: (row["more_delivered"], row["more_dead"]) for row in rows}
            assert found == {name: more for name, more in expected.items() if webhook in {"", name}}


def _more(attempts: Sequence[Attempt]) -> tuple[int, int] | None:
    """Return how many endings, delivered and dead, are not the last of a delivery that was made again; None when each has one."""
    again = {a.delivery_id for a in attempts if a.trigger is not Trigger.EVENT}
    ended = [a for a in attempts if a.delivery_id in again and a.outcome in {Outcome.DELIVERED, Outcome.DEAD}]
    last = {a.delivery_id: a.attempt_id for a in sorted(ended, key=lambda a: (a.attempted_at_us, a.attempt))}
    more = Counter(a.outcome for a in ended if a.attempt_id != last[a.delivery_id])
    return (more[Outcome.DELIVERED], more[Outcome.DEAD]) if more else None


def test_skips_and_waits_are_no_deliveries(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """Records that explain why no call was made change no rate, no attempt, no percentile."""
    skips = [ErrorKind.PAUSED, ErrorKind.PAUSED, ErrorKind.DISABLED, ErrorKind.FILTER, ErrorKind.CANCELLED]
    fill([rig.attempt(attempt=0, outcome=Outcome.SKIPPED, error_kind=kind, http_status=0, response_time_us=0) for kind in skips])
    found = statistics(log, "shop")
    assert (found.attempts, found.deliveries, found.delivered, found.dead, found.skipped) == (0, 0, 0, 0, 5)
    assert (found.success_rate, found.first_try_rate, found.response_time_s, found.queue_wait_s) == (None, None, None, None)
    assert found.by_error_kind == {}
    assert found.by_skip_kind == {"paused": 2, "disabled": 1, "filter_error": 1, "cancelled": 1}


def test_a_delivery_in_progress_is_in_neither_rate_but_the_first_try(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """What is still being retried has not failed; its first try has."""
    fill([rig.attempt(), rig.attempt(outcome=Outcome.RETRYING, http_status=503, error_kind=ErrorKind.HTTP_STATUS)])
    found = statistics(log, "shop")
    assert (found.deliveries, found.success_rate, found.first_try_rate) == (2, 1.0, 0.5)


def test_a_store_without_attempts_has_zeros(log: ClickHouseQueries) -> None:
    """No row, no error: nothing happened."""
    found = statistics(log, "nobody")
    assert (found.attempts, found.success_rate, found.response_time_s, found.by_status) == (0, None, None, {})
    assert statistics_daily(log, "nobody") == statistics_by_webhook(log, "nobody") == []


def test_hours_outside_the_span_are_left_out(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """The span begins with the hour it reaches back to and ends now."""
    now_us = (time.time_ns() // 1_000) // HOUR_US * HOUR_US + HOUR_US // 2 - 2 * HOUR_US
    inside, before, after = now_us - DAY_US - HOUR_US // 4, now_us - DAY_US - HOUR_US, now_us + HOUR_US
    fill([rig.attempt(attempted_at_us=at) for at in (inside, before, after)])
    assert statistics(log, "shop", days=1, now_us=now_us).attempts == 1


@pytest.mark.parametrize("days", [0, -1, 401])
def test_a_span_that_cannot_be_answered_is_refused(log: ClickHouseQueries, days: int) -> None:
    """Sums are kept for 400 days."""
    with pytest.raises(InputError) as caught:
        statistics(log, "shop", days=days)
    assert caught.value.field == "days"


def test_the_rates_are_shares() -> None:
    """From 0 to 1; of nothing there is none."""
    row = {"delivered": 3, "dead": 1, "first_delivered": 1, "deliveries": 4}
    assert rates(row) == {"success_rate": 0.75, "first_try_rate": 0.25}
    assert rates(dict.fromkeys(row, 0)) == {"success_rate": None, "first_try_rate": None}


def test_merges_change_no_sum(fill: Fill, rig: Rig, log: ClickHouseQueries, warehouse: ClickHouse) -> None:
    """Before and after ClickHouse has merged the parts of many inserts, the answer is the same."""
    rng, now_us = random.Random(9), time.time_ns() // 1_000
    attempts = _history(rig, rng, 60, now_us)
    for one in range(0, len(attempts), 10):
        fill(attempts[one : one + 10])
    inside = [a for a in attempts if a.attempted_at_us >= (now_us - 30 * DAY_US) // HOUR_US * HOUR_US]
    _assert_same(statistics(log, "shop", now_us=now_us), inside)
    warehouse.execute("OPTIMIZE TABLE attempt_stats_hourly FINAL")
    _assert_same(statistics(log, "shop", now_us=now_us), inside)
