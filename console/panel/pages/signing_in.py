"""Coming in and going out: the sign-in, the first operator, one-time links, the password asked for again."""

from __future__ import annotations

import hmac
from typing import Final

from aiohttp import web

from hookline.console.http.pools import Work
from hookline.console.panel import cookies, passwords
from hookline.console.panel.application import CONFIRM, SIGN_IN
from hookline.console.panel.page import Access, Page
from hookline.console.panel.visit import Visit
from hookline.console.sessions import Origin
from hookline.console.users import User
from hookline.console.users_writer import NewUser, check_same
from hookline.kernel.errors import Conflict, HooklineError, InputError, NotFound

HOME: Final = "/"
_TEMPLATE: Final = "sign_in.html"
_WELCOME: Final = "welcome.html"
_OVER: Final = "link_over.html"
_CONFIRM: Final = "confirm.html"


def safe_next(text: str) -> str:
    """Return where to go on after signing in: a path of ours, else the start page."""
    fits = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if fits else HOME


async def show_sign_in(visit: Visit) -> web.Response:
    """Show the form, or go on when somebody is signed in already."""
    if visit.presence is not None:
        return visit.to(safe_next(visit.form.text("next")))
    return visit.show(_TEMPLATE, login="", next=visit.form.text("next"), empty=not visit.services.users.users())


async def sign_in(visit: Visit) -> web.Response:
    """Check login and password, and begin a session."""
    form = visit.form
    login = form.text("login")
    try:
        user = await passwords.of_login(visit, login, form.raw("password"))
    except HooklineError as error:
        return visit.show_wrong(_TEMPLATE, error, login=login, next=form.text("next"), empty=False)
    return await _begun(visit, user, safe_next(form.text("next")), "user.sign_in")


async def sign_out(visit: Visit) -> web.Response:
    """End the session."""
    presence = visit.presence
    if presence is not None:
        await visit.services.parts.pools[Work.CHANGES].run(lambda: visit.services.sessions.end(presence.session.id))
    response = visit.to(SIGN_IN, "signed-out")
    visit.services.cookies.drop(response, cookies.SESSION)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


async def show_welcome(visit: Visit) -> web.Response:
    """Show the form that sets a password, to whom a one-time link is for."""
    try:
        known = await visit.services.parts.pools[Work.CHANGES].run(lambda: _claimant(visit))
    except NotFound as error:
        return visit.show_wrong(_OVER, error)
    return visit.show(_WELCOME, user=known, login="", name="")


async def welcome(visit: Visit) -> web.Response:
    """Set the password, and begin a session; without anybody yet, make the first operator."""
    form, known = visit.form, None
    try:
        known = await visit.services.parts.pools[Work.CHANGES].run(lambda: _claimant(visit))
        check_same(form.raw("password"), form.raw("again"))
        user = await visit.services.parts.pools[Work.CHANGES].run(lambda: _claimed(visit, known))
    except NotFound as error:
        return visit.show_wrong(_OVER, error)
    except InputError as error:
        return visit.show_wrong(_WELCOME, error, user=known, login=form.text("login"), name=form.text("name"))
    return await _begun(visit, user, HOME, "user.password")


async def show_confirm(visit: Visit) -> web.Response:
    """Ask for the password again."""
    return visit.show(_CONFIRM, next=safe_next(visit.form.text("next")))


async def confirm(visit: Visit) -> web.Response:
    """Check the password of whoever is signed in, and give the session a new cookie."""
    services, presence = visit.services, visit.presence
    if presence is None:
        return visit.to(SIGN_IN)
    following = safe_next(visit.form.text("next"))
    try:
        await passwords.of_presence(visit, presence, visit.form.raw("password"))
    except HooklineError as error:
        return visit.show_wrong(_CONFIRM, error, next=following)
    origin = _origin(visit)
    cookie = await services.parts.pools[Work.CHANGES].run(lambda: services.sessions.confirm(presence.session, presence.user, origin))
    response = visit.to(following, "confirmed")
    services.cookies.put(response, cookies.SESSION, cookie)
    return response


async def set_theme(visit: Visit) -> web.Response:
    """Remember light or dark; anything else follows the browser again."""
    response = visit.to(safe_next(visit.form.text("next")))
    theme = visit.form.text("theme")
    if theme in cookies.THEMES:
        visit.services.cookies.put(response, cookies.THEME, theme)
    else:
        visit.services.cookies.drop(response, cookies.THEME)
    return response


async def home(visit: Visit) -> web.Response:
    """Lead to the first page that is of use."""
    user = visit.presence.user if visit.presence is not None else None
    return visit.to(f"/s/{user.store_id}" if user is not None and user.store_id else "/stores")


def _claimant(visit: Visit) -> User | None:
    """Return whom the link of the path is for, None for the first operator; raise `NotFound`."""
    services, token = visit.services, visit.ids["token"]
    if hmac.compare_digest(token.encode(), services.first_run.encode()):
        if services.users.users():
            raise NotFound("This link was used already", remedy="Sign in, or ask an operator for a link.")
        return None
    return services.writer.claimant(token)


def _claimed(visit: Visit, known: User | None) -> User:
    form, writer = visit.form, visit.services.writer
    if known is not None:
        return writer.claim(visit.ids["token"], form.raw("password"))
    try:
        return writer.create_first(NewUser(login=form.text("login"), name=form.text("name")), form.raw("password"))
    except Conflict as error:
        raise NotFound(error.message, remedy=error.remedy) from error


async def _begun(visit: Visit, user: User, following: str, action: str) -> web.Response:
    services, origin = visit.services, _origin(visit)

    def begun() -> str:
        cookie = services.sessions.begin(user, origin)
        visit.note(action, user.id, actor=user.caller.actor, store_id=user.store_id)
        return cookie

    cookie = await services.parts.pools[Work.CHANGES].run(begun)
    response = visit.to(following)
    services.cookies.put(response, cookies.SESSION, cookie)
    services.cookies.drop(response, cookies.VISITOR)
    return response


def _origin(visit: Visit) -> Origin:
    return Origin(address=visit.request.remote or "", browser=visit.request.headers.get("User-Agent", ""))


PAGES: Final = (
    Page(name="home", path=HOME, access=Access.PERSON, show=home),
    Page(name="sign_in", path=SIGN_IN, access=Access.PUBLIC, show=show_sign_in, act=sign_in),
    Page(name="sign_out", path="/sign-out", access=Access.PUBLIC, act=sign_out),
    Page(name="welcome", path="/welcome/{token}", access=Access.PUBLIC, show=show_welcome, act=welcome),
    Page(name="confirm", path=CONFIRM, access=Access.PERSON, show=show_confirm, act=confirm),
    Page(name="theme", path="/theme", access=Access.PUBLIC, act=set_theme),
)
