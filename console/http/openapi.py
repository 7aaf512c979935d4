"""OpenAPI 3.1, made of the route table and of the very models that validate: what it says is what the server does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from hookline import __version__
from hookline.console.http.access import STORE_HEADER
from hookline.console.http.idempotency import HEADER as IDEMPOTENCY
from hookline.console.http.problems import CONTENT_TYPE, MEANINGS, Code, Problem
from hookline.console.http.routes import ANY_KEY, OPERATOR, PREFIX, PUBLIC, IfMatch, Route, StoreUse
from hookline.console.http.server import REQUEST_ID

REF: Final = "#/components/schemas/{model}"
_EVERYWHERE: Final = (Code.MALFORMED_REQUEST, Code.NOT_ACCEPTABLE, Code.URL_TOO_LONG, Code.HEADERS_TOO_LARGE, Code.INTERNAL_ERROR)
_WITH_KEY: Final = (Code.UNAUTHORIZED, Code.TOO_MANY_FAILURES, Code.OTHER_STORE, Code.INVALID)
_WITH_BODY: Final = (
    Code.EMPTY_BODY,
    Code.MALFORMED_JSON,
    Code.DUPLICATE_KEY,
    Code.NUMBER_TOO_LARGE,
    Code.NESTED_TOO_DEEP,
)
_NOT_GET: Final = (
    Code.BODY_TIMEOUT,
    Code.BODY_TOO_LARGE,
    Code.CONTENT_TYPE_UNSUPPORTED,
    Code.ENCODING_UNSUPPORTED,
    Code.OVERLOADED,
    Code.BROKER_UNAVAILABLE,
    Code.UNDELIVERED,
)
_INTRODUCTION: Final = """\
Everything about a store's webhooks. Send an API key as `Authorization: Bearer hlk_...`; a key belongs to one store and has scopes.
An operator's token may act for any store, named by `?store=` or the `Hookline-Store` header.

Errors are `application/problem+json` with a `code` from a closed list. Lists come in pages: give `next_cursor` as `cursor`.
A POST that takes an `Idempotency-Key`, sent again with the same one within a day, gets the same answer and changes nothing again.
Webhooks carry an `ETag`; changing or deleting one needs it as `If-Match`.
"""
_ID: Final = {"type": "string", "pattern": r"^[A-Za-z0-9_.:-]{1,128}$"}
_PAGE: Final = re.compile(r"Page\[(\w+)\]")
Schema: TypeAlias = dict[str, Any]


def codes_of(route: Route) -> tuple[Code, ...]:
    """Return every problem that a route can answer with, each once, in the order of their statuses."""
    found = {*_EVERYWHERE, *route.codes}
    if route.scope != PUBLIC:
        found |= {*_WITH_KEY, *(() if route.scope == ANY_KEY else (Code.MISSING_SCOPE,))}
    else:
        found |= {Code.INVALID}
    if route.body is not None:
        found |= set(_WITH_BODY)
    if route.method != "GET":
        found |= set(_NOT_GET)
    if route.method == "POST" and route.remembered:
        found |= {Code.IDEMPOTENCY_MISMATCH}
    if route.if_match is not IfMatch.NONE:
        found |= {Code.VERSION_STALE}
    if route.if_match is IfMatch.MUST:
        found |= {Code.PRECONDITION_REQUIRED}
    return tuple(sorted(found, key=lambda code: (MEANINGS[code].status, code)))


def document(routes: Iterable[Route]) -> Schema:
    """Return the OpenAPI document of a route table."""
    table = tuple(routes)
    schemas, names = _schemas(table)
    paths: dict[str, Schema] = {}
    for route in table:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hookline", "version": __version__, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in table)],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "hlk_..."}}},
    }


Mode: TypeAlias = Literal["validation", "serialization"]
Names: TypeAlias = Mapping[tuple[Any, Mode], Schema]


class _Readable(GenerateJsonSchema):
    """Calls a page of things by their name."""

    def normalize_name(self, name: str) -> str:
        """Return `WebhookViewPage` for `Page[WebhookView]`."""
        return super().normalize_name(_PAGE.sub(r"\1Page", name))


def _schemas(routes: Sequence[Route]) -> tuple[Schema, Names]:
    """Return the schemas of all bodies and answers, and how each is referred to."""
    wanted: dict[tuple[type[BaseModel], Mode], None] = {(Problem, "serialization"): None}
    for route in routes:
        if route.body is not None:
            wanted[route.body, "validation"] = None
        if route.answer is not None:
            wanted[route.answer, "serialization"] = None
    names, definitions = models_json_schema(list(wanted), ref_template=REF, schema_generator=_Readable)
    return dict(definitions.get("$defs", {})), names


def _operation(route: Route, names: Names) -> Schema:
    found: Schema = {
        "operationId": route.name,
        "summary": route.summary,
        "description": " ".join(filter(None, (route.description, _access(route)))),
        "tags": [route.tag],
        "parameters": parameters(route),
        "responses": {**{str(s): _success(route, names) for s in (route.status, *route.other_statuses)}, **_problems(route, names)},
        "security": [] if route.scope == PUBLIC else [{"key": []}],
        "x-scope": route.scope or "none",
    }
    if route.body is not None:
        media = {"schema": names[route.body, "validation"], **({"example": dict(route.example)} if route.example else {})}
        needed = any(field.is_required() for field in route.body.model_fields.values()) or route.method == "PATCH"
        found["requestBody"] = {"required": needed, "content": {"application/json": media}}
    return found


def _access(route: Route) -> str:
    words = {PUBLIC: "Needs no key.", ANY_KEY: "Needs any live key.", OPERATOR: "For the operator only."}
    return words.get(route.scope, f"Needs a key with the scope `{route.scope}` (or `admin`).")


def parameters(route: Route) -> list[Schema]:
    """Return the parameters of a route: path, query, headers."""
    found = [{"name": name, "in": "path", "required": True, "schema": _ID} for name in _names_in(route.path)]
    schema = route.query.model_json_schema()
    for name, shape in schema.get("properties", {}).items():
        if name != "store" or (route.store is not StoreUse.NONE and route.scope != PUBLIC):
            found.append(_query(name, shape, required=name in schema.get("required", ())))
    return found + _headers(route)


def _query(name: str, shape: Schema, *, required: bool) -> Schema:
    """Return a query parameter: one that may be left out is not `null` when it is there."""
    described = {key: value for key, value in shape.items() if key not in {"title", "description", "anyOf"}}
    branches = [branch for branch in shape.get("anyOf", ()) if branch.get("type") != "null"]
    for branch in branches:
        described |= {key: value for key, value in branch.items() if key != "description"}
    if described.get("default", 0) is None:
        del described["default"]
    text = shape.get("description") or next((branch["description"] for branch in branches if "description" in branch), "")
    return {"name": name, "in": "query", "required": required, "description": text, "schema": described}


def _headers(route: Route) -> list[Schema]:
    found = []
    if route.store is not StoreUse.NONE and route.scope != PUBLIC:
        found.append(
            _header(
                STORE_HEADER, "the store to act for, as `?store=`; for an operator", {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
            )
        )
    if route.method == "POST" and route.remembered:
        found.append(_header(IDEMPOTENCY, "the same for a request that is sent again", {"type": "string", "pattern": "^[!-~]{1,128}$"}))
    if route.if_match is not IfMatch.NONE:
        needed = route.if_match is IfMatch.MUST
        text = "the ETag of the version that the change is made from" + ("" if needed else "; left out, any")
        found.append(_header("If-Match", text, {"type": "string", "examples": ['"3"']}, required=needed))
    if route.version and route.method == "GET":
        found.append(_header("If-None-Match", "an ETag; 304 when it is still that version", {"type": "string", "examples": ['"3"']}))
    return found


def _header(name: str, text: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"name": name, "in": "header", "required": required, "description": text, "schema": schema}


def _success(route: Route, names: Names) -> Schema:
    headers: Schema = {REQUEST_ID: {"description": "names this request in the operator's log", "schema": {"type": "string"}}}
    if route.version:
        headers["ETag"] = {"description": "the version", "schema": {"type": "string"}}
    if route.status == 201:  # noqa: PLR2004  # Created
        headers["Location"] = {"description": "where it is", "schema": {"type": "string"}}
    found: Schema = {"description": route.summary, "headers": headers}
    if route.answer is not None:
        found["content"] = {route.content_type: {"schema": names[route.answer, "serialization"]}}
    elif route.status != 204:  # noqa: PLR2004  # No Content
        types = (route.content_type, *route.other_types)
        found["content"] = {kind: {"schema": {} if kind == "application/json" else {"type": "string"}} for kind in types}
    return found


def _problems(route: Route, names: Names) -> Schema:
    by_status: dict[int, list[Code]] = {}
    for code in codes_of(route):
        by_status.setdefault(MEANINGS[code].status, []).append(code)
    found: Schema = {str(status): _problem(codes, names) for status, codes in by_status.items()}
    if route.version and route.method == "GET":
        found["304"] = {"description": "Still the version that If-None-Match names"}
    return found


def _problem(codes: Sequence[Code], names: Names) -> Schema:
    text = "; ".join(f"`{code}`: {MEANINGS[code].title}" for code in codes)
    media = {"schema": names[Problem, "serialization"]}
    return {"description": text, "content": {CONTENT_TYPE: media}}


def _names_in(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]
