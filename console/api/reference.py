"""`/openapi.json`, `/asyncapi.json` and `/docs`: the API and the webhooks about themselves, for programs and for people."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import orjson

from hookline.console.http import asyncapi, reference
from hookline.console.http.models import Query
from hookline.console.http.openapi import document
from hookline.console.http.routes import PUBLIC, Answer, Handler, Route, StoreUse

_STYLED = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_KEPT = "public, max-age=300"


def routes(resources: tuple[Route, ...]) -> tuple[Route, ...]:
    """Return the routes that tell about these and themselves."""

    @cache
    def openapi() -> bytes:
        return orjson.dumps(document((*resources, *own)))

    @cache
    def calls() -> bytes:
        return orjson.dumps(asyncapi.document())

    @cache
    def html() -> bytes:
        return reference.page((*resources, *own))

    own = (
        _document("reference.openapi", "/openapi.json", "The OpenAPI document", "application/json", openapi),
        _document("reference.asyncapi", "/asyncapi.json", "The AsyncAPI document of the webhooks", "application/json", calls),
        _document("reference.html", "/docs", "The reference for people", "text/html", html),
        _document("reference.style", "/docs.css", "The style sheet of the reference", "text/css", reference.style),
    )
    return own


def _document(name: str, path: str, summary: str, content_type: str, made: Callable[[], bytes]) -> Route:
    headers = {"Cache-Control": _KEPT, **({"Content-Security-Policy": _STYLED} if content_type == "text/html" else {})}
    kind = content_type if content_type == "application/json" else f"{content_type}; charset=utf-8"
    handler: Handler = lambda _: Answer(text=made(), content_type=kind, headers=headers)  # noqa: E731  # one of three alike
    return Route(
        name=name, method="GET", path=path, scope=PUBLIC, store=StoreUse.NONE, summary=summary, handler=handler,
        query=Query, content_type=content_type,
    )  # fmt: skip
