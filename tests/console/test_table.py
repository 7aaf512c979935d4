"""The route table and what is made of it: rows that agree with each other, OpenAPI, the documented codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from openapi_spec_validator import validate

from hookline.console.api import api_keys
from hookline.console.api.table import ROUTES
from hookline.console.http import reference
from hookline.console.http.openapi import codes_of, document
from hookline.console.http.problems import MEANINGS, RETRY_AFTER_S, Code, Refused, code_of, trouble
from hookline.console.http.routes import KNOWN_SCOPES, PUBLIC, Route
from hookline.kernel import errors
from hookline.kernel.errors import HooklineError
from hookline.producers.api_keys import SCOPES
from hookline.producers.ingest.errors import CODES

pytestmark = pytest.mark.unit

API_MD = Path(__file__).parents[2] / "docs" / "api.md"
RECORDED_ELSEWHERE = {"events.publish"}


def names(route: Route) -> str:
    """Return what a case is called."""
    return route.name


def test_names_and_addresses_are_unique() -> None:
    """Two rows never share an operation id, nor a method and path."""
    assert len({route.name for route in ROUTES}) == len(ROUTES)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=names)
def test_a_row_is_whole(route: Route) -> None:
    """A known scope, a summary without a full stop, an audit of every change, an example that the route's own model takes."""
    assert route.scope in KNOWN_SCOPES
    assert route.summary
    assert not route.summary.endswith(".")
    assert bool(route.action) == (route.method != "GET" and route.name not in RECORDED_ELSEWHERE)
    assert route.scope != PUBLIC or route.method == "GET"
    if route.body is not None:
        assert route.example
        route.body.model_validate(route.example)


def test_the_document_says_whether_if_match_is_needed() -> None:
    """PATCH and DELETE must have it (428 without), the changes of a state may; both can be stale (412)."""
    paths = document(ROUTES)["paths"]

    def told(method: str, path: str) -> tuple[list[bool], set[str]]:
        operation = paths[f"/api/v1/webhooks/{{id}}{path}"][method]
        needed = [p["required"] for p in operation["parameters"] if p["name"] == "If-Match"]
        return needed, {"412", "428"} & set(operation["responses"])

    for method in ("patch", "delete"):
        assert told(method, "") == ([True], {"412", "428"})
    for verb in ("pause", "resume", "enable", "disable", "rotate-secret"):
        assert told("post", f"/{verb}") == ([False], {"412"})
    assert told("post", "/test") == ([], set())


def test_the_openapi_document_is_valid() -> None:
    """It is OpenAPI 3.1 by the validator of its makers, and names every route."""
    found = document(ROUTES)
    validate(found)
    assert found["openapi"] == "3.1.0"
    operations = {operation["operationId"]: operation for methods in found["paths"].values() for operation in methods.values()}
    assert sorted(operations) == sorted(route.name for route in ROUTES)
    for route in ROUTES:
        assert operations[route.name]["security"] == ([] if route.scope == PUBLIC else [{"key": []}])
        assert {int(status) for status in operations[route.name]["responses"]} >= {MEANINGS[code].status for code in codes_of(route)}


def test_every_schema_is_closed_and_explained() -> None:
    """No body and no answer takes or gives fields that its schema does not name; each says what it is."""
    schemas: dict[str, Any] = document(ROUTES)["components"]["schemas"]
    for name, schema in schemas.items():
        assert schema.get("additionalProperties") is False or "enum" in schema, name
        assert schema.get("description") or name.endswith("Page"), name


def test_the_reference_needs_nobody_else() -> None:
    """The page for people names every route and code, and loads nothing from another host and no script."""
    page = reference.page(ROUTES).decode()
    assert all(f'id="{route.name}"' in page for route in ROUTES)
    assert all(f'id="code-{code}"' in page for code in Code)
    assert re.findall(r'(?:src|href)="(?!#|/api/v1/)[^"]*"', page) == []
    assert "<script" not in page
    assert "style=" not in page


def test_the_reference_lists_every_model_once_and_links_to_it() -> None:
    """Whatever a request or an answer is made of has one table with all its fields, and is linked from where it is named."""
    page, schemas = reference.page(ROUTES).decode(), document(ROUTES)["components"]["schemas"]
    articles = dict(re.findall(r'<article id="model-(\w+)">(.*?)</article>', page, re.DOTALL))
    assert sorted(articles) == sorted(schemas)
    assert page.count('<article id="model-') == len(articles)
    for name, schema in schemas.items():
        shown = re.findall(r"<tr><td><code>(\w+)</code>", articles[name])
        assert shown == list(schema.get("properties", {})), name
        named = {ref.rpartition("/")[2] for ref in re.findall(r"#/components/schemas/\w+", str(schema.get("properties", {})))}
        assert {f'<a href="#model-{one}">{one}</a>' for one in named} <= set(re.findall(r"<a .*?</a>", articles[name])), name
    linked = set(re.findall(r'href="#(model-\w+)"', page))
    assert linked <= {f"model-{name}" for name in articles}
    assert {"model-ReplayFilter", "model-DeliveryLine", "model-AttemptDetail", "model-FieldValue", "model-WebhookShare"} <= linked


def test_every_code_is_documented() -> None:
    """The table of docs/api.md is the closed list: code, status, meaning, remedy."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+) \| (.+) \|$", API_MD.read_text("utf-8"), re.MULTILINE)
    assert rows == [(str(code), str(meaning.status), meaning.title, meaning.remedy) for code, meaning in MEANINGS.items()]


def test_every_code_has_a_meaning_and_waiting_ones_a_time() -> None:
    """429 and 503 come with Retry-After, and with nothing else does it."""
    assert set(MEANINGS) == set(Code)
    assert {code for code, meaning in MEANINGS.items() if meaning.status in {429, 503}} == set(RETRY_AFTER_S)


def test_codes_are_those_of_ingest_where_both_have_them() -> None:
    """A code that ingest and the API both know means the same status in both, so one client handles both."""
    shared = set(CODES) & {str(code) for code in Code}
    assert len(shared) >= 20
    assert {code: CODES[code].status for code in shared} == {code: MEANINGS[Code(code)].status for code in shared}


def _all_errors(kind: type[HooklineError] = HooklineError) -> list[type[HooklineError]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in _all_errors(sub))]


@pytest.mark.parametrize("kind", [k for k in _all_errors() if k.__module__ == errors.__name__], ids=lambda kind: kind.__name__)
def test_our_own_faults_tell_nothing_of_our_inside(kind: type[HooklineError]) -> None:
    """Of a fault that is ours the caller hears the code's own words; of a fault that is his, what he has to mend."""
    error = kind("kafka-3.internal:9092 is away")
    error.remedy = "Run `hookline topics create`."
    told = trouble(error)
    assert told.problem.code is code_of(kind("x"))
    assert "hookline topics" not in told.problem.remedy
    assert ("kafka-3" in told.problem.detail) == (told.problem.status < 500)
    assert ("Retry-After" in told.headers) == (told.problem.status in {429, 503})


def test_a_refusal_keeps_its_words_and_headers() -> None:
    """What a handler refuses is told as it says, also with a status of 503."""
    told = trouble(Refused(Code.OVERLOADED, "3 are under way", headers={"Retry-After": "9"}))
    assert (told.problem.detail, told.headers["Retry-After"]) == ("3 are under way", "9")


def test_scopes_are_those_of_the_keys() -> None:
    """The model of a new key knows every scope that a key can have, and no other."""
    assert get_args(api_keys.Scope) == SCOPES
