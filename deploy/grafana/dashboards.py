"""The three views: the fleet from Prometheus, one store and one webhook from ClickHouse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grafana_foundation_sdk.builders import dashboard, stat
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana import panels
from deploy.grafana.series import COMPONENTS, metrics_of, series

_GOOD: Final = "green"
_BAD: Final = "red"


def fleet() -> dashboard.Dashboard:
    """Return all processes together: the service levels, then every metric that there is, component by component."""
    made = panels.view("hookline-fleet", "Hookline: fleet", "Service levels, then every metric of every process.")
    made = made.with_variable(panels.source("prometheus", "Prometheus", "prometheus")).with_variable(_instances())
    made = made.with_row(dashboard.Row("Service levels"))
    for panel in _levels():
        made = made.with_panel(panel)
    for name, module in COMPONENTS.items():
        made = made.with_row(dashboard.Row(name))
        for one in map(series, metrics_of(module)):
            made = made.with_panel(panels.live_series(one.title, f"{one.text} ({one.name})", one.queries, one.unit))
    return made


def store() -> dashboard.Dashboard:
    """Return one store: how its deliveries go, and which of its webhooks are worst."""
    made = _of_the_log("hookline-store", "Hookline: store", "One store, from the hourly sums in ClickHouse.")
    for panel in _sums("store_sums", "Deliveries", "Deliveries that events began in the span shown, by whole hours."):
        made = made.with_panel(panel)
    made = made.with_panel(panels.log_series("Deliveries per hour", "store_deliveries"))
    made = made.with_panel(panels.log_series("Failed attempts per hour", "store_errors"))
    made = made.with_panel(panels.log_series("Times", "store_times", "s", 24))
    to_webhook = "/d/hookline-webhook?var-store=${store}&var-webhook=${__value.raw}&${__url_time_range}"
    links = models.DynamicConfigValue("links", [{"title": "Open this webhook", "url": to_webhook}])
    shares = models.DynamicConfigValue("unit", "percentunit")
    webhooks = panels.log_table("Webhooks, worst first", "store_webhooks").override_by_name("webhook_id", [links])
    return made.with_panel(webhooks.override_by_name("at_once", [shares]))


def webhook() -> dashboard.Dashboard:
    """Return one webhook: outcomes, answers, times, errors, the newest attempts."""
    made = _of_the_log("hookline-webhook", "Hookline: webhook", "One webhook, from the log of attempts in ClickHouse.")
    made = made.with_variable(panels.chosen("webhook", "Webhook", panels.sql("webhooks")))
    for panel in _sums("webhook_sums", "Attempts", "HTTP calls in the span shown, without those of tests."):
        made = made.with_panel(panel)
    made = made.with_panel(panels.log_series("Outcomes", "webhook_outcomes"))
    made = made.with_panel(panels.log_series("Answers", "webhook_statuses"))
    made = made.with_panel(panels.log_series("Times", "webhook_times", "s", 24))
    made = made.with_panel(panels.log_table("Errors", "webhook_errors"))
    return made.with_panel(panels.log_table("Newest attempts", "webhook_attempts"))


VIEWS: Final[dict[str, Callable[[], dashboard.Dashboard]]] = {"fleet": fleet, "store": store, "webhook": webhook}


def _sums(query: str, counted: str, text: str) -> list[stat.Panel]:
    """Return what a view of the log begins with, from a query with these fields; `text` says what is counted."""
    return [
        panels.log_number(title, said, query, field, unit)
        for title, said, field, unit in (
            (counted, text, counted.lower(), "short"),
            ("Delivered", "Deliveries that their receivers took in the span shown: answered 2xx.", "delivered", "short"),
            ("Dead letters", "Deliveries that were given up in the span shown.", "dead", "short"),
            (
                "Delivered of what is over",
                "Delivered of all that ended: delivered or given up. What is still retried is in neither.",
                "success",
                "percentunit",
            ),
        )
    ]


def _levels() -> list[stat.Panel]:
    return [
        panels.live_number(
            title, f"{text} Target: at most {target * 100:g} %.", f"hookline:slo_{name}_1h", "percentunit", [(None, _GOOD), (target, _BAD)]
        )
        for title, text, name, target in (
            ("Publishes refused", "Answered 5xx, over an hour.", "ingest:errors", 0.001),
            ("Attempts begun late", "More than 5 s after they could, over an hour.", "dispatch:late", 0.01),
            ("Received late", "First attempts answered 2xx more than 5 s after the publish, over an hour.", "receive:late", 0.01),
            ("Given up", "Dead letters of all deliveries that ended in an hour.", "delivery:failed", 0.01),
        )
    ]


def _instances() -> dashboard.QueryVariable:
    found = dashboard.QueryVariable("instance").label("Process").query('label_values(up{job="hookline"}, instance)')
    found = found.datasource(panels.PROMETHEUS).multi(True).include_all(True).all_value(".*")
    return found.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).current(
        models.VariableOption(selected=True, text="All", value="$__all")
    )


def _of_the_log(uid: str, title: str, text: str) -> dashboard.Dashboard:
    made = panels.view(uid, title, text).with_variable(panels.source("clickhouse", "ClickHouse", "grafana-clickhouse-datasource"))
    return made.with_variable(panels.chosen("store", "Store", panels.sql("stores")))
