"""`/statistics`: what became of a store's deliveries, or of one webhook's, in all and hour by hour or day by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from hookline.analytics.queries import Statistics, summed
from hookline.console.api.deliveries_filter import MOST_DAYS, Instant, us_of
from hookline.console.api.webhooks import own
from hookline.console.http.models import Model, Query, Time, time_of
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import Answer, Call, Handler, Route
from hookline.kernel.clock import to_us

_HOUR_US: Final = 3_600_000_000
_STEPS_US: Final = {"hour": _HOUR_US, "day": 24 * _HOUR_US}
_PER_DAY: Final = {"hour": 24, "day": 1}
_NO_ANSWER: Final = "none"
_WHOLE_US: Final = 0
_COUNTS: Final = (
    "attempts", "deliveries", "delivered", "first_delivered", "dead", "retrying", "skipped", "made_again", "again_delivered", "again_dead",
)  # fmt: skip
_MAPS: Final = ("by_event_type", "by_status", "by_error_kind", "by_skip_kind")
_TIMES: Final = ("response_time_s", "queue_wait_s")
_NOTHING: Final[Mapping[str, Any]] = {
    **dict.fromkeys(_COUNTS, 0),
    **{name: {} for name in _MAPS},
    **{name: [None] * 3 for name in _TIMES},
}


def _digits(text: object) -> object:
    """Take plain digits only: Python would take `+5` and `1_0` as well."""
    if isinstance(text, str):
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST_DAYS))):
            raise ValueError(f"must be a whole number from 1 to {MOST_DAYS}")
        return int(text)
    return text


Days = Annotated[int, Field(ge=1, le=MOST_DAYS, description="how many days, the current one included"), BeforeValidator(_digits)]


class StatisticsQuery(Query):
    """Over which time, and how finely."""

    days: Days = 30
    points: Literal["hour", "day"] = Field("day", description="a point for each hour or for each day in UTC")
    until: Instant | None = Field(None, alias="to", description="the end, to the hour; left out, now")


class Percentiles(Model):
    """Half, 95 % and 99 % took at most so many milliseconds."""

    p50: float
    p95: float
    p99: float


class Sums(Model):
    """What became of deliveries; test calls are not counted."""

    attempts: int = Field(description="calls made, whatever began them")
    deliveries: int = Field(description="deliveries that events began")
    delivered: int = Field(description="of those that events began: ended delivered")
    first_delivered: int = Field(description="of those: delivered by the first call")
    dead: int = Field(description="of those that events began: given up")
    retrying: int = Field(description="calls that failed with another to come")
    skipped: int = Field(description="records that say why no call was made")
    made_again: int = Field(description="resends and replays begun; they count here, below and in the attempts, and in no rate")
    again_delivered: int
    again_dead: int
    success_rate: float | None = Field(description="delivered / (delivered + dead), from 0 to 1; null when nothing ended")
    first_try_rate: float | None = Field(description="first_delivered / deliveries, from 0 to 1; null when nothing began")
    by_event_type: dict[str, int] = Field(description="deliveries begun by events, by type")
    by_status: dict[str, int] = Field(description="calls by HTTP status; `none` when no answer came")
    by_error: dict[str, int] = Field(description="failed calls, and deliveries given up without one, by kind")
    by_skip: dict[str, int] = Field(description="records of no call, by kind")
    response_time_ms: Percentiles | None = Field(description="of calls that got an answer; null without one")
    queue_wait_ms: Percentiles | None = Field(description="from when a call could be made until it was; null without one")


class Point(Sums):
    """The sums of an hour or a day."""

    at: Time | None = Field(description="when the hour or day began")


class StatisticsAnswer(Model):
    """Sums of a span, and the points that it is made of, the oldest first; points without attempts are there too."""

    store_id: str
    webhook_id: str | None = Field(description="null: all webhooks of the store")
    begins_at: Time | None = Field(description="when the first point begins")
    ends_at: Time | None = Field(description="when the last point ends")
    total: Sums
    points: list[Point]


def store_statistics(call: Call) -> Answer:
    """Answer the statistics of a store."""
    return _answer(call, "")


def webhook_statistics(call: Call) -> Answer:
    """Answer the statistics of one webhook."""
    return _answer(call, own(call).id)


def _answer(call: Call, webhook_id: str) -> Answer:
    asked = call.asked(StatisticsQuery)
    until_us = us_of(asked.until) if asked.until else to_us(call.parts.clock.now())
    starts = starts_of(until_us, asked.days, asked.points)
    step_us = _STEPS_US[asked.points]
    span: dict[str, str | int] = {"store_id": call.store_id, "webhook_id": webhook_id, "since_us": starts[0], "until_us": until_us}
    rows = {row["at_s"] * 1_000_000: row for row in call.parts.queries.run("statistics_points", {**span, "step_s": step_us // 1_000_000})}
    points = [Point(at=time_of(at_us), **_sums(summed(rows.get(at_us, _NOTHING)))) for at_us in starts]
    last_us = min(starts[-1] + step_us, -(-until_us // _HOUR_US) * _HOUR_US)
    value = StatisticsAnswer(
        store_id=call.store_id,
        webhook_id=webhook_id or None,
        begins_at=time_of(starts[0]),
        ends_at=time_of(last_us),
        total=Sums(**_sums(summed(rows.get(_WHOLE_US, _NOTHING)))),
        points=points,
    )
    return Answer(value=value)


def starts_of(until_us: int, days: int, points: str) -> list[int]:
    """Return when each hour or day in UTC begins, the oldest first; the last one is that in which the span ends."""
    step_us, count = _STEPS_US[points], days * _PER_DAY[points]
    last_us = (until_us - 1) // step_us * step_us
    return [last_us - number * step_us for number in reversed(range(count))]


def _sums(found: Statistics) -> dict[str, Any]:
    return {
        **{name: getattr(found, name) for name in (*_COUNTS, "success_rate", "first_try_rate", "by_event_type")},
        "by_status": {str(status or _NO_ANSWER): count for status, count in found.by_status.items()},
        "by_error": found.by_error_kind,
        "by_skip": found.by_skip_kind,
        "response_time_ms": _percentiles(found.response_time_s),
        "queue_wait_ms": _percentiles(found.queue_wait_s),
    }


def _percentiles(found: tuple[float, float, float] | None) -> Percentiles | None:
    if found is None:
        return None
    p50, p95, p99 = (round(seconds * 1_000, 3) for seconds in found)
    return Percentiles(p50=p50, p95=p95, p99=p99)


def _route(name: str, path: str, summary: str, handler: Handler, codes: tuple[Code, ...] = ()) -> Route:
    return Route(
        name=name,
        method="GET",
        path=path,
        scope="results:read",
        summary=summary,
        description="Of 1 to 31 days in UTC, the current one included, to the hour. Sums are kept for 400 days, longer than the log.",
        handler=handler,
        work=Work.QUERIES,
        query=StatisticsQuery,
        answer=StatisticsAnswer,
        codes=(*codes, Code.WAREHOUSE_UNAVAILABLE, Code.OVERLOADED),
    )


ROUTES: Final = (
    _route("statistics.get", "/statistics", "Show what became of the store's deliveries", store_statistics),
    _route(
        "webhooks.statistics",
        "/webhooks/{id}/statistics",
        "Show what became of one webhook's deliveries",
        webhook_statistics,
        (Code.NOT_FOUND,),
    ),
)
