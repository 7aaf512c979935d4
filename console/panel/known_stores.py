"""Whether there is a store: an operator may type any id, and an empty page of nothing looks like one of a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aiohttp import web

from hookline.console.api.webhook_filters import in_log
from hookline.console.http.pools import Work
from hookline.console.letters_shelf import LetterQuery
from hookline.console.panel.page import Access
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import NotFound

_OF_ANY: Final = frozenset({"keys", "users", "audit"})
"""Sections of any store: where one begins, and the trail of one that has ended."""


async def missing(visit: Visit) -> bool:
    """Tell whether an operator is at a page of a store that has nothing; some pages are of any store."""
    at_home = visit.page.access is not Access.STORE or visit.presence is None or bool(visit.presence.user.store_id)
    if at_home or visit.page.first or visit.page.section in _OF_ANY or _here(visit):
        return False
    parts = visit.services.parts
    return not await parts.pools[Work.QUERIES].run(lambda: in_log(parts, visit.store))


def _here(visit: Visit) -> bool:
    parts, store = visit.services.parts, visit.store
    return bool(
        parts.registry.of_store(store)
        or parts.keys.of_store(store)
        or any(user.store_id == store for user in visit.services.users.users())
        or next(iter(parts.letters.shelf.find(LetterQuery(store_id=store))), None)
    )


def page_of(visit: Visit) -> web.Response:
    """Return the page that says so, with the operator's menu."""
    error = NotFound(f"There is no store called {visit.store}", remedy="Look whether its id is written like that; small letters matter.")
    return replace(visit, ids={}).show_wrong("store_missing.html", error, missing=visit.store)
