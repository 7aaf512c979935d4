"""The reference of the REST API, from the OpenAPI document that the console serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import orjson

from deploy.site.markdown import table
from hookline.console.api.table import ROUTES
from hookline.console.http.openapi import document

Part: TypeAlias = dict[str, Any]
_COMMON: Final = {"store", "Hookline-Store"}
_JSON: Final = "application/json"


def openapi() -> bytes:
    """Return the document itself."""
    return orjson.dumps(document(ROUTES), option=orjson.OPT_INDENT_2)


def routes() -> str:
    """Return the page of all routes by subject."""
    whole: Part = document(ROUTES)
    subjects: dict[str, list[tuple[str, str, Part]]] = {}
    for path, methods in whole["paths"].items():
        for method, found in methods.items():
            subjects.setdefault(found["tags"][0], []).append((path, method, found))
    parts = [
        "# REST API\n",
        "Manners, keys and limits that all routes share: [the REST API](../api.md). The same as [OpenAPI 3.1](openapi.json);",
        "a running console serves it at `/api/v1/openapi.json`, and with every field and example at `/api/v1/docs`.",
        "An operator names the store with `?store=` or `Hookline-Store`.\n",
    ]
    for tag, those in subjects.items():
        parts.append(f"## {tag}\n")
        for path, method, operation in those:
            parts += _operation(path, method.upper(), operation, whole)
    return "\n".join(parts)


def _operation(path: str, method: str, operation: Part, whole: Part) -> Iterator[str]:
    yield f"### {method} {path}\n"
    yield f"{operation['summary']}.\n"
    yield operation.get("description", "") + "\n"
    given = [
        (f"`{each['name']}`", each["in"], "yes" if each["required"] else "", _words(each["schema"], each.get("description", "")))
        for each in operation.get("parameters", [])
        if each["name"] not in _COMMON
    ]
    if given:
        yield table(("parameter", "in", "required", "what"), given)
    if _JSON in operation.get("requestBody", {}).get("content", {}):
        yield from _body(operation["requestBody"]["content"][_JSON]["schema"], whole)
    rows = [(status, answer["description"]) for status, answer in operation["responses"].items()]
    yield table(("answer", "what"), rows)


def _body(schema: Part, whole: Part) -> Iterator[str]:
    found = whole["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
    required = found.get("required", [])
    rows = [
        (f"`{name}`", "yes" if name in required else "", _words(field, field.get("description", "")))
        for name, field in found.get("properties", {}).items()
    ]
    if rows:
        yield table(("field of the body", "required", "what"), rows)


def _words(schema: Part, text: str) -> str:
    """Return a description, with the values that are allowed and the default where the schema names them."""
    allowed = ", ".join(f"`{value}`" for value in schema.get("enum", []))
    default = f"default `{schema['default']}`" if schema.get("default") not in (None, "") else ""
    return "; ".join(filter(None, (text, f"one of {allowed}" if allowed else "", default)))
