"""Replays: what would be made again, having it made, its progress, ending it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from hookline.console.api.replays_models import MOST, MOST_RATE, Replay, ReplayDetail, ReplayPreview
from hookline.console.http.models import Page as Listed
from hookline.console.panel import log_filters, wording
from hookline.console.panel.faults import fault_of
from hookline.console.panel.forms import Form
from hookline.console.panel.page import Page
from hookline.console.panel.pages.audit import name_of
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import HooklineError, NotFound

_LIMIT: Final = "50"
_RATE: Final = "50"
_MAX: Final = "10000"
_FILTERS: Final = tuple(dict.fromkeys((*log_filters.LOG, *log_filters.LETTERS)))
_NEW: Final = "replay_new.html"
_COUNT: Final = "replay_count.html"
_PIECE: Final = "piece"
_TICKED: Final = "ticked"
"""Sent by the list with boxes, and by nothing else; holds the list's own filters."""
_UNFINISHED: Final = ("queued", "running", "cancelling")
_QUICK_MS: Final = 1_000
_SLOW_MS: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a form wants made again; `ids` are dead letters that were ticked, `again` takes those that were replayed before too."""

    source: str
    filters: dict[str, str]
    ids: tuple[str, ...]
    again: bool
    rate: str
    max: str

    def fields(self) -> list[tuple[str, str]]:
        """Return the fields that say the same again, in an address or a form, but for pace and maximum."""
        ticked = [("id", id_) for id_ in self.ids]
        return [("source", self.source), *self.filters.items(), *ticked, *([("again", "true")] if self.again else [])]

    def address(self, visit: Visit) -> str:
        """Return the page that asks before it is made so."""
        return f"{visit.url('replays', 'new')}?{urlencode([*self.fields(), ('rate', self.rate), ('max', self.max)])}"


def wanted_of(form: Form) -> Wanted:
    """Return what a form wants."""
    return Wanted(
        source=form.text("source") or "dead_letters",
        filters=log_filters.given(form, _FILTERS),
        ids=tuple(dict.fromkeys(form.texts("id"))),
        again=form.text("again") == "true",
        rate=form.text("rate") or _RATE,
        max=form.text("max") or _MAX,
    )


def body_of(form: Form, *, dry_run: bool) -> dict[str, Any]:
    """Return the request that the API is asked with; raise `InputError` for a pace or a maximum that is no number."""
    wanted = wanted_of(form)
    chosen: dict[str, Any] = {**wanted.filters}
    chosen |= {"ids": list(wanted.ids)} if wanted.ids else {}
    chosen |= {"again": True} if wanted.again else {}
    rate = form.number("rate", "The pace") if form.text("rate") else float(_RATE)
    most = form.number("max", "The maximum") if form.text("max") else float(_MAX)
    whole: int | float = int(most) if most.is_integer() else most
    return {"source": wanted.source, "filter": chosen, "rate": rate, "max": whole, "dry_run": dry_run}


# ---- making one ----


async def ask_first(visit: Visit) -> web.Response:
    """Show what would be made again, and how fast; nothing is yet."""
    wanted = wanted_of(visit.form)
    if visit.form.has(_TICKED) and not wanted.ids:
        return _back(visit)
    try:
        found = await _counted(visit)
    except NotFound:
        raise
    except HooklineError as error:
        return visit.show_wrong(_NEW, error, **_asked(visit, wanted, None))
    return visit.show(_NEW, **_asked(visit, wanted, found))


def _back(visit: Visit) -> web.Response:
    """Return to the list as it was: without a letter, or a filter that somebody chose, all of the store's would be wanted."""
    asked = Form(parse_qsl(visit.form.text(_TICKED))).given(*log_filters.LETTERS, "replayed")
    return visit.to(visit.url("dead-letters", **asked), "none-ticked")


async def create(visit: Visit) -> web.Response:
    """Have it made again."""
    try:
        made = await visit.make(ReplayPreview, "replays.create", body=body_of(visit.form, dry_run=False))
    except HooklineError as error:
        return visit.show_wrong(_NEW, error, **_asked(visit, wanted_of(visit.form), None))
    return visit.to(visit.url("replays", made.id or ""), "replay-made")


async def recount(visit: Visit) -> web.Response:
    """Count again with another pace or maximum: the whole page without a script, the numbers alone for ours."""
    if _PIECE not in visit.request.query:
        return visit.to(wanted_of(visit.form).address(visit))
    try:
        found = await _counted(visit)
    except HooklineError as error:
        return visit.show(_COUNT, found=None, names={}, unit=None, wrong=fault_of(error))
    return visit.show(_COUNT, found=found, names=log_filters.webhook_names(visit), unit=wording.REPLAYED[found.source], wrong=None)


async def _counted(visit: Visit) -> ReplayPreview:
    return await visit.change(ReplayPreview, "replays.create", body=body_of(visit.form, dry_run=True))


def _asked(visit: Visit, wanted: Wanted, found: ReplayPreview | None) -> dict[str, Any]:
    names = log_filters.webhook_names(visit)
    said: dict[str, Any] = {**wanted.filters, **({"ids": list(wanted.ids)} if wanted.ids else {})}
    return {
        "wanted": wanted,
        "found": found,
        "unit": wording.REPLAYED[found.source] if found else None,
        "wrong": None,
        "names": names,
        "said": log_filters.in_words(said | ({"again": True} if wanted.again else {}), names),
        "most_rate": MOST_RATE,
        "most": MOST,
    }


# ---- those that there are ----


async def replays(visit: Visit) -> web.Response:
    """List the jobs, the newest first."""
    asked = visit.form.given("state")
    found = await visit.ask(Listed[Replay], "replays.list", query={**asked, "limit": _LIMIT, **visit.form.given("cursor")})
    names = log_filters.webhook_names(visit)
    return visit.show(
        "replays.html",
        rows=[(one, log_filters.in_words(one.filter, names), name_of(visit, one.created_by)) for one in found.data],
        state=asked.get("state", ""),
        next=visit.url("replays", **asked, cursor=found.next_cursor) if found.next_cursor else "",
        first=visit.url("replays", **asked) if visit.form.has("cursor") else "",
    )


async def replay(visit: Visit) -> web.Response:
    """Show one job."""
    found = await visit.ask(ReplayDetail, "replays.get", visit.ids["id"])
    names = log_filters.webhook_names(visit)
    said = log_filters.in_words(found.filter, names)
    return visit.show("replay.html", said=said, who=name_of(visit, found.created_by), **progress_of(visit, found))


async def progress(visit: Visit) -> web.Response:
    """Answer how far a job has come, for the page that shows it."""
    found = await visit.ask(ReplayDetail, "replays.get", visit.ids["id"])
    return visit.show("replay_progress.html", **progress_of(visit, found))


async def cancel(visit: Visit) -> web.Response:
    """Have a job end."""
    found = await visit.change(Replay, "replays.cancel", visit.ids["id"])
    return visit.to(visit.url("replays", found.id or ""), "replay-cancelled")


def progress_of(visit: Visit, found: ReplayDetail) -> dict[str, Any]:
    """Return what the page tells of a job; its count is kept now and then, its outcomes are read from the log just now."""
    passed = found.done + found.skipped + found.failed
    outcomes = found.outcomes or {}
    running = found.state in _UNFINISHED
    on_their_way = max(0, found.deliveries - sum(outcomes.values()))
    waiting = running or found.outcomes is None or on_their_way > 0 or "retrying" in outcomes
    return {
        "found": found,
        "passed": passed,
        "running": running,
        "on_their_way": on_their_way,
        "ahead": sum(outcomes.values()) > found.deliveries,
        "unit": wording.REPLAYED[found.source],
        "left_s": max(0, found.total - passed) / found.rate,
        "refresh": visit.url("replays", visit.ids["id"], "progress") if waiting else "",
        "every": _QUICK_MS if running else _SLOW_MS,
    }


PAGES: Final = (
    Page(name="replays", path="/s/{store}/replays", section="replays", show=replays),
    Page(
        name="replay_new",
        path="/s/{store}/replays/new",
        section="replays",
        scope="dlq:replay",
        show=ask_first,
        act=create,
        grave=True,
        carried=("rate", "max"),
    ),
    Page(
        name="replay_recount",
        path="/s/{store}/replays/recount",
        section="replays",
        scope="dlq:replay",
        act=recount,
        back="/s/{store}/replays",
    ),
    Page(name="replay", path="/s/{store}/replays/{id}", section="replays", show=replay),
    Page(name="replay_progress", path="/s/{store}/replays/{id}/progress", section="replays", show=progress),
    Page(name="replay_cancel", path="/s/{store}/replays/{id}/cancel", section="replays", act=cancel, back="/s/{store}/replays/{id}"),
)
