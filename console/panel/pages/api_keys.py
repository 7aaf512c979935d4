"""A store's API keys: which there are and when they were last used, a new one shown once, an old one revoked."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from hookline.console.api.api_keys import ApiKeyCreated, ApiKeyView
from hookline.console.http.models import Page as Listed
from hookline.console.panel import wording
from hookline.console.panel.first_run import origin_of
from hookline.console.panel.page import Page
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import HooklineError, InputError
from hookline.producers.api_keys import MOST_LIVE
from hookline.schemas.catalogue import EVENT_TYPES

_LIST: Final = "api_keys.html"
_LIMIT: Final = "100"
_TRIED: Final = "newsletter.signed_up"
EXPIRIES: Final = (("30", "30 days"), ("90", "90 days"), ("365", "A year"), ("730", "Two years"), ("never", "Never"))
_USUAL_EXPIRY: Final = "365"
_FIELDS: Final = ("name", "scopes", "expires")
STATES: Final = (("live", "Live"), ("expired", "Expired"), ("revoked", "Revoked"))


async def keys(visit: Visit) -> web.Response:
    """List them, and ask what the next one is to be for."""
    return await _listed(visit, None)


async def create(visit: Visit) -> web.Response:
    """Make a key and show it, this once."""
    form = visit.form
    try:
        body = {"name": form.text("name"), "scopes": form.texts("scopes"), "expires_in_days": _days(form.text("expires"))}
        made = await visit.make(ApiKeyCreated, "api-keys.create", body=body)
    except InputError as error:
        return await _listed(visit, error)
    event = orjson.dumps({"type": _TRIED, "data": dict(EVENT_TYPES[_TRIED].example)}).decode()
    return visit.show("api_key.html", made=made, base=origin_of(visit.services.config, visit.request), event=event)


async def revoke(visit: Visit) -> web.Response:
    """Revoke a key."""
    await visit.change(ApiKeyView, "api-keys.revoke", visit.ids["id"])
    return visit.to(visit.url("keys"), "key-revoked")


def _days(text: str) -> int | None:
    """Return the days until a key expires, None for never; raise `InputError`."""
    if text == "never":
        return None
    if text not in dict(EXPIRIES):
        raise InputError("Choose when the key expires", field="expires")
    return int(text)


async def _listed(visit: Visit, error: HooklineError | None) -> web.Response:
    form, asking = visit.form, error is None
    filters = form.given("state") if asking else {}
    query = {"limit": _LIMIT, **filters, **(form.given("cursor") if asking else {})}
    found = await visit.ask(Listed[ApiKeyView], "api-keys.list", query=query)
    context: dict[str, Any] = {
        "keys": found.data,
        "state": filters.get("state", ""),
        "states": STATES,
        "first": visit.url("keys", **filters) if "cursor" in query else "",
        "next": visit.url("keys", **filters, cursor=found.next_cursor) if found.next_cursor else "",
        "name": form.text("name"),
        "ticked": form.texts("scopes"),
        "scopes": wording.SCOPES,
        "expires": form.text("expires") or _USUAL_EXPIRY,
        "expiries": EXPIRIES,
        "most": MOST_LIVE,
    }
    return visit.show(_LIST, **context) if error is None else visit.show_wrong(_LIST, error, **context)


PAGES: Final = (
    Page(name="keys", path="/s/{store}/keys", section="keys", scope="admin", show=keys, act=create, grave=True, carried=_FIELDS),
    Page(
        name="key_revoke", path="/s/{store}/keys/{id}/revoke", section="keys", scope="admin", act=revoke, grave=True, back="/s/{store}/keys"
    ),
)
