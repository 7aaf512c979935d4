"""The dashboards: what is committed is what the generator gives, and whatever a panel or a rule asks for is there."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.grafana.__main__ import FOLDER, stale
from deploy.grafana.dashboards import VIEWS
from deploy.grafana.series import COMPONENTS, labels_of, metrics_of, name_of
from hookline.analytics.client import ClickHouse
from hookline.schemas.records import Attempt, Outcome
from tests.analytics.conftest import Rig, clickhouse_environ, empty_warehouse, fill, rig, warehouse

__all__ = ["clickhouse_environ", "empty_warehouse", "fill", "rig", "warehouse"]

RULES: Final = Path(__file__).parent.parent.parent / "deploy" / "prometheus" / "hookline.rules.yaml"
METRICS: Final = {name_of(metric): set(labels_of(metric)) for module in COMPONENTS.values() for metric in metrics_of(module)}
OF_TARGETS: Final = {"instance", "component", "job", "le"}
STRANGE: Final = "o'brien"
"""A store whose name needs quoting."""


def panels(view: str) -> list[dict[str, Any]]:
    """Return the panels of a view as committed."""
    return list(json.loads((FOLDER / f"{view}.json").read_text("utf-8"))["panels"])


def expressions() -> Iterator[str]:
    """Yield every PromQL expression of the dashboards and the rules."""
    for view in VIEWS:
        yield from (target["expr"] for panel in panels(view) for target in panel.get("targets", ()) if "expr" in target)
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def metric_of(name: str) -> str:
    """Return the metric that a name in an expression is of; the name itself when it is of none."""
    bare = re.sub(r"_(bucket|count|sum)$", "", name)
    return bare if bare in METRICS else name


@pytest.mark.unit
def test_what_is_committed_is_what_the_generator_gives() -> None:
    """A metric that is added, renamed or told anew is on the dashboard, or this fails."""
    assert stale() == []


@pytest.mark.unit
@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_an_expression_asks_for_what_there_is(expression: str) -> None:
    """Metrics exist, and so do the labels that are matched or grouped by; recorded names are recorded."""
    names = {metric_of(name) for name in re.findall(r"\bhookline_\w+", expression)}
    assert names <= METRICS.keys()
    for name, inside in re.findall(r"\b(hookline_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside)) <= METRICS[metric_of(name)] | OF_TARGETS
    known = OF_TARGETS.union(*(METRICS[name] for name in names))
    for inside in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in inside.split(",")} <= known
    assert set(re.findall(r"\bhookline:[\w:]+", expression)) <= set(re.findall(r"record: (\S+)", RULES.read_text("utf-8")))


@pytest.mark.unit
def test_every_metric_is_shown() -> None:
    """The fleet leaves nothing out that a process measures."""
    shown = {metric_of(name) for panel in panels("fleet") for name in re.findall(r"\bhookline_\w+", json.dumps(panel.get("targets", "")))}
    assert shown == METRICS.keys()


@pytest.mark.unit
@pytest.mark.parametrize("view", VIEWS)
def test_panels_lie_beside_each_other(view: str) -> None:
    """No panel hangs over the grid of 24 or lies on another, and each has an id of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in panels(view):
        at = panel["gridPos"]
        cells = {(at.get("x", 0) + x, at.get("y", 0) + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _ in cells) < 24
        assert taken.isdisjoint(cells), panel.get("title")
        taken |= cells
    ids = [panel["id"] for panel in panels(view)]
    assert len(set(ids)) == len(ids)


@pytest.mark.unit
@pytest.mark.parametrize("view", VIEWS)
def test_every_panel_says_what_it_shows(view: str) -> None:
    """Each panel has a sentence of its own that is more than its title; rows are headings only."""
    told = {panel["title"]: panel.get("description", "") for panel in panels(view) if panel["type"] != "row"}
    assert told
    assert {title: text for title, text in told.items() if len(text) <= len(title)} == {}
    assert view == "fleet" or len(set(told.values())) == len(told)


# ---- the log ----


def as_clickhouse_gets_it(text: str) -> str:
    """Return a query as Grafana and its data source send it: variables quoted, macros written out, for the last two hours."""
    now = int(time.time())
    start, end = f"toDateTime({now - 7_200})", f"toDateTime({now + 60})"
    text = text.replace("${store:sqlstring}", "'" + STRANGE.replace("'", "''") + "'").replace("${webhook:sqlstring}", "'wh_1'")
    text = text.replace("$__fromTime", start).replace("$__toTime", end)
    text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {start} AND \1 <= {end}", text)
    text = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 20 second)", text)
    assert "$" not in text, text
    return text


def queries() -> Iterator[tuple[str, str]]:
    """Yield (name, text) of every query on the log, variables included."""
    for view in ("store", "webhook"):
        for panel in panels(view):
            yield from ((f"{view}: {panel['title']}", target["rawSql"]) for target in panel["targets"])
        variables = json.loads((FOLDER / f"{view}.json").read_text("utf-8"))["templating"]["list"]
        yield from ((f"{view}: ${one['name']}", one["query"]) for one in variables if one["type"] == "query")


@pytest.mark.clickhouse
def test_every_query_on_the_log_finds_what_is_there(warehouse: ClickHouse, rig: Rig, fill: Callable[[Sequence[Attempt]], None]) -> None:
    """The real engine takes each query and gives rows: of a store that delivers, fails and gives up."""
    failed = {"http_status": 503, "error_kind": "http_status", "error_detail": "503"}
    kinds: list[dict[str, Any]] = [{}, {"outcome": Outcome.RETRYING, **failed}, {"outcome": Outcome.DEAD, "attempt": 8, **failed}]
    fill([rig.attempt(store_id=STRANGE, **kind) for kind in kinds * 5])
    fill([rig.attempt(store_id="another") for _ in range(3)])
    found = {name: warehouse.rows(as_clickhouse_gets_it(text)) for name, text in queries()}
    assert [name for name, rows in found.items() if not rows] == []
    assert found["webhook: Delivered of what is over"] == [{"attempts": 15, "delivered": 5, "dead": 5, "success": 0.5}]
    assert found["store: Webhooks, worst first"][0]["at_once"] == 0.5
    assert sum(row["failed"] for row in found["store: Failed attempts per hour"]) == 10
    assert found["webhook: $webhook"] == [{"webhook_id": "wh_1"}]


@pytest.mark.unit
def test_numbers_and_columns_that_panels_name_are_asked_for() -> None:
    """A column that a query no longer has would leave its panel empty."""
    for view in ("store", "webhook"):
        for panel in panels(view):
            text = panel["targets"][0]["rawSql"]
            named = [override["matcher"]["options"] for override in panel.get("fieldConfig", {}).get("overrides", ())]
            if panel["type"] == "stat":
                named.append(panel["options"]["reduceOptions"]["fields"].strip("/^$"))
            assert all(re.search(rf"\b{column}\b", text) for column in named), panel["title"]
