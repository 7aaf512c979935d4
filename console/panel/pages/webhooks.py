"""The webhooks of a store: each with how it does, narrowed by state, event type, health and text, the filters in the address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from hookline.console.http.pools import Work
from hookline.console.panel import wording
from hookline.console.panel.faults import Fault, fault_of
from hookline.console.panel.health import Health, health_of
from hookline.console.panel.page import Page
from hookline.console.panel.rendering import address
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import WarehouseError
from hookline.schemas.catalogue import EVENT_TYPES

PER_PAGE: Final = 50
TROUBLED_FIRST: Final = ("failing", "disabled", "shaky", "slow", "paused", "ok", "quiet")
SORTS: Final = (("", "The oldest first"), ("newest", "The newest first"), ("trouble", "Trouble first"), ("name", "By name"))
_FILTERS: Final = ("text", "state", "event_type", "health")
_MOST_PAGES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of the list; `counts` are the words of health over all webhooks of the store, `found` is how many fit."""

    shown: Sequence[Health]
    counts: Sequence[tuple[str, int]]
    found: int
    page: int
    pages: int


async def webhooks(visit: Visit) -> web.Response:
    """Show the list; a log that cannot be asked is told on the page, which then shows the webhooks without their health."""
    problem: Fault | None = None
    parts = visit.services.parts
    try:
        found = await parts.pools[Work.QUERIES].run(lambda: health_of(parts, visit.store, visit.now_us))
    except WarehouseError as error:
        problem = fault_of(error)
        found = [Health(webhook=webhook) for webhook in parts.registry.of_store(visit.store)]
    asked = visit.form.given(*_FILTERS, "sort")
    if problem is not None:
        asked.pop("health", None)
    listing = listed(found, asked, page_of(visit))

    def turned(page: int) -> str:
        return address("s", visit.store, "webhooks", **asked, page=page if page > 1 else "") if 1 <= page <= listing.pages else ""

    return visit.show(
        "webhooks.html",
        listing=listing,
        asked=asked,
        total=len(found),
        known=problem is None,
        problem=problem,
        turned=turned,
        types=[(name, name) for name in EVENT_TYPES],
        sorts=SORTS,
        states=states(),
    )


def page_of(visit: Visit) -> int:
    """Return the number of the page that was asked for, from 1; anything else is the first."""
    text = visit.form.text("page")
    return min(int(text), _MOST_PAGES) if text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_PAGES)) and int(text) else 1


def listed(found: Sequence[Health], asked: dict[str, str], page: int) -> Listing:
    """Return a page of webhooks; a page behind the last is the last."""
    kept = ordered([one for one in found if fits(one, asked)], asked.get("sort", ""))
    pages = max(1, -(-len(kept) // PER_PAGE))
    page = min(page, pages)
    counts = Counter(one.word for one in found)
    return Listing(
        shown=kept[(page - 1) * PER_PAGE : page * PER_PAGE],
        counts=[(word, counts[word]) for word in TROUBLED_FIRST if counts[word]],
        found=len(kept),
        page=page,
        pages=pages,
    )


def fits(one: Health, asked: dict[str, str]) -> bool:
    """Tell whether the filters let a webhook through; text is looked for in name, URL and id, in any case of letters."""
    webhook = one.webhook
    text = asked.get("text", "").casefold()
    return (
        asked.get("state", str(webhook.state)) == str(webhook.state)
        and asked.get("health", one.word) == one.word
        and (not asked.get("event_type") or asked["event_type"] in webhook.event_types)
        and (not text or any(text in field.casefold() for field in (webhook.name, webhook.url, webhook.id)))
    )


def ordered(found: list[Health], sort: str) -> list[Health]:
    """Return webhooks as one wants to read them; an unknown order is that of their making."""
    if sort == "newest":
        return found[::-1]
    if sort == "trouble":
        return sorted(found, key=lambda one: (TROUBLED_FIRST.index(one.word), -one.waiting.count - one.held))
    if sort == "name":
        return sorted(found, key=lambda one: (one.webhook.name or one.webhook.url).casefold())
    return found


def states() -> list[tuple[str, str]]:
    """Return the states that a webhook of the list can have."""
    return [(name, said) for name, said in wording.STATES.items() if name != "deleted"]


PAGES: Final = (Page(name="webhooks", path="/s/{store}/webhooks", section="webhooks", show=webhooks),)
