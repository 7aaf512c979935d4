"""The parts that the dashboards are put together from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models

CLICKHOUSE: Final = models.DataSourceRef(type_val="grafana-clickhouse-datasource", uid="${clickhouse}")
PROMETHEUS: Final = models.DataSourceRef(type_val="prometheus", uid="${prometheus}")
ROOMY: Final = 8
"""A panel's height in units of Grafana's grid, which is 24 wide."""
_QUERIES: Final = Path(__file__).parent / "queries"
_SERIES: Final = ("timeseries", 0)
_TABLE: Final = ("table", 1)


def sql(name: str) -> str:
    """Return a query on the log as Grafana gets it; `$…` in it are Grafana's variables and the data source's macros."""
    lines = (_QUERIES / f"{name}.sql").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def about(name: str) -> str:
    """Return the sentence that a query on the log begins with."""
    return (_QUERIES / f"{name}.sql").read_text("utf-8").partition("\n")[0].removeprefix("-- ")


class LogQuery(variants.Dataquery):
    """A query that the ClickHouse data source takes: `kind` is its word and its number for the shape of the answer."""

    def __init__(self, text: str, kind: tuple[str, int]) -> None:
        self._text = text
        self._kind = kind
        self.ref_id = "A"

    def to_json(self) -> dict[str, object]:
        """Return it as it stands in a dashboard."""
        word, number = self._kind
        return {
            "refId": self.ref_id,
            "datasource": CLICKHOUSE,
            "editorType": "sql",
            "queryType": word,
            "format": number,
            "rawSql": self._text,
        }


class _Built(cogbuilder.Builder[variants.Dataquery]):
    def __init__(self, query: LogQuery) -> None:
        self._query = query

    def build(self) -> variants.Dataquery:
        return self._query


def log_series(title: str, name: str, unit: str = "short", width: int = 12) -> timeseries.Panel:
    """Return a panel over time from a query of `queries/`."""
    panel = _over_time(title, unit, width).description(about(name)).datasource(CLICKHOUSE)
    return panel.with_target(_Built(LogQuery(sql(name), _SERIES)))


def log_table(title: str, name: str, width: int = 24) -> table.Panel:
    """Return a table from a query of `queries/`."""
    target = _Built(LogQuery(sql(name), _TABLE))
    panel = table.Panel().title(title).description(about(name)).datasource(CLICKHOUSE)
    return panel.height(ROOMY + 2).span(width).with_target(target)


def log_number(title: str, text: str, name: str, field: str, unit: str = "short") -> stat.Panel:
    """Return one number: a column of a query's one row; `text` says what it is."""
    reduced = common.ReduceDataOptions().calcs(["lastNotNull"]).fields(f"/^{field}$/").values(False)
    target = _Built(LogQuery(sql(name), _TABLE))
    panel = stat.Panel().title(title).description(text).datasource(CLICKHOUSE).height(4).span(6).unit(unit)
    return panel.reduce_options(reduced).graph_mode(looks.BigValueGraphMode.NONE).with_target(target)


def live_series(title: str, text: str, queries: tuple[tuple[str, str], ...], unit: str = "short", width: int = 8) -> timeseries.Panel:
    """Return a panel over time from Prometheus: (expression, legend) of each line."""
    panel = _over_time(title, unit, width).description(text).datasource(PROMETHEUS)
    for place, (expression, legend) in enumerate(queries):
        panel = panel.with_target(prometheus.Dataquery().expr(expression).legend_format(legend).range().ref_id(chr(ord("A") + place)))
    return panel


def live_number(title: str, text: str, expression: str, unit: str, steps: list[tuple[float | None, str]]) -> stat.Panel:
    """Return one number from Prometheus; `steps` are (from, colour), the first from None."""
    colours = (
        dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps([models.Threshold(at, colour) for at, colour in steps])
    )
    target = prometheus.Dataquery().expr(expression).instant().ref_id("A")
    panel = stat.Panel().title(title).description(text).datasource(PROMETHEUS).height(4).span(6).unit(unit)
    return panel.thresholds(colours).no_value("no traffic").graph_mode(looks.BigValueGraphMode.NONE).with_target(target)


def _over_time(title: str, unit: str, width: int) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(looks.LegendDisplayMode.LIST).placement(looks.LegendPlacement.BOTTOM).show_legend(True)
    tooltip = common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI)
    panel = timeseries.Panel().title(title).unit(unit).height(ROOMY).span(width).legend(legend).tooltip(tooltip)
    return panel.line_width(1).fill_opacity(10).min(0) if unit != "s" else panel.line_width(1).fill_opacity(0)


def source(name: str, label: str, kind: str) -> dashboard.DatasourceVariable:
    """Return the variable that says which data source is asked."""
    return dashboard.DatasourceVariable(name).label(label).type(kind)


def chosen(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Return a variable whose values the log knows."""
    found = dashboard.QueryVariable(name).label(label).query(query).datasource(CLICKHOUSE)
    return found.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.DISABLED)


def view(uid: str, title: str, text: str) -> dashboard.Dashboard:
    """Return an empty dashboard with links to the others."""
    link = dashboard.DashboardLink("Hookline").type(models.DashboardLinkType.DASHBOARDS).tags(["hookline"]).as_dropdown(True)
    made = dashboard.Dashboard(title).uid(uid).description(text).tags(["hookline"]).timezone("utc").refresh("1m")
    return made.time("now-24h", "now").tooltip(models.DashboardCursorSync.CROSSHAIR).link(link.keep_time(True))
