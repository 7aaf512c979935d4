"""Redaction: what receivers answered to erased events leaves the log, sums and order stay, what comes late goes too or never in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hookline.analytics.client import ClickHouse
from hookline.analytics.config import SinkConfig
from hookline.analytics.erased import ErasedRows
from hookline.analytics.queries import ClickHouseQueries, audit
from hookline.analytics.redaction import ERASABLE, LATE_S, MARK, Redaction, batches
from hookline.analytics.writer import BatchWriter
from hookline.kernel.config import load
from hookline.schemas.erasures import Erasure
from hookline.schemas.records import Attempt, ErrorKind, Outcome
from tests.analytics.known import Known

Fill = Callable[[Sequence[Attempt]], None]
Rig = Any  # the fixture's class stands in conftest.py
NOW_US = 1_770_000_000_000_000


def erasure(event_id: str, store_id: str = "shop", at_us: int = NOW_US) -> Erasure:
    """Return an erasure."""
    return Erasure(store_id=store_id, event_id=event_id, erased_at_us=at_us)


def answered(rig: Rig, event_id: str, **more: Any) -> Attempt:
    """Return an attempt whose receiver said something about somebody."""
    texts = {"response_body": b"thanks, ann@example.com", "response_headers": "x-customer: ann", "error_detail": "answered 500"}
    failed = {"outcome": Outcome.DEAD, "http_status": 500, "error_kind": ErrorKind.HTTP_STATUS}
    found: Attempt = rig.attempt(event_id=event_id, **{"store_id": "shop", **failed, **texts, **more})
    return found


@pytest.mark.clickhouse
def test_only_what_was_erased_is_redacted(warehouse: ClickHouse, fill: Fill, rig: Rig) -> None:
    """Body, head and detail of the erased event's rows become the mark; other events, other stores and all else stay."""
    fill([answered(rig, "evt_ann"), answered(rig, "evt_ann", response_body=b"", error_detail=""), answered(rig, "evt_bob")])
    sums = warehouse.rows("SELECT sum(attempts) AS n, sum(dead) AS dead FROM attempt_stats_hourly")
    redaction = Redaction(warehouse, Known(erasure("evt_ann"), erasure("evt_bob", "other")))  # type: ignore[arg-type]
    assert redaction.step(NOW_US) == 2
    rows = warehouse.rows(
        "SELECT event_id, response_body, response_headers, error_detail, http_status FROM attempts ORDER BY event_id, response_body"
    )
    texts = [(r["event_id"], r["response_body"], r["response_headers"], r["error_detail"]) for r in rows]
    assert texts == [
        ("evt_ann", "", MARK, ""),
        ("evt_ann", MARK, MARK, MARK),
        ("evt_bob", "thanks, ann@example.com", "x-customer: ann", "answered 500"),
    ]
    assert {r["http_status"] for r in rows} == {500}
    assert warehouse.rows("SELECT sum(attempts) AS n, sum(dead) AS dead FROM attempt_stats_hourly") == sums
    assert redaction.step(NOW_US) == 0
    [left] = ClickHouseQueries(warehouse).run(ERASABLE, {"store_id": "shop", "events": "evt_ann,evt_bob", "mark": MARK})
    assert left["n"] == 1


@pytest.mark.clickhouse
def test_what_comes_late_is_redacted_too(warehouse: ClickHouse, fill: Fill, rig: Rig) -> None:
    """An attempt made after the erasure is redacted for as long as a schedule lasts; an old erasure is looked at when the sink starts."""
    known = Known(erasure("evt_ann"), erasure("evt_old", at_us=NOW_US - round(9 * LATE_S * 1e6)))
    redaction = Redaction(warehouse, known)  # type: ignore[arg-type]
    fill([answered(rig, "evt_old")])
    assert redaction.step(NOW_US) == 1
    fill([answered(rig, "evt_ann")])
    assert redaction.step(NOW_US + round(0.9 * LATE_S * 1e6)) == 1
    fill([answered(rig, "evt_ann")])
    assert redaction.step(NOW_US + round(3 * LATE_S * 1e6)) == 1, "the time is counted from the last look"
    fill([answered(rig, "evt_ann")])
    assert redaction.step(NOW_US + round(4 * LATE_S * 1e6)) == 0, "by then the sink itself inserts nothing of it any more"


@pytest.mark.clickhouse
def test_what_comes_almost_five_days_late_is_redacted(warehouse: ClickHouse, fill: Fill, rig: Rig) -> None:
    """In a process that looks every few seconds, a row that comes 4 days and 23 hours after the erasure; not one after 5 days."""
    redaction = Redaction(warehouse, Known(erasure("evt_ann")))  # type: ignore[arg-type]
    for late_s, redacted in ((0.0, 1), (3_700.0, 1), (4 * 86_400.0 + 23 * 3_600.0, 1), (5 * 86_400.0 + 60.0, 0)):
        at_us = NOW_US + round(late_s * 1e6)
        redaction.step(at_us - 5_000_000)  # the look before
        fill([answered(rig, "evt_ann")])
        assert redaction.step(at_us) == redacted, late_s


@pytest.mark.unit
def test_rows_of_erased_events_are_redacted_before_they_are_inserted(rig: Rig) -> None:
    """However long ago the erasure was; other events, other stores, what was empty and all other columns stay."""
    table = rig.table(
        [
            answered(rig, "evt_bob"),
            answered(rig, "evt_ann"),
            answered(rig, "evt_ann", response_body=b"", error_detail=""),
            answered(rig, "evt_ann", store_id="other"),
        ]
    )
    known = Known(erasure("evt_ann", at_us=1))
    found = ErasedRows(known).redacted(table)
    assert found.schema == table.schema
    rest = [name for name in table.column_names if name not in {"response_body", "response_headers", "error_detail"}]
    assert found.select(rest) == table.select(rest)
    told = list(zip(*(found[name].to_pylist() for name in ("response_body", "response_headers", "error_detail")), strict=True))
    said = (b"thanks, ann@example.com", "x-customer: ann", "answered 500")
    assert told == [said, (MARK.encode(), MARK, MARK), (b"", MARK, ""), said]


@pytest.mark.unit
def test_an_erasure_that_comes_while_rows_are_inserted_is_known_to_the_next(rig: Rig) -> None:
    """None, one, another one more: each time what is known by then is redacted."""
    table, known = rig.table([answered(rig, "evt_ann"), answered(rig, "evt_bob")]), Known()
    rows, left = ErasedRows(known), []
    for more in (None, "evt_ann", "evt_bob"):
        known.erasures += [erasure(more)] if more else []
        left.append(rows.redacted(table)["response_headers"].to_pylist().count("x-customer: ann"))
    assert left == [2, 1, 0]
    assert rows.redacted(table.slice(0, 0)).num_rows == 0


@pytest.mark.clickhouse
@pytest.mark.parametrize("again", ["write", "rewrite", "complete"])
def test_no_way_into_the_log_brings_back_what_was_erased(warehouse: ClickHouse, rig: Rig, again: str) -> None:
    """Whether a batch is written, replayed or completed, what was answered to an erased event is not inserted."""
    texts = {"response_body": b"thanks, ann", "response_headers": "x-customer: ann", "error_detail": "ann"}
    messages = rig.records([rig.attempt(event_id="evt_erased", **texts), rig.attempt(**texts)])
    nobody: Any = None  # all can be read: nothing is put aside
    known = ErasedRows(Known(erasure("evt_erased", at_us=1)))
    writer = BatchWriter(warehouse, rig.codec, nobody, "attempts.rejected", load(SinkConfig, {}), known)
    for _ in range(2):
        getattr(writer, again)("attempts", 0, messages)
    answers = warehouse.rows("SELECT response_body, response_headers, error_detail FROM attempts ORDER BY log_offset")
    assert [tuple(row.values()) for row in answers] == [("[erased]",) * 3, ("thanks, ann", "x-customer: ann", "ann")]
    found = audit(ClickHouseQueries(warehouse), "shop")
    assert (found.rows, found.distinct, found.summed) == (2, 2, 2)


@pytest.mark.unit
def test_ids_are_asked_about_in_parts() -> None:
    """Each part fits a question; none is left out."""
    ids = [f"evt_{number}" for number in range(1_203)]
    parts = list(batches(ids))
    assert [len(part) for part in parts] == [500, 500, 203]
    assert [one for part in parts for one in part] == ids
    assert list(batches([])) == []
