"""A store at a glance: 30 days in numbers and charts, the webhooks that need somebody, what waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from hookline.console.api.dead_letters import DeadLetterCount
from hookline.console.api.statistics import StatisticsAnswer, Sums
from hookline.console.http.pools import Work
from hookline.console.panel import log_filters, wording
from hookline.console.panel.charts import HALF, Bars, Series, bars
from hookline.console.panel.faults import fault_of
from hookline.console.panel.health import Ended, Health, Waiting, all_waiting, ended_of, health_of
from hookline.console.panel.page import Page
from hookline.console.panel.rendering import address
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import WarehouseError

DAYS: Final = 30
_TROUBLED: Final = ("failing", "shaky", "slow", "disabled")
_ORDER: Final = (*_TROUBLED, "paused")
"""A pause needs somebody when it holds something: after 30 days that becomes dead letters."""
_MOST: Final = 8


@dataclass(frozen=True, slots=True)
class Lists:
    """How the store's deliveries ended, the webhooks that somebody should look at, those whose answers take longest, and what waits."""

    ended: Ended
    troubled: list[Health]
    slowest: list[Health]
    waiting: Waiting
    held: int


async def overview(visit: Visit) -> web.Response:
    """Show the store; a log that cannot be asked is told on the page, which shows the rest."""
    webhooks = visit.services.parts.registry.of_store(visit.store)
    letters = await visit.ask(DeadLetterCount, "dead-letters.count", query={"replayed": "false"})
    try:
        found = await visit.ask(StatisticsAnswer, "statistics.get", query={"days": str(DAYS)})
        lists = await visit.services.parts.pools[Work.QUERIES].run(lambda: _lists(visit, found))
    except WarehouseError as error:
        return visit.show("overview.html", webhooks=webhooks, letters=letters, found=None, problem=fault_of(error))
    return visit.show(
        "overview.html",
        webhooks=webhooks,
        letters=letters,
        found=found,
        ended=lists.ended,
        lists=lists,
        names=log_filters.webhook_names(visit),
        attempts=attempts_chart(found),
        times=times_chart(found),
        errors=error_shares(visit, found.total),
    )


def attempts_chart(found: StatisticsAnswer) -> Bars:
    """Return the chart of attempts by what came of them, point by point, those of what was sent again too."""
    points = found.points
    return bars(
        labels(found),
        (
            Series("Delivered", "good", [point.delivered + point.again_delivered for point in points]),
            Series("Failed, tried again", "warn", [point.retrying for point in points]),
            Series("Given up", "bad", [point.dead + point.again_dead for point in points]),
        ),
    )


def times_chart(found: StatisticsAnswer, width: int = HALF) -> Bars:
    """Return the chart of response times, in milliseconds: the median, and what the slowest 5 % take beyond it."""
    halves = [point.response_time_ms.p50 if point.response_time_ms else 0.0 for point in found.points]
    most = [point.response_time_ms.p95 if point.response_time_ms else 0.0 for point in found.points]
    beyond = [max(0.0, high - half) for high, half in zip(most, halves, strict=True)]
    return bars(labels(found), (Series("Median, ms", "held", halves), Series("To the 95th percentile, ms", "plain", beyond)), width)


def labels(found: StatisticsAnswer) -> list[str]:
    """Return how the points are called: `24 Nov`, or with the hour where there is one for each."""
    hourly = len(found.points) > 1 and (found.points[0].at or "")[:10] == (found.points[1].at or "")[:10]
    times = [datetime.fromisoformat(point.at) for point in found.points if point.at]
    return [f"{at.day} {at:%b %H:00}" if hourly else f"{at.day} {at:%b}" for at in times]


def error_shares(visit: Visit, total: Sums, webhook_id: str = "") -> list[tuple[str, int, str]]:
    """Return failures by kind, with HTTP errors by status, the most frequent first: text, count, address in the log."""
    by_status = {status: count for status, count in total.by_status.items() if status.isdigit() and int(status) >= 300}  # noqa: PLR2004
    kinds = {kind: count for kind, count in total.by_error.items() if kind != "http_status"}
    rest = total.by_error.get("http_status", 0) - sum(by_status.values())

    def log(**filters: str) -> str:
        return address("s", visit.store, "log", webhook=webhook_id, each="attempt", **filters)

    found = [(wording.status_text(int(status)), count, log(status=status)) for status, count in by_status.items()]
    found += [(wording.ERRORS.get(kind, kind), count, log(error=kind)) for kind, count in kinds.items()]
    found += [("Other HTTP errors", rest, log(error="http_status"))] if rest > 0 else []
    return sorted((row for row in found if row[1]), key=lambda row: -row[1])[:_MOST]


def _lists(visit: Visit, statistics: StatisticsAnswer) -> Lists:
    ended = ended_of(visit.services.parts, statistics)
    found = health_of(visit.services.parts, visit.store, visit.now_us, days=1)
    troubled = sorted((one for one in found if one.word in _TROUBLED or one.held), key=lambda one: _ORDER.index(one.word))
    slowest = sorted((one for one in found if one.p95_ms is not None), key=lambda one: -(one.p95_ms or 0.0))
    waiting = all_waiting({one.webhook.id: one.waiting for one in found})
    return Lists(ended, troubled[:_MOST], slowest[:_MOST], waiting, sum(one.held for one in found))


PAGES: Final = (Page(name="overview", path="/s/{store}", section="overview", show=overview),)
