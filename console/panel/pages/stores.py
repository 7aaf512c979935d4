"""The operator's start: every store and what it has."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hookline.console.api.stores import StoreSummary
from hookline.console.http.models import Page as Listed
from hookline.console.panel.faults import fault_of
from hookline.console.panel.page import Access, Page
from hookline.console.panel.rendering import address
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import InputError
from hookline.schemas.events import check_id

_LIMIT: Final = "100"


async def stores(visit: Visit) -> web.Response:
    """List the stores, or go to the one that was typed."""
    wanted = visit.form.text("store")
    problem: InputError | None = None
    if wanted:
        try:
            return visit.to(address("s", check_id(wanted, "store")))
        except InputError as error:
            problem = error
    query = {"limit": _LIMIT, **visit.form.given("cursor")}
    found = await visit.ask(Listed[StoreSummary], "stores.list", query=query)
    following = address("stores", cursor=found.next_cursor) if found.next_cursor else ""
    first = "/stores" if visit.form.has("cursor") else ""
    shown = fault_of(problem) if problem is not None else None
    return visit.show("stores.html", found=found.data, wanted=wanted, first=first, next=following, problem=shown)


PAGES: Final = (Page(name="stores", path="/stores", access=Access.OPERATOR, section="stores", show=stores),)
