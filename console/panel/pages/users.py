"""Who may sign in: a store's people for its admins, everybody for operators; let in, given a new link, disabled, enabled.

An admin sees and changes the people of the own store alone, and makes none who belong to no store. Nobody changes themselves here,
so that nobody shuts themselves out: one's own password and sessions stand on the account page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from hookline.console.http.pools import Work
from hookline.console.panel.first_run import link, origin_of
from hookline.console.panel.page import Access, Handler, Page
from hookline.console.panel.visit import Visit
from hookline.console.users import Role, User, checked_role
from hookline.console.users_shown import UserState, shown, state_of
from hookline.console.users_writer import NewUser
from hookline.kernel.errors import Conflict, HooklineError, InputError, NotFound

MOST: Final = 200
_LIST: Final = "users.html"
_LINK: Final = "user_link.html"
_FIELDS: Final = ("login", "name", "role", "store")
_SIGNED_IN: Final = frozenset({"user.sign_in", "user.password"})
OF_A_STORE: Final = (Role.ADMIN, Role.VIEWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A line of the list. `seen_us` is the last sign-in that the audit still knows, 0 for none; `mine`: it is whoever looks."""

    user: User
    state: UserState
    sessions: int
    seen_us: int
    mine: bool


async def people(visit: Visit) -> web.Response:
    """List them, and ask whom to let in."""
    return await _listed(visit, None)


async def invite(visit: Visit) -> web.Response:
    """Let somebody in, and show the link with which they choose a password, this once."""
    try:
        user, token = await _once(visit, lambda: _invited(visit))
    except (Conflict, InputError) as error:
        return await _listed(visit, error)
    return _link_shown(visit, user, token)


async def reset(visit: Visit) -> web.Response:
    """Void somebody's password, end their sessions, and show the link with which they choose another, this once."""

    def act() -> tuple[User, str]:
        before = _other(visit)
        if before.disabled_at_us:
            raise Conflict(f"{before.shown_name} is disabled", remedy="Enable them first.")
        after, token = visit.services.writer.reset(before.id)
        _note(visit, "user.reset", before, after)
        return after, token

    user, token = await _once(visit, act)
    return _link_shown(visit, user, token)


async def _once(visit: Visit, act: Callable[[], tuple[User, str]]) -> tuple[User, str]:
    """Return the user and the link's token of an act, the same ones when the form is sent again; raise what the act raises."""

    async def done() -> bytes:
        user, token = await visit.services.parts.pools[Work.CHANGES].run(act)
        return orjson.dumps((user.id, token))

    id_, token = orjson.loads(await visit.once(done))
    user = visit.services.users.user(id_)
    if user is None:
        raise NotFound("There is no such user", remedy="Go back to the list of users.")
    return user, token


async def disable(visit: Visit) -> web.Response:
    """Let somebody in no more."""
    return await _changed(visit, "user.disable", visit.services.writer.disable, "user-disabled")


async def enable(visit: Visit) -> web.Response:
    """Let somebody in again."""
    return await _changed(visit, "user.enable", visit.services.writer.enable, "user-enabled")


async def _changed(visit: Visit, action: str, change: Callable[[str], User], done: str) -> web.Response:
    def act() -> None:
        before = _other(visit)
        _note(visit, action, before, change(before.id))

    await visit.services.parts.pools[Work.CHANGES].run(act)
    return visit.to(_home(visit), done)


def _invited(visit: Visit) -> tuple[User, str]:
    """Let in whom the form says; in a store's list nobody but its own people. Raises `InputError`, `Conflict`."""
    form, role = visit.form, checked_role(visit.form.text("role"))
    if visit.store and role not in OF_A_STORE:
        raise InputError("Nobody of a store makes an operator", field="role", remedy="Operators are invited from the list of all users.")
    store_id = visit.store or form.text("store")
    user, token = visit.services.writer.invite(NewUser(login=form.text("login"), name=form.text("name"), role=role, store_id=store_id))
    _note(visit, "user.invite", None, user)
    return user, token


def _other(visit: Visit) -> User:
    """Return the user of the path; raise `NotFound` for one who is not on this list, `Conflict` for whoever asks."""
    found = visit.services.users.user(visit.ids["id"])
    if found is None or not _listed_here(visit, found):
        raise NotFound("There is no such user", remedy="Go back to the list of users.")
    if visit.presence is not None and found.id == visit.presence.user.id:
        raise Conflict("You cannot do this to yourself", remedy="Your password and your sessions stand on your account page.")
    return found


def _listed_here(visit: Visit, user: User) -> bool:
    """Tell whether a user is on this list: on a store's its own people, operators never."""
    return visit.store in {"", user.store_id}


def _note(visit: Visit, action: str, before: User | None, after: User) -> None:
    looked = shown(before, visit.now_us) if before is not None else None
    visit.note(action, after.id, looked, shown(after, visit.now_us), store_id=after.store_id)


def _home(visit: Visit) -> str:
    return visit.url("users") if visit.store else "/users"


def _link_shown(visit: Visit, user: User, token: str) -> web.Response:
    base = origin_of(visit.services.config, visit.request)
    return visit.show(_LINK, user=user, link=link(base, token), until_us=user.link_expires_at_us, back=_home(visit))


async def _listed(visit: Visit, error: HooklineError | None) -> web.Response:
    form = visit.form
    typed = {name: form.text(name) for name in _FIELDS}
    wanted = form.text("q").lower() if error is None else ""
    found = await visit.services.parts.pools[Work.QUERIES].run(lambda: _people(visit, wanted))
    roles = OF_A_STORE if visit.store else tuple(Role)
    context: dict[str, Any] = {
        "people": found[:MOST],
        "more": len(found) - MOST,
        "typed": typed,
        "wanted": wanted,
        "roles": roles,
        "home": _home(visit),
    }
    return visit.show_wrong(_LIST, error, **context) if error is not None else visit.show(_LIST, **context)


def _people(visit: Visit, wanted: str) -> list[Person]:
    """Return the lines of the list, in the order of login; in a thread."""
    services = visit.services
    seen = {entry.target: entry.at_us for entry in services.parts.audit.of_store(visit.store) if entry.action in _SIGNED_IN}
    own_id = visit.presence.user.id if visit.presence is not None else ""
    return [
        Person(
            user=user,
            state=state_of(user, visit.now_us),
            sessions=len(services.sessions.open_of(user)),
            seen_us=seen.get(user.id, 0),
            mine=user.id == own_id,
        )
        for user in sorted(services.users.users(), key=lambda user: user.login)
        if _listed_here(visit, user) and wanted in f"{user.login} {user.name.lower()} {user.store_id.lower()}"
    ]


def _deeds(prefix: str, name: str, access: Access) -> tuple[Page, ...]:
    deeds: tuple[tuple[str, Handler], ...] = (("reset", reset), ("disable", disable), ("enable", enable))
    return tuple(
        Page(
            name=f"{name}.{deed}",
            path=f"{prefix}/{{id}}/{deed}",
            access=access,
            section="users",
            scope="admin",
            act=act,
            grave=True,
            back=prefix,
        )
        for deed, act in deeds
    )


PAGES: Final = (
    Page(
        name="users",
        path="/users",
        access=Access.OPERATOR,
        section="users",
        scope="admin",
        show=people,
        act=invite,
        grave=True,
        carried=_FIELDS,
    ),
    *_deeds("/users", "users", Access.OPERATOR),
    Page(name="store_users", path="/s/{store}/users", section="users", scope="admin", show=people, act=invite, grave=True, carried=_FIELDS),
    *_deeds("/s/{store}/users", "store_users", Access.STORE),
)
