"""The REST API made of its route table: who asks, for which store, with what; then the handler; then its answer."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import Final

from aiohttp import hdrs, web

from hookline.console.audit import digest_of
from hookline.console.http import bodies
from hookline.console.http.access import STORE_HEADER, Access, store_of
from hookline.console.http.etags import etag, versions
from hookline.console.http.idempotency import HEADER, Idempotency, Kept, Place, checked_key
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code, Refused
from hookline.console.http.routes import PREFIX, UNCHANGED, Answer, Call, Caller, IfMatch, Route
from hookline.console.http.server import ACTOR, REQUEST, ROUTE, Next, expecting
from hookline.console.parts import Parts
from hookline.kernel.clock import to_us
from hookline.kernel.errors import NotFound
from hookline.kernel.log import logger
from hookline.schemas.audit import Entry
from hookline.schemas.events import new_id

_log = logger("console")
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}\Z")
_NO_CONTENT: Final = 204
_NOT_MODIFIED: Final = 304
_REFUSED_TYPE: Final = re.compile(r";\s*q\s*=\s*0(\.0{0,3})?\s*\Z")


class Api:
    """Answers the routes of a table."""

    def __init__(self, parts: Parts, routes: Iterable[Route]) -> None:
        self._parts = parts
        self._routes = tuple(routes)
        self._access = Access(parts.keys, parts.config, parts.clock)
        self._idempotency = Idempotency(parts.clock)
        for route in self._routes:
            _refuse_careless(route)

    def application(self) -> web.Application:
        """Return the application to mount under the prefix."""
        app = web.Application()
        for route in self._routes:
            handler = self._handler(route)
            app.router.add_route(route.method, route.path, handler, expect_handler=expecting)
            if route.method == hdrs.METH_GET:
                app.router.add_route(hdrs.METH_HEAD, route.path, handler)
        return app

    def _handler(self, route: Route) -> Next:
        async def handle(request: web.Request) -> web.StreamResponse:
            request[ROUTE] = route.name
            accept(request.headers.get(hdrs.ACCEPT, "*/*"), route.content_type, *route.other_types)
            caller = await self._access.admit(route, request)
            request[ACTOR] = caller.actor
            raw = await bodies.read(request, route.max_body, self._parts.config.upload_s)
            call = self._call(route, request, caller, raw)
            return await self._respond(route, request, call)

        return handle

    def _call(self, route: Route, request: web.Request, caller: Caller, raw: bytes) -> Call:
        """Return the request once everything about it is checked; raise `InputError`."""
        headers = request.headers
        query = bodies.query_of(route.query, list(request.query.items()))
        if_match = versions(headers.get(hdrs.IF_MATCH), hdrs.IF_MATCH, weak=False)
        if route.if_match is IfMatch.MUST and if_match.any_of is None:
            raise Refused(Code.PRECONDITION_REQUIRED, "This request needs the If-Match header", field=hdrs.IF_MATCH)
        return Call(
            parts=self._parts,
            route=route,
            caller=caller,
            store_id=store_of(route, caller, query.store, headers.get(STORE_HEADER)),
            ids=checked_ids(request.match_info),
            query=query,
            body=bodies.body_of(route.body, raw),
            raw=raw,
            if_match=if_match,
            idempotency_key=checked_key(headers.get(HEADER)) if route.method == hdrs.METH_POST else "",
            address=request.remote or "",
            request_id=request[REQUEST],
        )

    async def _respond(self, route: Route, request: web.Request, call: Call) -> web.StreamResponse:
        if call.idempotency_key and route.remembered:
            place = Place(call.store_id, f"{route.name} {request.path} {call.caller.actor} {call.idempotency_key}")
            digest = hashlib.sha256(request.query_string.encode() + b"\0" + call.raw).digest()
            kept, again = await self._idempotency.once(place, digest, lambda: self._kept(route, call))
            return _response(kept, {"Idempotency-Replayed": "true"} if again else {})
        answer = await perform(call)
        if answer.stream is not None:
            return await streamed(request, route, answer)
        if route.version and answer.version is not None and request.method in {hdrs.METH_GET, hdrs.METH_HEAD}:
            known = versions(request.headers.get(hdrs.IF_NONE_MATCH), hdrs.IF_NONE_MATCH, weak=True)
            if known.knows(answer.version):
                return web.Response(status=_NOT_MODIFIED, headers={hdrs.ETAG: etag(answer.version)})
        return _response(_rendered(route, answer), {})

    async def _kept(self, route: Route, call: Call) -> Kept:
        return _rendered(route, await perform(call))


async def perform(call: Call) -> Answer:
    """Run a call's handler where its route says, and return its answer; the change that it made is on the audit by then."""
    route = call.route
    if route.work is not Work.LOOP:
        return await call.parts.pools[route.work].run(lambda: _done(call))
    found = route.handler(call)
    return await found if inspect.isawaitable(found) else found


def _done(call: Call) -> Answer:
    """Run a handler in a thread, and put the change it made onto the audit before anybody hears of it."""
    answer = call.route.handler(call)
    if inspect.isawaitable(answer):
        raise TypeError(f"{call.route.name} is a coroutine: its work is {Work.LOOP}")
    if call.route.action and answer.change is not UNCHANGED:
        call.parts.audit.write(_entry(call, answer))
    return answer


def _entry(call: Call, answer: Answer) -> Entry:
    change = answer.change
    if change is None:
        raise TypeError(f"{call.route.name} changed something and does not say what")
    return Entry(
        id=new_id("aud"),
        at_us=to_us(call.parts.clock.now()),
        store_id=call.store_id,
        actor=call.caller.actor,
        action=call.route.action,
        target=change.target,
        before=digest_of(change.before),
        after=digest_of(change.after),
        address=call.address,
        request_id=call.request_id,
    )


def accept(header: str, *content_types: str) -> None:
    """Return when an Accept header takes one of these content types; raise `Refused` (406)."""
    families = {content_type.partition("/")[0] + "/*" for content_type in content_types}
    for part in header.split(","):
        media = part.partition(";")[0].strip().lower()
        if media in {"*/*", "", *families, *content_types} and not _REFUSED_TYPE.search(part):
            return
    kinds = " or ".join(content_types)
    raise Refused(Code.NOT_ACCEPTABLE, f"The answer would be {kinds}", field=hdrs.ACCEPT, remedy=f"Accept {kinds}.")


def checked_ids(found: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of a path; raise `NotFound` for one that cannot be an id: it is of nothing."""
    for name, text in found.items():
        if not _ID.match(text):
            raise NotFound("There is nothing under this id", field=name)
    return dict(found)


def _rendered(route: Route, answer: Answer) -> Kept:
    headers = {hdrs.CONTENT_TYPE: answer.content_type, **answer.headers}
    if answer.version is not None:
        headers[hdrs.ETAG] = etag(answer.version)
    if answer.location:
        headers[hdrs.LOCATION] = PREFIX + answer.location
    body = answer.value.model_dump_json().encode() if answer.value is not None else answer.text
    return Kept(answer.status or route.status, tuple(headers.items()), body)


def _response(kept: Kept, more: dict[str, str]) -> web.Response:
    headers = {**dict(kept.headers), **more}
    if kept.status == _NO_CONTENT:
        headers.pop(hdrs.CONTENT_TYPE, None)
    return web.Response(status=kept.status, headers=headers, body=kept.body or None)


async def streamed(request: web.Request, route: Route, answer: Answer) -> web.StreamResponse:
    """Send an answer that comes piece by piece; one that fails half way is cut off, which its missing end tells."""
    response = web.StreamResponse(status=answer.status or route.status, headers=dict(answer.headers))
    response.content_type = answer.content_type
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD and answer.stream is not None:
        try:
            async with aclosing(answer.stream) as pieces:
                async for piece in pieces:
                    await response.write(piece)
        except ConnectionError:  # the caller went away
            return response
        except Exception as error:  # noqa: BLE001  # the status is sent already: only an end that is missing can tell that something is
            _log.error("request.broke_off", route=route.name, error=str(error) or type(error).__name__, request=request[REQUEST])
            if request.transport is not None:
                request.transport.abort()
            return response
    await response.write_eof()
    return response


def _refuse_careless(route: Route) -> None:
    """Raise `ValueError` for a row that contradicts itself."""
    if route.action and route.work is Work.LOOP:
        raise ValueError(f"{route.name} changes something: its work is not {Work.LOOP}")
    if route.scope and route.method != hdrs.METH_GET and (route.if_match is IfMatch.MUST) != (route.method != hdrs.METH_POST):
        raise ValueError(f"{route.name}: PUT, PATCH and DELETE need If-Match, POST does not")
