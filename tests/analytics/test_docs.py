"""The page about the tables is true: every column as it is, every example runs, and runs for one store."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase

from hookline.analytics import metrics
from hookline.analytics.client import ClickHouse
from hookline.schemas.records import Attempt, ErrorKind, Outcome

Rig = Any  # the fixture's class stands in conftest.py
Fill = Callable[[Sequence[Attempt]], None]
DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "clickhouse.md").read_text("utf-8")
EXAMPLES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
TABLES = re.findall(r"^## (\w+)\n", PAGE, re.MULTILINE)


def _documented(table: str) -> list[tuple[str, str, str]]:
    """Return (column, type, meaning) as the page has them."""
    section = re.split(r"^## ", PAGE.split(f"\n## {table}\n")[1], flags=re.MULTILINE)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return [(cells[0].strip(), cells[1].strip(), cells[2].strip()) for cells in rows if cells[0].strip() != "column"]


@pytest.mark.clickhouse
def test_every_table_has_its_section(warehouse: ClickHouse) -> None:
    """Tables that people may ask; the views that fill them are named in the text."""
    found = {row["name"] for row in warehouse.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")}
    views = {name for name in found if name.endswith("_view")}
    assert set(TABLES) == found - views
    assert all(f"`{view}`" in PAGE for view in views)


@pytest.mark.clickhouse
@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_documented_as_it_is(warehouse: ClickHouse, table: str) -> None:
    """Name, type and meaning, in the table's order."""
    query = "SELECT name, type, comment FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position"
    found = [(row["name"], row["type"], row["comment"]) for row in warehouse.rows(query, {"table": table})]
    assert _documented(table) == found


@pytest.mark.clickhouse
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_runs_and_finds_something(fill: Fill, rig: Rig, warehouse: ClickHouse, number: int) -> None:
    """With rows of a store to find, and none of them for another."""
    waiting = {"outcome": Outcome.RETRYING, "http_status": 503, "error_kind": ErrorKind.HTTP_STATUS}
    given_up = waiting | {"outcome": Outcome.DEAD}
    twice = rig.attempt(delivery_id="msg_twice")
    fill([rig.attempt(event_id="evt_x"), rig.attempt(**waiting), twice, rig.attempt(delivery_id="msg_twice"), rig.attempt(**given_up)])
    query = EXAMPLES[number]
    assert "store_id = {store:String}" in query
    found = warehouse.rows(query, _given(query, "shop"))
    assert found
    nobody = warehouse.rows(query, _given(query, "nobody"))
    assert all(not row.get("rows") for row in nobody)
    assert "rows" in found[0] or nobody == []


def _given(query: str, store: str) -> dict[str, str | int]:
    return {"store": store, **({"event": "evt_x"} if "{event:String}" in query else {})}


@pytest.mark.unit
def test_every_metric_of_the_sink_is_named() -> None:
    """The page on the sink lists what can be watched."""
    text = (DOCS / "analytics.md").read_text("utf-8")
    names = [next(iter(found.describe())).name for found in vars(metrics).values() if isinstance(found, MetricWrapperBase)]
    assert names
    for name in names:
        assert name.removeprefix("hookline_sink").removeprefix("hookline") in text, name


@pytest.mark.unit
def test_every_test_and_module_that_the_pages_name_exists() -> None:
    """A page that points nowhere misleads."""
    text = (DOCS / "analytics.md").read_text("utf-8") + PAGE
    root = DOCS.parent
    for path in re.findall(r"`(tests/[\w/]+\.py)`", text):
        assert (root / path).exists(), path
    for module in re.findall(r"`(\w+\.py)`", text):
        assert (root / "analytics" / module).exists(), module
