"""One event: its payload, and for each webhook in plain words why it did or did not get it."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from hookline.console.api.event_fates import EventDetail
from hookline.console.api.explain import Explanation
from hookline.console.panel import log_filters
from hookline.console.panel.faults import fault_of
from hookline.console.panel.page import Page
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import HooklineError, NotFound
from hookline.schemas.events import check_id

_TEMPLATE: Final = "events.html"
_PUBLISHED: Final = "published"
_NOT_FOUND: Final = (
    "It may be older than events are kept. If the id is of your own making and no webhook was called for it, say when it was published."
)
_WEBHOOK: Final = "webhook"


async def events(visit: Visit) -> web.Response:
    """Ask for an event's id, and go to the event."""
    wanted = visit.form.text("event")
    if not wanted:
        return visit.show(_TEMPLATE, **_search(visit, ""))
    try:
        return visit.to(visit.url("events", check_id(wanted, "event"), **_published(visit)))
    except HooklineError as error:
        return visit.show_wrong(_TEMPLATE, error, **_search(visit, wanted))


async def event(visit: Visit) -> web.Response:
    """Show the event; one that is not found is asked for again, with the time that helps to find it."""
    published = _published(visit)
    try:
        found = await visit.ask(EventDetail, "events.get", visit.ids["id"], query=published)
    except NotFound as error:
        unfound = NotFound(error.message, field="event", remedy=_NOT_FOUND)
        return visit.show_wrong(_TEMPLATE, unfound, **_search(visit, visit.ids["id"]))
    names = log_filters.webhook_names(visit)
    explained, problem = await _explained(visit, published)
    told = {fate.webhook_id for fate in found.fates}
    return visit.show(
        "event.html",
        found=found,
        names=names,
        others=[(id_, name) for id_, name in names.items() if id_ not in told],
        chosen=visit.form.text(_WEBHOOK),
        explained=explained,
        published=published.get(_PUBLISHED, ""),
        problem=problem,
    )


async def _explained(visit: Visit, published: dict[str, str]) -> tuple[Explanation | None, Any]:
    """Return why a webhook that is asked about did not get the event, or what is wrong with the question."""
    webhook = visit.form.text(_WEBHOOK)
    if not webhook:
        return None, None
    try:
        query = {"event": visit.ids["id"], **published}
        return await visit.ask(Explanation, "webhooks.explain", webhook, query=query), None
    except HooklineError as error:
        return None, fault_of(error)


def _published(visit: Visit) -> dict[str, str]:
    text = visit.form.text(_PUBLISHED)
    return {_PUBLISHED: log_filters.instant(text)} if text else {}


def _search(visit: Visit, wanted: str) -> dict[str, Any]:
    return {"wanted": wanted, "published": log_filters.time_field(_published(visit).get(_PUBLISHED, ""))}


PAGES: Final = (
    Page(name="events", path="/s/{store}/events", section="log", show=events),
    Page(name="event", path="/s/{store}/events/{id}", section="log", show=event),
)
