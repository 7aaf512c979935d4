"""The delivery log: what was called, with what outcome; filters stand in the address, a live tail, export, replay of what is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from hookline.console.api.deliveries_models import DeliveryLine
from hookline.console.http.api import streamed
from hookline.console.http.models import Page as Listed
from hookline.console.panel import log_filters
from hookline.console.panel.page import Page
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import HooklineError, NotFound

LIMIT: Final = "50"
FORMATS: Final = (
    ("csv", "CSV", "for spreadsheets"),
    ("ndjson", "NDJSON", "a line of JSON each"),
    ("parquet", "Parquet", "for analysis"),
)
_TEMPLATE: Final = "log.html"
_EACH: Final = "each"
_RARE: Final = ("from", "to", "event", "trigger", _EACH)
_NOTHING: Final = Listed[DeliveryLine](data=[], next_cursor=None)


async def log(visit: Visit) -> web.Response:
    """Show a page of the log; what is wrong with a filter stands beside it."""
    asked = _asked(visit)
    try:
        found = await visit.ask(Listed[DeliveryLine], "deliveries.list", query={**asked, "limit": LIMIT, **visit.form.given("cursor")})
    except NotFound:
        raise
    except HooklineError as error:
        return visit.show_wrong(_TEMPLATE, error, **_context(visit, asked, _NOTHING))
    return visit.show(_TEMPLATE, **_context(visit, asked, found))


async def fresh(visit: Visit) -> web.Response:
    """Answer the newest rows alone, for the live tail."""
    found = await visit.ask(Listed[DeliveryLine], "deliveries.list", query={**_asked(visit), "limit": LIMIT})
    return visit.show("log_rows.html", rows=found.data, names=log_filters.webhook_names(visit), attempts=_by_attempt(visit))


async def export(visit: Visit) -> web.StreamResponse:
    """Answer what fits the filters as a file, piece by piece."""
    asked = log_filters.given(visit.form, log_filters.LOG)
    answer = await visit.answer("deliveries.export", query={**asked, "format": visit.form.text("format") or FORMATS[0][0]})
    answer = replace(answer, headers={**answer.headers, **visit.headers})
    return await streamed(visit.request, visit.services.routes["deliveries.export"], answer)


def _asked(visit: Visit) -> dict[str, str]:
    return log_filters.given(visit.form, (*log_filters.LOG, _EACH))


def _by_attempt(visit: Visit) -> bool:
    """Tell whether every attempt has a row of its own."""
    return visit.form.text(_EACH) == "attempt"


def _context(visit: Visit, asked: dict[str, str], found: Listed[DeliveryLine]) -> dict[str, Any]:
    filters = {name: text for name, text in asked.items() if name != _EACH}
    further = visit.form.has("cursor")
    return {
        "rows": found.data,
        "attempts": _by_attempt(visit),
        "names": log_filters.webhook_names(visit),
        "types": log_filters.event_types(),
        "asked": {name: asked.get(name, "") for name in (*log_filters.LOG, _EACH)},
        "narrowed": bool(asked),
        "times": {name: log_filters.time_field(asked.get(name, "")) for name in log_filters.TIMES},
        "rare": any(name in asked for name in _RARE),
        "next": visit.url("log", **asked, cursor=found.next_cursor) if found.next_cursor else "",
        "first": visit.url("log", **asked) if further else "",
        "tail": "" if further or "to" in asked else visit.url("log", "fresh", **asked),
        "exports": [(name, note, visit.url("log", "export", **filters, format=key)) for key, name, note in FORMATS],
        "again": visit.url("replays", "new", source="log", **filters) if filters else "",
    }


PAGES: Final = (
    Page(name="log", path="/s/{store}/log", section="log", show=log),
    Page(name="log_fresh", path="/s/{store}/log/fresh", section="log", show=fresh),
    Page(name="log_export", path="/s/{store}/log/export", section="log", show=export),
)
