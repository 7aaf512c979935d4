"""The reference for people: one page made of the OpenAPI document, rendered once, that needs no script and no other host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hookline.console.http.openapi import Schema, document
from hookline.console.http.problems import MEANINGS
from hookline.console.http.routes import PREFIX, Route

_FOLDER: Final = Path(__file__).parent / "templates"
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Field:
    """A line of a table: a parameter or a field of a model; `kind` says what its value is, with links to models."""

    name: str
    kind: Markup
    needed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Model:
    """What a body, an answer or a field of them is made of; one that is a choice of words has `words` and no fields."""

    name: str
    text: str
    fields: list[Field]
    words: list[str]


def page(routes: Iterable[Route]) -> bytes:
    """Return the reference as HTML."""
    found = document(routes)
    groups: dict[str, list[Schema]] = {}
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_shown(method.upper(), path, operation, found))
    template = _environment().get_template("reference.html")
    return template.render(info=found["info"], groups=groups, models=_models(found), meanings=MEANINGS, prefix=PREFIX).encode()


@cache
def style() -> bytes:
    """Return the style sheet of the reference."""
    return (_FOLDER / "reference.css").read_bytes()


@cache
def _environment() -> Environment:
    found = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["ticked"] = ticked
    return found


def ticked(text: str) -> Markup:
    """Return a text as HTML, with what stands between backticks as code."""
    parts = (Markup("<code>{}</code>" if index % 2 else "{}").format(part) for index, part in enumerate(text.split("`")))  # noqa: S704  # both are ours
    return Markup().join(parts)


def _shown(method: str, path: str, operation: Schema, whole: Schema) -> Schema:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    status, success = next((status, answer) for status, answer in operation["responses"].items() if status.startswith("2"))
    media: list[Schema] = list(success.get("content", {}).values())
    answer = media[0]["schema"] if media else {}
    return {
        "name": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "description": operation["description"],
        "parameters": [Field(p["name"], _kind(p["schema"]), p["required"], p.get("description", "")) for p in operation["parameters"]],
        "body": _fields(_resolved(body.get("schema", {}), whole)),
        "answer": _fields(_resolved(answer, whole)),
        "status": status,
        "problems": sorted((s, a["description"]) for s, a in operation["responses"].items() if s >= "4"),
        "curl": _curl(method, path, operation, body.get("example")),
    }


def _models(whole: Schema) -> list[Model]:
    """Return every model that a request or an answer leads to, by name: the document has no others."""
    return [
        Model(name, schema.get("description", ""), _fields(schema), [str(word) for word in schema.get("enum", ())])
        for name, schema in sorted(whole["components"]["schemas"].items())
    ]


def _fields(schema: Schema) -> list[Field]:
    needed = schema.get("required", ())
    return [
        Field(name, _kind(shape), name in needed, shape.get("description", "") or _inner_text(shape))
        for name, shape in schema.get("properties", {}).items()
    ]


def _resolved(schema: Schema, whole: Schema) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Schema = whole["components"]["schemas"][name] if name else schema
    return found


def _inner_text(shape: Schema) -> str:
    return next((str(branch["description"]) for branch in shape.get("anyOf", ()) if "description" in branch), "")


def _kind(shape: Schema) -> Markup:
    """Say in a few words what a value is; a model is named with a link to its fields."""
    if "anyOf" in shape:
        return Markup(" or ").join(_kind(branch) for branch in shape["anyOf"])
    if "$ref" in shape:
        return Markup('<a href="#model-{0}">{0}</a>').format(str(shape["$ref"]).rpartition("/")[2])
    if shape.get("type") == "array":
        return Markup("list of {}").format(_kind(shape.get("items", {})))
    if isinstance(shape.get("additionalProperties"), dict):
        return Markup("object of {}").format(_kind(shape["additionalProperties"]))
    return escape(_plain(shape))


def _plain(shape: Schema) -> str:
    if "enum" in shape:
        words = [orjson.dumps(word).decode() for word in shape["enum"][:_SHOWN]]
        return ", ".join(words) + (", …" if len(shape["enum"]) > _SHOWN else "")
    if "const" in shape:
        return orjson.dumps(shape["const"]).decode()
    kind = str(shape.get("type", "any"))
    return f"{kind} ({shape['format']})" if "format" in shape else kind + _bounds(shape)


def _bounds(shape: Mapping[str, Any]) -> str:
    low = shape.get("minimum", shape.get("minLength"))
    high = shape.get("maximum", shape.get("maxLength"))
    if high is None:
        return ""
    return f", {low} to {high}" if low is not None else f", at most {high}"


def _curl(method: str, path: str, operation: Schema, example: object) -> str:
    lines = [f"curl -X {method} https://hookline.example.com{path}"]
    if operation["security"]:
        lines.append("-H 'Authorization: Bearer hlk_...'")
    if any(p["name"] == "If-Match" and p["required"] for p in operation["parameters"]):
        lines.append("""-H 'If-Match: "3"'""")
    if example is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d '{orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()}'"]
    return " \\\n  ".join(lines)
