"""The named queries: one store at a time, every filter, pages that hold still, deliveries whole."""

from __future__ import annotations

import base64
import dataclasses
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.analytics import queries
from hookline.analytics.client import ClickHouse
from hookline.analytics.queries import ClickHouseQueries, LogFilter, audit, checked, delivery, event_places, log_page, names, sql
from hookline.kernel.errors import InputError, NotFound
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger

Rig = Any  # the fixture's class stands in conftest.py
Fill = Callable[[Sequence[Attempt]], None]
HOUR_US = 3_600_000_000
ONCE = {"deliveries_count", "deliveries_newest", "job_outcomes", "waiting", "held"}
"""The queries that count a delivery once, however many rows it has."""


@pytest.fixture
def log(warehouse: ClickHouse) -> ClickHouseQueries:
    """Give the queries over the test's warehouse."""
    return ClickHouseQueries(warehouse)


def _ids(log: ClickHouseQueries, **wanted: Any) -> set[str]:
    return {row["attempt_id"] for row in log_page(log, LogFilter(store_id="shop", limit=1_000, **wanted)).rows}


# ---- one store at a time ----


@pytest.mark.unit
@pytest.mark.parametrize("name", sorted(names()))
def test_every_query_names_its_store(name: str) -> None:
    """Each table that a query reads is narrowed to the store, by a parameter of the server's."""
    text = "\n".join(line for line in sql(name).splitlines() if not line.startswith("--"))
    reads = len(re.findall(r"\bFROM (attempts|attempt_stats_hourly|events)\b", text))
    assert reads >= 1
    assert len(re.findall(r"\bstore_id = \{store_id:String\}", text)) == reads


@pytest.mark.clickhouse
@pytest.mark.parametrize("name", sorted(names()))
def test_no_query_sees_another_stores_rows(name: str, fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """The answer is the same whether or not another store has rows with the very same ids and times."""
    failed = {"http_status": 500, "outcome": Outcome.DEAD, "error_kind": ErrorKind.HTTP_STATUS, "error_detail": "answered 500"}
    if name == "waiting":
        failed["outcome"] = Outcome.RETRYING
    if name == "made_again":
        failed["trigger"] = Trigger.REPLAY
    mine = [rig.attempt(**failed) for _ in range(5)]
    fill(mine)
    parameters = _parameters(name, mine[2])
    before = log.run(name, parameters)
    fill([dataclasses.replace(one, store_id="other", source_offset=one.source_offset + 1_000) for one in mine for _ in range(3)])
    assert log.run(name, parameters) == before
    theirs = log.run(name, {**parameters, "store_id": "other"})
    assert (theirs == before) == (name in ONCE)
    nobody = log.run(name, {**parameters, "store_id": "nobody"})
    assert not [row for row in nobody if row.get("attempts") or row.get("rows") or "attempt_id" in row or "event_id" in row]


def _parameters(name: str, one: Attempt) -> dict[str, str | int]:
    """Return parameters with which a query finds an attempt."""
    known: dict[str, str | int] = {
        "store_id": one.store_id, "webhook_id": "", "event_type": "", "trigger": "", "outcome": "", "error_kind": "",
        "event_id": "", "delivery_id": "", "status_low": 0, "status_high": 999, "since_us": one.attempted_at_us - 2 * HOUR_US,
        "until_us": one.attempted_at_us + 2 * HOUR_US, "before_us": one.attempted_at_us + HOUR_US, "before_id": "", "limit": 100,
        "job_id": "", "keys": f"{one.webhook_id}/{one.delivery_id}", "most": 100, "now_us": one.attempted_at_us + HOUR_US, "step_s": 3_600,
        "events": one.event_id, "event_types": one.event_type, "mark": "",
        "recent_us": one.attempted_at_us - HOUR_US, "since_h": one.attempted_at_us // HOUR_US - 2,
    }  # fmt: skip
    known |= {
        "delivery": {"delivery_id": one.delivery_id},
        "event": {"event_id": one.event_id},
        "event_attempts": {"event_id": one.event_id},
        "webhook_calls": {"webhook_id": one.webhook_id},
        "webhook_faults": {"webhook_id": one.webhook_id},
    }.get(name, {})
    return {parameter: known[parameter] for parameter in re.findall(r"\{(\w+):\w+\}", sql(name))}


# ---- filters ----


@pytest.mark.clickhouse
def test_each_filter_keeps_what_it_names(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """Webhook, type, trigger, status, class, no answer, outcome, error, event, delivery and time, each alone."""
    now_us = time.time_ns() // 1_000
    plain = rig.attempt(attempted_at_us=now_us - 5)
    odd: dict[str, Attempt] = {
        "webhook_id": rig.attempt(webhook_id="wh_2"),
        "event_type": rig.attempt(event_type="order.paid"),
        "trigger": rig.attempt(trigger=Trigger.REPLAY),
        "outcome": rig.attempt(outcome=Outcome.RETRYING, http_status=404, error_kind=ErrorKind.HTTP_STATUS),
        "error_kind": rig.attempt(outcome=Outcome.DEAD, http_status=0, error_kind=ErrorKind.TIMEOUT),
        "event_id": rig.attempt(event_id="evt_x"),
        "delivery_id": rig.attempt(delivery_id="msg_x"),
    }
    old = rig.attempt(attempted_at_us=now_us - 30 * HOUR_US)
    fill([plain, old, *odd.values()])
    for name, one in odd.items():
        assert _ids(log, **{name: str(getattr(one, name))}) == {one.attempt_id}, name
    assert _ids(log, http_status="404") == _ids(log, http_status="4xx") == {odd["outcome"].attempt_id}
    assert _ids(log, http_status="none") == {odd["error_kind"].attempt_id}
    assert len(_ids(log, http_status="2xx")) == len(odd) + 2 - 2
    assert _ids(log, until_us=old.attempted_at_us) == {old.attempt_id}
    assert _ids(log, until_us=old.attempted_at_us - 1) == set()
    assert old.attempt_id not in _ids(log, since_us=old.attempted_at_us + 1)
    assert len(_ids(log)) == len(_ids(log, since_us=old.attempted_at_us)) == len(odd) + 2


@pytest.mark.clickhouse
def test_filters_narrow_together(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """Several filters keep what fits all of them."""
    fill([rig.attempt(webhook_id=w, event_type=t, http_status=s) for w in ("wh_1", "wh_2") for t in ("a", "b") for s in (200, 500)])
    assert len(_ids(log, webhook_id="wh_2", event_type="b", http_status="5xx")) == 1
    assert len(_ids(log, webhook_id="wh_2", event_type="b")) == 2


@pytest.mark.unit
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"http_status": "60"}, "http_status"),
        ({"http_status": "0xx"}, "http_status"),
        ({"http_status": "200 OR 1=1"}, "http_status"),
        ({"outcome": "done"}, "outcome"),
        ({"error_kind": "bad luck"}, "error_kind"),
        ({"trigger": "chance"}, "trigger"),
        ({"store_id": ""}, "store_id"),
        ({"store_id": "a' OR 1=1 --"}, "store_id"),
        ({"webhook_id": "wh\0"}, "webhook_id"),
        ({"event_id": "x" * 129}, "event_id"),
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"since_us": 2, "until_us": 1}, "since"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"-5:att_1").decode()}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"5:att '1").decode()}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"9" * 5_000 + b":a").decode()}, "cursor"),
    ],
)
def test_a_wrong_filter_is_refused_by_name(wrong: dict[str, Any], field: str) -> None:
    """Before anything is asked, with the field that is wrong."""

    class Unasked:
        def run(self, name: str, parameters: Any) -> Any:
            raise AssertionError(name, parameters)

        def close(self) -> None:
            """Nothing to close."""

    with pytest.raises(InputError) as caught:
        log_page(Unasked(), LogFilter(**{"store_id": "shop"} | wrong))
    assert caught.value.field == field


@pytest.mark.unit
@given(st.text(max_size=60))
def test_no_text_breaks_the_cursor(text: str) -> None:
    """Whatever is given as a cursor is read or refused as one."""
    try:
        at_us, attempt_id = queries._decode_cursor(text)
    except InputError:
        return
    again = queries._encode_cursor({"attempted_at_us": at_us, "attempt_id": attempt_id}) if attempt_id else ""
    assert queries._decode_cursor(again) == (at_us, attempt_id)


# ---- pages ----


@pytest.mark.clickhouse
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_follow_each_other_through_ties(fill: Fill, rig: Rig, log: ClickHouseQueries, limit: int) -> None:
    """With many attempts in the same microsecond, each row comes once, newest first, whatever the page's size."""
    at_us = time.time_ns() // 1_000 - HOUR_US
    attempts = [rig.attempt(attempted_at_us=at_us + index // 9, webhook_id=f"wh_{index % 2}") for index in range(40)]
    fill(attempts)
    found = _walk(log, limit)
    assert found == [a.attempt_id for a in sorted(attempts, key=lambda a: (a.attempted_at_us, a.attempt_id), reverse=True)]


@pytest.mark.clickhouse
def test_pages_hold_still_while_rows_arrive(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """Rows that come between two pages neither repeat nor push out what was there when the first was read."""
    attempts = [rig.attempt() for _ in range(30)]
    fill(attempts)
    arrived: list[str] = []

    def arrive() -> None:
        more = [rig.attempt(attempted_at_us=time.time_ns() // 1_000) for _ in range(4)]
        arrived.extend(one.attempt_id for one in more)
        fill(more)

    found = _walk(log, 7, arrive)
    assert found == [a.attempt_id for a in reversed(attempts)]
    assert arrived


@pytest.mark.clickhouse
def test_a_page_is_found_however_far_back_it_lies(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """Sparse rows over hours, days and weeks come newest first, across the spans that are tried one after the other."""
    now_us = time.time_ns() // 1_000
    ages_h = [0.1, 0.5, 3, 5, 20, 26, 100, 150, 300, 500, 650]
    attempts = [rig.attempt(attempted_at_us=now_us - int(age * HOUR_US)) for age in ages_h]
    fill(attempts)
    for limit in (1, 2, 5, 20):
        assert _walk(log, limit) == [a.attempt_id for a in attempts]
    since_us = now_us - 110 * HOUR_US
    assert _ids(log, since_us=since_us) == {a.attempt_id for a, age in zip(attempts, ages_h, strict=True) if age < 110}


@pytest.mark.clickhouse
def test_rows_from_a_clock_ahead_are_shown(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """An attempt that a dispatcher dated into the future is on the first page."""
    ahead = rig.attempt(attempted_at_us=time.time_ns() // 1_000 + 5 * HOUR_US)
    fill([rig.attempt(), ahead])
    assert [row["attempt_id"] for row in log_page(log, LogFilter(store_id="shop", limit=1)).rows] == [ahead.attempt_id]


def _walk(log: ClickHouseQueries, limit: int, between: Callable[[], object] = lambda: None) -> list[str]:
    """Return the attempt ids of all pages, in the order in which they came."""
    found: list[str] = []
    cursor = ""
    while True:
        page = log_page(log, LogFilter(store_id="shop", limit=limit, cursor=cursor))
        found += [row["attempt_id"] for row in page.rows]
        cursor = page.next_cursor
        if not cursor:
            return found
        assert len(page.rows) == limit
        between()


# ---- one delivery, one event ----


@pytest.mark.clickhouse
def test_a_delivery_is_shown_with_every_attempt_oldest_first(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """Three attempts, their answers byte for byte, and where the event lies."""
    body = bytes(range(256))
    steps = [
        {"outcome": Outcome.RETRYING, "http_status": 503, "error_kind": ErrorKind.HTTP_STATUS, "response_body": body},
        {"outcome": Outcome.RETRYING, "http_status": 0, "error_kind": ErrorKind.TIMEOUT, "error_detail": "no answer in 10 s"},
        {"outcome": Outcome.DELIVERED, "http_status": 200, "response_body": b"ok"},
    ]
    made = [rig.attempt(delivery_id="msg_d", event_id="evt_d", attempt=n, **step) for n, step in enumerate(steps, start=1)]
    fill([made[2], made[0], rig.attempt(), made[1]])
    rows = delivery(log, "shop", "msg_d")
    assert [(r["attempt"], r["outcome"], r["http_status"], r["error_kind"]) for r in rows] == [
        (1, "retrying", 503, "http_status"),
        (2, "retrying", 0, "timeout"),
        (3, "delivered", 200, ""),
    ]
    assert [r["response_body"] for r in rows] == [body, b"", b"ok"]
    assert (rows[0]["source_topic"], rows[0]["source_partition"]) == ("hookline.events.orders", 1)


@pytest.mark.clickhouse
@pytest.mark.parametrize(("store", "wanted"), [("shop", "msg_none"), ("other", "msg_d"), ("shop", "' OR 1=1")])
def test_an_unknown_delivery_and_another_stores_are_not_found(
    fill: Fill, rig: Rig, log: ClickHouseQueries, store: str, wanted: str
) -> None:
    """Nobody learns whether another store has a delivery."""
    fill([rig.attempt(delivery_id="msg_d")])
    with pytest.raises(NotFound, match=f"in the log of store {store}"):
        delivery(log, store, wanted)


@pytest.mark.clickhouse
def test_an_event_published_twice_has_both_places_latest_first(fill: Fill, rig: Rig, log: ClickHouseQueries) -> None:
    """However many attempts it had, each place comes once."""
    places = [(3, 1_700_000_000_000), (9, 1_700_000_100_000)]
    shift = time.time_ns() // 1_000_000 - 1_700_000_200_000
    fill([rig.attempt(event_id="evt_e", source_offset=o, source_timestamp_ms=t + shift) for o, t in places for _ in range(4)])
    assert [row["source_offset"] for row in event_places(log, "shop", "evt_e")] == [9, 3]
    assert event_places(log, "shop", "evt_none") == []


# ---- the audit ----


@pytest.mark.clickhouse
def test_the_audit_sees_a_record_that_is_there_twice(fill: Fill, rig: Rig, log: ClickHouseQueries, warehouse: ClickHouse) -> None:
    """It adds up for a good log; a doubled record or a wrong sum shows."""
    attempts = [rig.attempt() for _ in range(4)]
    fill(attempts)
    good = audit(log, "shop")
    assert good.adds_up
    assert (good.rows, good.distinct, good.counted, good.summed) == (4, 4, 4, 4)
    warehouse.insert("attempts", rig.table(attempts[:1]), {"async_insert": 0, "insert_deduplication_token": "again"})
    assert not audit(log, "shop").adds_up
    assert audit(log, "other").adds_up
    warehouse.execute("ALTER TABLE attempts DELETE WHERE 1 SETTINGS mutations_sync = 1")
    assert not audit(log, "shop").adds_up


# ---- parameters ----


@pytest.mark.unit
@pytest.mark.parametrize("parameters", [{}, {"store_id": "a"}, {"store_id": "a", "delivery_id": "b", "more": "c"}])
def test_parameters_must_be_exactly_the_querys(parameters: dict[str, str]) -> None:
    """Missing and unknown ones are refused, and the message tells which there are."""
    with pytest.raises(InputError, match="takes delivery_id, store_id"):
        checked("delivery", parameters)


@pytest.mark.unit
@pytest.mark.parametrize("value", [1.5, None, True, -1, 2**32, "5", [1], {"a": 1}])
def test_a_number_must_be_one_of_its_type(value: Any) -> None:
    """Booleans, fractions, texts and numbers out of range are no UInt32."""
    wanted = _parameters("log", Attempt(**dict.fromkeys(_REQUIRED, "x"), attempt=1, attempted_at_us=HOUR_US * 3))  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        checked("log", {**wanted, "limit": value})
    assert caught.value.field == "limit"


_REQUIRED = ("attempt_id", "delivery_id", "store_id", "webhook_id", "event_id", "event_type", "trigger", "outcome")


@pytest.mark.unit
@pytest.mark.parametrize("value", [5, None, b"a", "a\0b", ["a"]])
def test_a_text_must_be_a_text(value: Any) -> None:
    """A NUL, which ClickHouse would cut at, is refused like another type."""
    with pytest.raises(InputError) as caught:
        checked("delivery", {"store_id": "shop", "delivery_id": value})
    assert caught.value.field == "delivery_id"


@pytest.mark.unit
@pytest.mark.parametrize("name", ["nothing", "../migrations/0001_attempts.up", "log.sql", "", "log\0"])
def test_only_known_queries_are_read(name: str) -> None:
    """A name never becomes a path before it is known."""
    with pytest.raises(NotFound):
        sql(name)
