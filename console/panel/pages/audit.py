"""The audit trail: who did what to what, when and from where; of a store for its admins, of all for operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from hookline.console.api.audit import AuditEntry
from hookline.console.http.models import Page as Listed
from hookline.console.http.pools import Work
from hookline.console.panel import wording
from hookline.console.panel.page import Access, Page
from hookline.console.panel.rendering import address
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import InputError

_TEMPLATE: Final = "audit.html"
_NOTHING: Final = Listed[AuditEntry](data=[], next_cursor=None)
_LIMIT: Final = "100"
_FILTERS: Final = ("action", "actor", "target")
_MOST_ACTORS: Final = 200
_PLACES: Final = {"webhook": "webhooks", "replay": "replays", "delivery": "log"}
"""Where the things of an action stand below the store, each under its id."""
_LISTS: Final = {"api-key": "keys", "user": "users"}
"""Where they stand in a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An entry in words. `href` leads to what was changed, empty where there is nothing to see."""

    entry: AuditEntry
    who: str
    what: str
    target: str
    href: str


async def audit(visit: Visit) -> web.Response:
    """Show a page of it, the newest first; what is wrong with a filter stands beside it."""
    given = visit.form.given(*_FILTERS)
    actors = await visit.services.parts.pools[Work.QUERIES].run(lambda: _actors(visit))
    try:
        query = {"limit": _LIMIT, **given, **visit.form.given("cursor")}
        found = await visit.ask(Listed[AuditEntry], "audit.list", query=query)
    except InputError as error:
        return visit.show_wrong(_TEMPLATE, error, **_context(visit, given, actors, _NOTHING))
    return visit.show(_TEMPLATE, **_context(visit, given, actors, found))


def _context(visit: Visit, given: dict[str, str], actors: Sequence[tuple[str, str]], found: Listed[AuditEntry]) -> dict[str, Any]:
    home = visit.url("audit") if visit.store else "/audit"
    place = home.strip("/").split("/")
    return {
        "lines": [line_of(visit, entry) for entry in found.data],
        "given": {name: given.get(name, "") for name in _FILTERS},
        "narrowed": bool(given),
        "home": home,
        "actions": sorted(wording.ACTIONS.items(), key=lambda pair: pair[1]),
        "actors": actors,
        "first": address(*place, **given) if visit.form.has("cursor") else "",
        "next": address(*place, **given, cursor=found.next_cursor) if found.next_cursor else "",
    }


def line_of(visit: Visit, entry: AuditEntry) -> Line:
    """Return an entry as whoever looks may see it."""
    return Line(
        entry=entry,
        who=name_of(visit, entry.actor),
        what=wording.ACTIONS.get(entry.action, entry.action),
        target=_target(visit, entry),
        href=_href(entry),
    )


def name_of(visit: Visit, actor: str) -> str:
    """Return who somebody is: a person's name, a key's; operators stay unnamed to the people of a store."""
    kind, _, id_ = actor.partition(":")
    if kind == "user":
        return _person(visit, id_)
    if kind == "key":
        key = visit.services.parts.keys.get(id_)
        return f"Key {key.name or key.id}" if key is not None else f"Key {id_}"
    return wording.ACTORS.get(actor, actor)


def _person(visit: Visit, user_id: str) -> str:
    user = visit.services.users.user(user_id)
    if user is None:
        return user_id
    if not user.store_id and not visit.can("operator"):
        return wording.ACTORS["user"]
    return user.shown_name


def _target(visit: Visit, entry: AuditEntry) -> str:
    """Return what was changed: its name where it has one, else its id."""
    parts, noun = visit.services.parts, entry.action.partition(".")[0]
    if noun == "user":
        return _person(visit, entry.target)
    if noun == "webhook":
        webhook = parts.registry.get(entry.target)
        return (webhook.name or webhook.url) if webhook is not None else entry.target
    if noun == "api-key":
        key = parts.keys.get(entry.target)
        return (key.name or key.id) if key is not None else entry.target
    return entry.target


def _href(entry: AuditEntry) -> str:
    noun, has_page = entry.action.partition(".")[0], entry.target.partition("_")[2] != ""
    if noun in _LISTS:
        return address("s", entry.store_id, _LISTS[noun]) if entry.store_id else "/users"
    return address("s", entry.store_id, _PLACES[noun], entry.target) if noun in _PLACES and has_page else ""


def _actors(visit: Visit) -> Sequence[tuple[str, str]]:
    """Return who is on the audit, by name, to choose from; in a thread."""
    actors = {entry.actor for entry in visit.services.parts.audit.of_store(visit.store)}
    named = sorted(((actor, name_of(visit, actor)) for actor in actors), key=lambda pair: pair[1].lower())
    return named[:_MOST_ACTORS]


PAGES: Final = (
    Page(name="audit", path="/audit", access=Access.OPERATOR, section="audit", show=audit),
    Page(name="store_audit", path="/s/{store}/audit", section="audit", scope="admin", show=audit),
)
