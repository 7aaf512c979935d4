"""One request to a page: who comes, with which form; what the API answers them; the page or the redirect that they get."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeVar, cast

import orjson
from aiohttp import hdrs, web

from hookline.console.audit import digest_of
from hookline.console.http import bodies
from hookline.console.http.access import store_of
from hookline.console.http.api import checked_ids, perform
from hookline.console.http.etags import NO_VERSIONS, Versions
from hookline.console.http.idempotency import Idempotency, Kept, Place, checked_key
from hookline.console.http.models import Model
from hookline.console.http.problems import Code, Refused, trouble
from hookline.console.http.routes import ALL_STORES, Answer, Call, Caller
from hookline.console.http.server import REQUEST
from hookline.console.panel import cookies, rendering, wording
from hookline.console.panel.faults import fault_of
from hookline.console.panel.forms import ONCE, Form
from hookline.console.panel.page import Page
from hookline.console.panel.services import Services
from hookline.console.sessions import Presence
from hookline.kernel.clock import to_us
from hookline.kernel.errors import Conflict, HooklineError
from hookline.schemas.audit import Entry
from hookline.schemas.events import new_id

HTML: Final = "text/html"
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request, checked: what a page's handler gets, and `visit` in its template.

    `store` is the store of the path, empty on pages that are about none. `form` is the form that was sent, or on GET the query string.
    `token` is what every form must bring back.
    """

    services: Services
    request: web.Request
    page: Page
    presence: Presence | None
    ids: Mapping[str, str]
    form: Form
    token: str
    done: str = ""
    """What was just done, as a key of `wording.DONE`: the notice on top of the page."""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> str:
        """The store that the page is about."""
        return self.ids.get("store", ALL_STORES)

    @property
    def caller(self) -> Caller:
        """Who comes, as the API knows callers; raise `RuntimeError` for nobody, whom no page that asks lets in."""
        if self.presence is None:
            raise RuntimeError(f"{self.page.name} asks for nobody")
        return self.presence.user.caller

    @property
    def path(self) -> str:
        """The path of this page with its query string."""
        return self.request.path_qs

    @property
    def theme(self) -> str:
        """`light`, `dark`, or empty for the browser's own."""
        found = self.services.cookies.read(self.request, cookies.THEME)
        return found if found in cookies.THEMES else ""

    @property
    def schedules(self) -> Mapping[str, str]:
        """The schedules of retries that a webhook may choose: name to what it comes to."""
        return {name: wording.schedule(pauses_s) for name, pauses_s in self.services.dispatchers.schedules.items()}

    @property
    def now_us(self) -> int:
        """The time, in microseconds since the epoch."""
        return to_us(self.services.parts.clock.now())

    def can(self, scope: str) -> bool:
        """Tell whether whoever comes may use what needs a scope; buttons that would be refused are not shown."""
        return self.presence is not None and self.presence.user.caller.allows(scope)

    def require(self, scope: str) -> None:
        """Raise `Refused` (403) for whoever may not use what needs a scope."""
        if not self.caller.allows(scope):
            raise Refused(Code.MISSING_SCOPE, "You may look at the store, and not do this", remedy="Ask an admin of the store.")

    def url(self, *parts: str, **query: object) -> str:
        """Return a path within the page's store."""
        return rendering.address("s", self.store, *parts, **query)

    # ---- the API ----

    async def answer(
        self,
        name: str,
        id_: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        version: str = "",
        key: str = "",
    ) -> Answer:
        """Return what a route of the API answers whoever comes, with all its checks and its audit; raise what it raises.

        `id_` is the `{id}` of its path; `version` the one that a change was made from; `key` is its Idempotency-Key.
        """
        services, route, caller = self.services, self.services.routes[name], self.caller
        self.require(route.scope)
        raw = orjson.dumps(body) if body is not None else b""
        call = Call(
            parts=services.parts,
            route=route,
            caller=caller,
            store_id=store_of(route, caller, self.store or None, None),
            ids=checked_ids({"id": id_} if id_ else {}),
            query=bodies.query_of(route.query, list((query or {}).items())),
            body=bodies.body_of(route.body, raw),
            raw=raw,
            if_match=Versions(frozenset({version})) if version else NO_VERSIONS,
            idempotency_key=checked_key(key) if key else "",
            address=self.request.remote or "",
            request_id=self.request[REQUEST],
        )
        return await perform(call)

    async def ask(self, kind: type[M], name: str, id_: str = "", *, query: Mapping[str, str] | None = None) -> M:
        """Return the value of a route that answers with this model; raise what it raises."""
        return _of(kind, (await self.answer(name, id_, query=query)).value)

    async def change(
        self, kind: type[M], name: str, id_: str = "", *, body: Mapping[str, Any] | None = None, version: str = "", key: str = ""
    ) -> M:
        """Return the value of a route that changes something; raise what it raises."""
        return _of(kind, (await self.answer(name, id_, body=body, version=version, key=key)).value)

    async def make(self, kind: type[M], name: str, id_: str = "", *, body: Mapping[str, Any] | None = None) -> M:
        """Return the value of a route that makes something: once for each showing of a form, however often that is sent.

        Raises `Conflict` when the form was sent before with other values, and what the route raises.
        """

        async def made() -> bytes:
            key = self.form.text(ONCE)
            return (await self.change(kind, name, id_, body=body, key=key)).model_dump_json().encode()

        memory = self.services.once if self.services.routes[name].remembered else self.services.once_briefly
        return kind.model_validate_json(await self.once(made, memory))

    async def once(self, act: Callable[[], Awaitable[bytes]], memory: Idempotency | None = None) -> bytes:
        """Return what an act brought; the same form sent again, or at the same time, gets the same, and nothing is done again.

        `memory` is where that is remembered, None for a day.
        Raises `Conflict` when the form was sent before with other values, and what `act` raises: after that it may be sent again.
        """
        key = self.form.text(ONCE)
        if not key:
            return await act()

        async def kept() -> Kept:
            return Kept(HTTPStatus.OK, (), await act())

        place = Place(self.store, f"panel {self.request.path} {self.caller.actor} {key}")
        try:
            found, _ = await (memory or self.services.once).once(place, self.form.digest(), kept)
        except Refused as error:
            if error.problem is not Code.IDEMPOTENCY_MISMATCH:
                raise
            remedy = "What it did then stays. Is this to be done as well? Then send it once more."
            raise Conflict("This form was sent already, with other values", remedy=remedy) from error
        return found.body

    def note(
        self, action: str, target: str, before: Model | None = None, after: Model | None = None, *, actor: str = "", store_id: str = ""
    ) -> None:
        """Put a change that no route of the API made onto the audit; in a thread. `actor` and `store_id` are the visit's unless given."""
        self.services.parts.audit.write(
            Entry(
                id=new_id("aud"),
                at_us=self.now_us,
                store_id=store_id or self.store,
                actor=actor or self.caller.actor,
                action=action,
                target=target,
                before=digest_of(before),
                after=digest_of(after),
                address=self.request.remote or "",
                request_id=self.request[REQUEST],
            )
        )

    # ---- the answer ----

    def show(self, template: str, *, status: int = 200, **context: object) -> web.Response:
        """Return a page."""
        return self._page(template, status, context)

    def show_wrong(self, template: str, error: HooklineError, **context: object) -> web.Response:
        """Return a page with its form as it was sent and what is wrong with it; `problem.field` tells where."""
        found = fault_of(error)
        self.headers.update(trouble(error).headers)
        self.headers.pop(hdrs.WWW_AUTHENTICATE, None)  # the browser would ask for a password of its own
        return self._page(template, found.status, {**context, "problem": found})

    def _page(self, template: str, status: int, context: Mapping[str, object]) -> web.Response:
        body = rendering.rendered(template, {"visit": self, "problem": None, **context})
        return web.Response(status=status, body=body, content_type=HTML, charset="utf-8", headers=self.headers)

    def data(self, value: Mapping[str, Any]) -> web.Response:
        """Return JSON for a script of ours."""
        return web.Response(body=orjson.dumps(value), content_type="application/json")

    def to(self, path: str, done: str = "") -> web.Response:
        """Return the redirect after a form was acted on; `done` is a key of `wording.DONE`."""
        mark = f"{'&' if '?' in path else '?'}done={done}" if done else ""
        return web.Response(status=303, headers={**self.headers, hdrs.LOCATION: path + mark})


def _of(kind: type[M], value: Model | None) -> M:
    origin = kind.__pydantic_generic_metadata__["origin"] or kind  # a list's handler answers a `Page`, its route says of what
    if not isinstance(value, origin):
        raise TypeError(f"the route answered with a {type(value).__name__}, not a {kind.__name__}")
    return cast("M", value)
