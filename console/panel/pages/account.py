"""One's own account: name, password, sessions, light or dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from hookline.console.http.pools import Work
from hookline.console.panel import cookies, passwords
from hookline.console.panel.browsers import browser_name
from hookline.console.panel.page import Access, Page
from hookline.console.panel.visit import Visit
from hookline.console.sessions import Origin, Presence
from hookline.console.users import User
from hookline.console.users_shown import shown
from hookline.console.users_writer import check_same
from hookline.kernel.errors import HooklineError, InputError, NotFound, Unauthorized

HOME: Final = "/account"
_TEMPLATE: Final = "account.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSession:
    """A line of the list; `current` is the session that asks for it."""

    id: str
    began_at_us: int
    address: str
    browser: str
    current: bool


async def account(visit: Visit) -> web.Response:
    """Show it."""
    return visit.show(_TEMPLATE, **_context(visit, _present(visit).user.name))


async def rename(visit: Visit) -> web.Response:
    """Change what one is called."""
    me = _present(visit).user

    def act() -> None:
        after = visit.services.writer.rename(me.id, visit.form.text("name"))
        _note(visit, "user.rename", after)

    try:
        await visit.services.parts.pools[Work.CHANGES].run(act)
    except InputError as error:
        return visit.show_wrong(_TEMPLATE, error, **_context(visit, visit.form.text("name")))
    return visit.to(HOME, "renamed")


async def change_password(visit: Visit) -> web.Response:
    """Replace the password on the word of whoever knows the present one; all sessions end, and this browser gets a new one."""
    services, me, form = visit.services, _present(visit).user, visit.form
    try:
        check_same(form.raw("password"), form.raw("again"))
        await _check_current(visit)
        cookie = await services.parts.pools[Work.CHANGES].run(lambda: _with_password(visit, me))
    except HooklineError as error:
        return visit.show_wrong(_TEMPLATE, error, **_context(visit, me.name))
    response = visit.to(HOME, "password-set")
    services.cookies.put(response, cookies.SESSION, cookie)
    return response


async def end_session(visit: Visit) -> web.Response:
    """End one of one's sessions, or all but this one."""
    present, wanted = _present(visit), visit.form.text("session")
    others = [session for session in visit.services.sessions.open_of(present.user) if session.id != present.session.id]
    chosen = [session for session in others if wanted in {"others", session.id}]
    if not chosen and wanted != "others":
        raise NotFound("There is no such session", remedy="It may have ended already: go back and reload the page.")

    def act() -> None:
        for session in chosen:
            visit.services.sessions.end(session.id)
        _note(visit, "user.end-sessions", present.user)

    await visit.services.parts.pools[Work.CHANGES].run(act)
    return visit.to(HOME, "sessions-ended" if wanted == "others" else "session-ended")


def _present(visit: Visit) -> Presence:
    if visit.presence is None:
        raise RuntimeError(f"{visit.page.name} lets nobody in who is not signed in")
    return visit.presence


async def _check_current(visit: Visit) -> None:
    """Raise `InputError` unless the present password is right, `Refused` after too many wrong ones."""
    try:
        await passwords.of_presence(visit, _present(visit), visit.form.raw("current"))
    except Unauthorized as error:
        raise InputError("The present password is another one", field="current", remedy="Nothing was changed.") from error


def _with_password(visit: Visit, me: User) -> str:
    """Set the new password and return the cookie of a new session."""
    after = visit.services.writer.set_password(me.id, visit.form.raw("password"))
    _note(visit, "user.password", after)
    origin = Origin(address=visit.request.remote or "", browser=visit.request.headers.get("User-Agent", ""))
    return visit.services.sessions.begin(after, origin)


def _note(visit: Visit, action: str, after: User) -> None:
    before = shown(_present(visit).user, visit.now_us)
    visit.note(action, after.id, before, shown(after, visit.now_us), store_id=after.store_id)


def _context(visit: Visit, name: str) -> dict[str, Any]:
    present = _present(visit)
    sessions = [
        OwnSession(
            id=session.id,
            began_at_us=session.began_at_us,
            address=session.address,
            browser=browser_name(session.browser),
            current=session.id == present.session.id,
        )
        for session in reversed(visit.services.sessions.open_of(present.user))
    ]
    return {"user": present.user, "name": name, "sessions": sessions}


PAGES: Final = (
    Page(name="account", path=HOME, access=Access.PERSON, section="account", show=account),
    Page(name="account.name", path="/account/name", access=Access.PERSON, section="account", act=rename, back=HOME),
    Page(name="account.password", path="/account/password", access=Access.PERSON, section="account", act=change_password, back=HOME),
    Page(name="account.sessions", path="/account/sessions", access=Access.PERSON, section="account", act=end_session, back=HOME),
)
