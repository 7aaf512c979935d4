"""Dead letters: how many by category and reason, the letters, one with its body; from there to a replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from hookline.console.api.dead_letters import DeadLetterCount, DeadLetterDetail, DeadLetterView
from hookline.console.http.models import Page as Listed
from hookline.console.panel import log_filters, wording
from hookline.console.panel.page import Page
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import HooklineError, NotFound

_LIMIT: Final = "50"
_TEMPLATE: Final = "dead_letters.html"
_REPLAYED: Final = "replayed"
_BY_TILE: Final = ("category", "reason")
_RARE: Final = ("event_type", "event", "from", "to")
SHOWN: Final = {"": "false", "true": "true", "all": ""}
"""What the page's `replayed` is to the API: without it those are shown that wait for a decision."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A number that is a link: it narrows the list to what it counts, or, where the list is narrowed so, widens it again."""

    label: str
    count: int
    href: str
    current: bool


async def dead_letters(visit: Visit) -> web.Response:
    """Show counts and a page of letters."""
    asked = visit.form.given(*log_filters.LETTERS, _REPLAYED)
    query = query_of(visit)
    wide = {name: text for name, text in query.items() if name not in _BY_TILE}
    try:
        counts = await visit.ask(DeadLetterCount, "dead-letters.count", query=wide)
        fitting = await visit.ask(DeadLetterCount, "dead-letters.count", query=query) if wide != query else counts
        found = await visit.ask(Listed[DeadLetterView], "dead-letters.list", query={**query, "limit": _LIMIT, **visit.form.given("cursor")})
    except NotFound:
        raise
    except HooklineError as error:
        return visit.show_wrong(_TEMPLATE, error, **_context(visit, asked), tiles=[], rows=[], total=0, next="", first="")
    return visit.show(
        _TEMPLATE,
        **_context(visit, asked),
        tiles=tiles(visit, asked, counts),
        rows=found.data,
        total=fitting.total,
        next=visit.url("dead-letters", **asked, cursor=found.next_cursor) if found.next_cursor else "",
        first=visit.url("dead-letters", **asked) if visit.form.has("cursor") else "",
    )


def query_of(visit: Visit) -> dict[str, str]:
    """Return the API's filters of a form; of `replayed` anything else than its choices is passed on, and refused."""
    text = visit.form.text(_REPLAYED)
    shown = SHOWN.get(text, text)
    return log_filters.given(visit.form, log_filters.LETTERS) | ({_REPLAYED: shown} if shown else {})


def tiles(visit: Visit, asked: dict[str, str], counts: DeadLetterCount) -> list[Tile]:
    """Return a tile for each category and each reason that there are letters of, or that the list is narrowed to."""
    found = []
    for name, said, numbers in (
        ("category", wording.CATEGORIES, counts.by_category),
        ("reason", wording.REASONS, counts.by_reason),
    ):
        for key, label in said.items():
            current = asked.get(name) == key
            if current or numbers.get(key):
                narrowed = {**asked, name: "" if current else key}
                found.append(Tile(label, numbers.get(key, 0), visit.url("dead-letters", **narrowed), current))
    return found


def _context(visit: Visit, asked: dict[str, str]) -> dict[str, Any]:
    filters = {name: text for name, text in query_of(visit).items() if name != _REPLAYED}
    again = "true" if asked.get(_REPLAYED) else ""
    return {
        "asked": {name: asked.get(name, "") for name in (*log_filters.LETTERS, _REPLAYED)},
        "narrowed": bool(asked),
        "rare": any(name in asked for name in _RARE),
        "times": {name: log_filters.time_field(asked.get(name, "")) for name in log_filters.TIMES},
        "names": log_filters.webhook_names(visit),
        "types": log_filters.event_types(),
        "again": again,
        "replay_all": visit.url("replays", "new", source="dead_letters", **filters, again=again),
    }


async def dead_letter(visit: Visit) -> web.Response:
    """Show one letter."""
    found = await visit.ask(DeadLetterDetail, "dead-letters.get", visit.ids["id"])
    names = log_filters.webhook_names(visit)
    again = "true" if found.replayed_at else ""
    replayable = found.reason != "poison" and found.webhook_id in names
    replay = visit.url("replays", "new", source="dead_letters", id=found.id, again=again) if replayable else ""
    return visit.show("dead_letter.html", found=found, names=names, replay=replay)


PAGES: Final = (
    Page(name="dead_letters", path="/s/{store}/dead-letters", section="dead_letters", show=dead_letters),
    Page(name="dead_letter", path="/s/{store}/dead-letters/{id}", section="dead_letters", show=dead_letter),
)
