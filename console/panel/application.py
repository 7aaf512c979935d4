"""The panel made of its pages: who comes, whether they may, whether a form is ours; then the handler; errors as pages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from aiohttp import hdrs, web

from hookline.console.http.api import checked_ids
from hookline.console.http.problems import Code, Refused, trouble
from hookline.console.http.server import ACTOR, REQUEST, ROUTE, Next, expecting, of_http, refuse_unfit
from hookline.console.panel import cookies, forms, known_stores, rendering, same_site, wording
from hookline.console.panel.forms import Form
from hookline.console.panel.page import Access, Page
from hookline.console.panel.services import Services
from hookline.console.panel.visit import HTML, Visit
from hookline.console.sessions import Presence
from hookline.kernel.errors import HooklineError, NotFound
from hookline.kernel.log import logger

_log = logger("console")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_YEAR: Final = "public, max-age=31536000, immutable"
# A path of ours with a slash too many; nothing that a browser could take for another host.
_SLASH: Final = re.compile(r"(/[A-Za-z0-9_-]+)+/")
_LOST: Final = Page(name="lost", path="/{tail:.*}", access=Access.PUBLIC)
SIGN_IN: Final = "/sign-in"
CONFIRM: Final = "/confirm"


class Panel:
    """Answers the pages of a table."""

    def __init__(self, services: Services, pages: Iterable[Page]) -> None:
        self._services = services
        self._pages = tuple(pages)

    def mount(self, app: web.Application) -> None:
        """Add the pages, the assets and the page for addresses that there are not to the root application, behind everything else."""
        rendering.environment()
        for name, (data, kind) in rendering.assets().items():
            app.router.add_get(f"{rendering.STATIC}/{name}", _asset(data, kind), expect_handler=expecting)
        for page in self._pages:
            handler = self._handler(page)
            if page.show is not None:
                app.router.add_get(page.path, handler, expect_handler=expecting)
            if page.act is not None:
                app.router.add_post(page.path, handler, expect_handler=expecting)
        app.router.add_get(_LOST.path, self._handler(_LOST), expect_handler=expecting)

    def _handler(self, page: Page) -> Next:
        async def handle(request: web.Request) -> web.StreamResponse:
            request[ROUTE] = f"panel.{page.name}"
            if page is _LOST and HTML not in request.headers.get(hdrs.ACCEPT, ""):
                raise of_http(web.HTTPNotFound())
            presence = self._presence(request)
            request[ACTOR] = presence.user.caller.actor if presence is not None else "nobody"
            bound_to, new_visitor = self._bound_to(request, presence)
            visit = self._visit(request, page, presence, bound_to)
            response = await self._answered(visit, bound_to)
            response.headers.setdefault("Content-Security-Policy", _POLICY)
            if presence is not None and presence.cookie and cookies.SESSION not in str(response.cookies):
                self._services.cookies.put(response, cookies.SESSION, presence.cookie)
            if new_visitor:
                self._services.cookies.put(response, cookies.VISITOR, bound_to)
            return response

        return handle

    def _presence(self, request: web.Request) -> Presence | None:
        return self._services.sessions.recognise(self._services.cookies.read(request, cookies.SESSION))

    def _bound_to(self, request: web.Request, presence: Presence | None) -> tuple[str, bool]:
        """Return what form tokens of this browser are bound to, and whether it must be told so."""
        if presence is not None:
            return presence.session.id, False
        visitor = self._services.cookies.read(request, cookies.VISITOR)
        return (visitor, False) if visitor else (cookies.new_visitor(), True)

    def _visit(self, request: web.Request, page: Page, presence: Presence | None, bound_to: str) -> Visit:
        done = request.query.get("done", "")
        return Visit(
            services=self._services,
            request=request,
            page=page,
            presence=presence,
            ids={} if page is _LOST else dict(request.match_info),
            form=Form(),
            token=self._services.sessions.token(bound_to),
            done=done if done in wording.DONE else "",
        )

    async def _answered(self, visit: Visit, bound_to: str) -> web.StreamResponse:
        request = visit.request
        try:
            refuse_unfit(request)
            return await self._led(visit, bound_to)
        except HooklineError as error:
            return _error_page(visit, error)
        except (web.HTTPException, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever a page did not foresee must not end the process or show itself
            _log.error("console.failed", error=type(error).__name__, request=request[REQUEST], exc_info=error)
            return _error_page(visit, HooklineError("Hookline failed"))

    async def _led(self, visit: Visit, bound_to: str) -> web.StreamResponse:
        """Send whoever comes to the page, to the sign-in, or away."""
        page, request = visit.page, visit.request
        acting = request.method == hdrs.METH_POST
        if page is _LOST:
            if _SLASH.fullmatch(request.path):
                return visit.to(request.path.removesuffix("/") + (f"?{request.query_string}" if request.query_string else ""))
            raise NotFound("There is nothing at this address", remedy="Use the menu, or go back.")
        if page.access is not Access.PUBLIC and visit.presence is None:
            return visit.to(SIGN_IN if acting else rendering.address("sign-in", next=visit.path))
        checked_ids({name: text for name, text in visit.ids.items() if name != "token"})
        _admit(visit)
        if page.scope:
            visit.require(page.scope)
        if not acting:
            handler, form = page.show, forms.query_form(request.query)
        else:
            same_site.check(request, self._services.config.url)
            handler, form = page.act, await self._form(request, bound_to)
            if page.grave and visit.presence is not None and not self._services.sessions.fresh(visit.presence.session):
                return visit.to(rendering.address("confirm", next=_page_of(visit, form)))
        if handler is None:
            raise of_http(web.HTTPMethodNotAllowed(request.method, ()))
        if await known_stores.missing(visit):
            return known_stores.page_of(visit)
        return await handler(replace(visit, form=form))

    async def _form(self, request: web.Request, bound_to: str) -> Form:
        form, _ = await forms.read_form(request, self._services.parts.config.upload_s)
        if not self._services.sessions.token_fits(form.raw(forms.TOKEN), bound_to):
            raise Refused(Code.MISSING_SCOPE, "This form is of another session, or too old", remedy="Go back, reload the page, try again.")
        return form


def _admit(visit: Visit) -> None:
    """Raise `NotFound` where whoever comes may not know that there is something."""
    access, presence = visit.page.access, visit.presence
    if presence is None or access in {Access.PUBLIC, Access.PERSON}:
        return
    user = presence.user
    if (access is Access.OPERATOR and user.store_id) or (access is Access.STORE and user.store_id not in {"", visit.store}):
        raise NotFound("There is nothing at this address", remedy="Use the menu, or go back.")


def _page_of(visit: Visit, form: Form) -> str:
    """Return the page that a form was on, with what was typed: its own address where it can be looked at, else where it says it is."""
    page = visit.page
    if page.show is None:
        return page.back.format(**visit.ids)
    typed = [(name, text) for name in page.carried for text in form.texts(name)]
    kept = [(name, text) for name, text in visit.request.query.items() if name not in page.carried]
    return f"{visit.request.path}?{urlencode([*kept, *typed])}" if typed else visit.path


def _error_page(visit: Visit, error: HooklineError) -> web.Response:
    told = trouble(error)
    if told.problem.status >= 500:  # noqa: PLR2004  # the class of our own faults
        _log.error("console.failed", error=str(error), code=told.problem.code, request=visit.request[REQUEST])
    if visit.request.headers.get(hdrs.ACCEPT, "").startswith("application/json"):
        raise error
    return visit.show_wrong("error.html", error, reference=visit.request[REQUEST])


def _asset(data: bytes, kind: str) -> Next:
    async def handle(request: web.Request) -> web.StreamResponse:
        request[ROUTE] = "panel.static"
        headers = {hdrs.CONTENT_TYPE: kind, hdrs.CACHE_CONTROL: _YEAR}
        return web.Response(body=data, headers=headers)

    return handle
