"""The named queries: what the log and the statistics can be asked, wherever ClickHouse is.

Each stands in `queries/NAME.sql` with server-side parameters and names the store it is about. A process that owns
ClickHouse asks it (`ClickHouseQueries`); in embedded mode the others ask the sink over HTTP (`gateway.RemoteQueries`).
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypedDict

from hookline.analytics.stretches import Stretches
from hookline.analytics.warehouse import Parameters, Rows, Warehouse
from hookline.kernel.errors import InputError, NotFound
from hookline.schemas.records import ErrorKind, Outcome, Trigger

FOLDER: Final = Path(__file__).parent / "queries"
MAX_LIMIT: Final = 1_000
_DAY_US: Final = 86_400_000_000
_LATEST_US: Final = 4_102_444_800_000_000  # 2100-01-01
_ALL_STATUSES: Final = (0, 65_535)
_PARAMETER: Final = re.compile(r"\{(\w+):(\w+)\}")
_INTEGERS: Final = {"Int64": (-(2**63), 2**63 - 1), "UInt32": (0, 2**32 - 1), "UInt16": (0, 2**16 - 1)}
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class Queries(Protocol):
    """Answers named queries; safe for one thread at a time."""

    def run(self, name: str, parameters: Parameters) -> Rows:
        """Return the rows of a query; raise `InputError` for a wrong name or parameter, `WarehouseError` otherwise."""

    def close(self) -> None:
        """Let the connection go."""


class ClickHouseQueries:
    """Asks ClickHouse itself."""

    def __init__(self, client: Warehouse) -> None:
        self._client = client

    def run(self, name: str, parameters: Parameters) -> Rows:
        """Return the rows of a query."""
        return self._client.rows(sql(name), checked(name, parameters))

    def close(self) -> None:
        """Close the session."""
        self._client.close()


@cache
def names() -> frozenset[str]:
    """Return the names of all queries."""
    return frozenset(path.stem for path in FOLDER.glob("*.sql"))


@cache
def sql(name: str) -> str:
    """Return the text of a query; raise `NotFound` for an unknown name, before it becomes a path."""
    if name not in names():
        raise NotFound(f"There is no query called {name[:64]!r}", field="query")
    return (FOLDER / f"{name}.sql").read_text()


def checked(name: str, parameters: Mapping[str, object]) -> dict[str, str | int]:
    """Return the parameters when they are exactly the query's, of its types; raise `InputError` naming the wrong one."""
    wanted = dict(_PARAMETER.findall(sql(name)))
    for parameter in parameters.keys() ^ wanted.keys():
        raise InputError(f"The query {name} takes {', '.join(sorted(wanted))}", field=parameter)
    return {parameter: _typed(parameter, kind, parameters[parameter]) for parameter, kind in wanted.items()}


def _typed(parameter: str, kind: str, value: object) -> str | int:
    if kind == "String" and isinstance(value, str) and "\0" not in value:
        return value
    low, high = _INTEGERS.get(kind, (1, 0))
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise InputError(f"The parameter {parameter} must be a {kind}", field=parameter)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which rows of a store's log; empty means any.

    `http_status` is a status such as `404`, a class such as `5xx`, or `none` for no answer. Times are microseconds since
    the epoch, both ends included; 0 means open. `cursor` is a page's `next_cursor`.
    """

    store_id: str
    webhook_id: str = ""
    event_type: str = ""
    trigger: str = ""
    http_status: str = ""
    outcome: str = ""
    error_kind: str = ""
    event_id: str = ""
    delivery_id: str = ""
    since_us: int = 0
    until_us: int = 0
    cursor: str = ""
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows of the log, newest first; `next_cursor` is empty on the last page."""

    rows: Rows
    next_cursor: str


def log_page(queries: Queries, wanted: LogFilter) -> Page:
    """Return one page of the log in the order (attempted_at, attempt_id) descending, which new rows do not disturb.

    Raises `InputError` naming the wrong field.
    """
    if not 1 <= wanted.limit <= MAX_LIMIT:
        raise InputError(f"The limit must be from 1 to {MAX_LIMIT}", field="limit", remedy="What is more comes on the pages that follow.")
    before_us, before_id = _decode_cursor(wanted.cursor)
    low, high = statuses(wanted.http_status)
    _check_words(wanted)
    until_us = wanted.until_us or _LATEST_US
    if wanted.since_us > until_us:
        raise InputError("The time range ends before it begins", field="since", remedy="Let since lie before until.")
    plain = ("store_id", "webhook_id", "event_type", "trigger", "outcome", "error_kind", "event_id", "delivery_id", "since_us")
    parameters: Parameters = {
        **{name: getattr(wanted, name) for name in plain},
        "status_low": low, "status_high": high, "until_us": min(until_us, before_us),
        "before_us": before_us, "before_id": before_id, "limit": wanted.limit + 1,
    }  # fmt: skip
    rows = _newest(queries, parameters, wanted)
    page = rows[: wanted.limit]
    return Page(rows=page, next_cursor=_encode_cursor(page[-1]) if len(rows) > wanted.limit else "")


def _newest(queries: Queries, parameters: Parameters, wanted: LogFilter) -> Rows:
    """Return the newest rows, one more than the page has: the whole log need not be sorted for its end."""
    if wanted.event_id or wanted.delivery_id:  # found by its index, wherever it is
        return queries.run("log", parameters)
    newest_us = max(wanted.since_us, min(int(parameters["until_us"]), time.time_ns() // 1_000))

    def ask(since_us: int, until_us: int, most: int) -> Rows:
        # The first stretch has the rows of clocks that are ahead.
        span = {"since_us": since_us, "until_us": parameters["until_us"] if until_us == newest_us else until_us}
        return queries.run("log", {**parameters, **span, "limit": most})

    return Stretches(ask, wanted.since_us).rows(newest_us, wanted.limit + 1)


def delivery(queries: Queries, store_id: str, delivery_id: str) -> Rows:
    """Return every attempt of a delivery, oldest first, `response_body` as bytes; raise `NotFound` when there is none.

    Another store's delivery is not found either.
    """
    rows = queries.run("delivery", {"store_id": store_id, "delivery_id": delivery_id})
    if not rows:
        raise NotFound(
            f"No attempt of delivery {delivery_id} is in the log of store {store_id}",
            field="delivery_id",
            remedy="Take the id (msg_…) and its store as the log shows them; the log forgets what is older than its retention.",
        )
    for row in rows:
        row["response_body"] = base64.b64decode(row.pop("response_body_base64"))
    return rows


def event_places(queries: Queries, store_id: str, event_id: str) -> Rows:
    """Return where an event lies in Kafka, the latest place first; empty when it was never attempted."""
    return queries.run("event", {"store_id": store_id, "event_id": event_id})


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What became of a store's or a webhook's deliveries; test calls are not counted.

    `deliveries`, `first_delivered`, `delivered` and `dead` are of deliveries that events began: begun (attempt 1), delivered
    at attempt 1, ended delivered, given up. One that is given up before its first call is in `dead` alone. What a person had
    made again counts only in the `again` fields and in the attempts. `skipped` counts records that explain why no call was made.

    `success_rate` = delivered ÷ (delivered + dead), `first_try_rate` = first_delivered ÷ deliveries; from 0 to 1, and None
    when there is nothing to divide by. Percentiles are (p50, p95, p99) in seconds, None without data: of response times of
    attempts that got an answer, and of the wait from when an attempt could be made to its start. An attempt that was made
    twice because a dispatcher died counts twice: it was made twice.
    """

    attempts: int
    retrying: int
    deliveries: int
    first_delivered: int
    delivered: int
    dead: int
    made_again: int
    again_delivered: int
    again_dead: int
    skipped: int
    success_rate: float | None
    first_try_rate: float | None
    by_event_type: dict[str, int]
    by_status: dict[int, int]
    by_error_kind: dict[str, int]
    by_skip_kind: dict[str, int]
    response_time_s: tuple[float, float, float] | None
    queue_wait_s: tuple[float, float, float] | None


def statistics(queries: Queries, store_id: str, *, webhook_id: str = "", days: int = 30, now_us: int = 0) -> Statistics:
    """Return the sums of the last `days` days, to the hour, of a store or of one webhook; raise `InputError` for days < 1.

    `now_us` 0 means now.
    """
    return summed(queries.run("statistics", _span(store_id, days, now_us) | {"webhook_id": webhook_id})[0])


def statistics_daily(queries: Queries, store_id: str, *, webhook_id: str = "", days: int = 30, now_us: int = 0) -> Rows:
    """Return one row of sums per day that has any, oldest first."""
    return queries.run("statistics_daily", _span(store_id, days, now_us) | {"webhook_id": webhook_id})


def statistics_by_webhook(queries: Queries, store_id: str, *, days: int = 30, now_us: int = 0) -> Rows:
    """Return one row of sums per webhook, those with most dead letters first."""
    return queries.run("statistics_by_webhook", _span(store_id, days, now_us))


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Whether a store's log adds up: each attempt record there once, and the hourly sums equal to the rows they are of.

    `summed` is over the sums of all webhooks, `summed_whole` over those of the whole store.
    """

    rows: int
    distinct: int
    counted: int
    summed: int
    summed_whole: int

    @property
    def adds_up(self) -> bool:
        """Tell whether no record is there twice and no sum is off."""
        return self.rows == self.distinct and self.counted == self.summed == self.summed_whole


def audit(queries: Queries, store_id: str, *, days: int = 7, now_us: int = 0) -> Audit:
    """Return the counts of the last `days` days, to the hour; raise `InputError` for days < 1.

    `days` must be less than rows are kept. While rows arrive, those of the last insert may be in only one of the tables.
    """
    return Audit(**queries.run("audit", _span(store_id, days, now_us))[0])


def summed(row: Mapping[str, Any]) -> Statistics:
    """Return the statistics of one row of sums."""
    return Statistics(
        attempts=row["attempts"], retrying=row["retrying"], deliveries=row["deliveries"], first_delivered=row["first_delivered"],
        delivered=row["delivered"], dead=row["dead"], made_again=row["made_again"], again_delivered=row["again_delivered"],
        again_dead=row["again_dead"], skipped=row["skipped"], **rates(row),
        by_event_type=dict(row["by_event_type"]),
        # JSON has text keys only; ClickHouse and the gateway must give the same.
        by_status={int(status): count for status, count in row["by_status"].items()},
        by_error_kind=dict(row["by_error_kind"]), by_skip_kind=dict(row["by_skip_kind"]),
        response_time_s=percentiles(row["response_time_s"]), queue_wait_s=percentiles(row["queue_wait_s"]),
    )  # fmt: skip


class Rates(TypedDict):
    """The two rates of `Statistics`."""

    success_rate: float | None
    first_try_rate: float | None


def rates(row: Mapping[str, Any]) -> Rates:
    """Return the rates of a row of sums."""
    return {
        "success_rate": rate(row["delivered"], row["delivered"] + row["dead"]),
        "first_try_rate": rate(row["first_delivered"], row["deliveries"]),
    }


def rate(part: int, whole: int) -> float | None:
    """Return a share of a whole, or None of nothing."""
    return part / whole if whole else None


def _span(store_id: str, days: int, now_us: int) -> dict[str, str | int]:
    if not 1 <= days <= 400:  # noqa: PLR2004  # as long as the sums are kept
        raise InputError("The days must be from 1 to 400", field="days", remedy="Give a number within: sums are kept no longer.")
    until_us = now_us or time.time_ns() // 1_000
    return {"store_id": store_id, "since_us": until_us - days * _DAY_US, "until_us": until_us}


def percentiles(values: list[float | None]) -> tuple[float, float, float] | None:
    """Return (p50, p95, p99) or None when there was nothing to measure, which ClickHouse tells by NaN and JSON by null."""
    p50, p95, p99 = (value if value is not None and value == value else None for value in values)  # noqa: PLR0124  # NaN
    return None if p50 is None or p95 is None or p99 is None else (p50, p95, p99)


def statuses(text: str) -> tuple[int, int]:
    """Return the lowest and the highest status that a filter's text stands for; raise `InputError`."""
    if not text:
        return _ALL_STATUSES
    if text == "none":
        return 0, 0
    if re.fullmatch(r"[1-5]xx", text):
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    if re.fullmatch(r"[1-9][0-9]{2}", text):
        return int(text), int(text)
    raise InputError(f"{text[:32]!r} is no HTTP status", field="http_status", remedy="Give one such as 404, a class such as 5xx, or none.")


def _check_words(wanted: LogFilter) -> None:
    for name, known in (("outcome", Outcome), ("error_kind", ErrorKind), ("trigger", Trigger)):
        value = getattr(wanted, name)
        if value and value not in {str(one) for one in known}:
            raise InputError(
                f"{value[:32]!r} is not known", field=name, remedy=f"Give one of {', '.join(str(one) for one in known if one)}."
            )
    for field in fields(wanted):
        if field.name.endswith("_id") and (value := getattr(wanted, field.name)) and not _ID.fullmatch(value):
            raise InputError(f"{value[:64]!r} cannot be an id", field=field.name, remedy="Give one as the log shows it.")
    if not wanted.store_id:
        raise InputError("The store is missing", field="store_id", remedy="Name it.")


def _encode_cursor(row: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{row['attempted_at_us']}:{row['attempt_id']}".encode()).decode().rstrip("=")


def _decode_cursor(text: str) -> tuple[int, str]:
    if not text:
        return _LATEST_US, ""
    try:
        at, _, attempt_id = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode().partition(":")
        at_us = int(at)
    except ValueError as error:
        raise InputError(
            "The cursor is not one that a page gave", field="cursor", remedy="Begin without one, and give the next as each page names it."
        ) from error
    if not 0 <= at_us <= _LATEST_US or not _ID.fullmatch(attempt_id):
        raise InputError(
            "The cursor is not one that a page gave", field="cursor", remedy="Begin without one, and give the next as each page names it."
        )
    return at_us, attempt_id
