"""What is wrong is said to the people of a shop: no page speaks of the API's fields, headers, routes, commands or patterns."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

import hookline.console
from hookline.console.api.api_keys import ApiKeyCreate
from hookline.console.api.replays_models import ReplayCreate
from hookline.console.api.table import ROUTES
from hookline.console.api.webhook_models import WebhookCreate
from hookline.console.http import bodies
from hookline.console.http.problems import Code, Refused
from hookline.console.panel.faults import fault_of
from hookline.kernel.config import load
from hookline.kernel.errors import Conflict, HooklineError, InputError, Stale, UrlNotAllowed
from hookline.webhooks.urls import UrlPolicy, check_url

ROOT: Final = Path(hookline.console.__path__[0]).resolve().parent
REACHED: Final = (
    *(f"console/{name}" for name in ("api/*.py", "panel/*.py", "panel/pages/*.py", "users*.py", "sign*.py", "jobs*.py", "letters*.py")),
    *(f"console/http/{name}.py" for name in ("bodies", "cursors", "pools", "throttle")),
    *("console/resends.py", "console/trials*.py", "webhooks/*.py", "producers/api_keys.py", "schemas/events.py", "schemas/checks.py"),
)
"""The modules whose errors can come to a page."""
JARGON: Final = re.compile(
    r"`|\b(GET|POST|PATCH|PUT) |/api/|\?[a-z]+=|docs/|\.md\b|Retry-After|If-Match|ETag|Idempotency|next_cursor|Bearer|Avro"
    r"|[Ii]nput should|[Ss]tring should|should (match|have)|pattern '|\^\[|[Rr]ead (it|the thing) again|datetime|UUID|%2B"
    r"|\b[a-z]+_[a-z_]+\b|hookline [a-z]+|route\b|JSON object; the"
)
OWN: Final = re.compile(r"data\.[a-z_.]+|type, store_id and data|HOOKLINE_[A-Z_]+|whsec_|Hookline-[A-Z][a-z]+")
"""What looks like jargon and is not: the fields of events, settings for whoever runs Hookline, what secrets begin with."""


def texts_of(node: ast.expr) -> str:
    """Return the text of a literal, what is put into it as x."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
    return ""


def raised() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield where an error is made, what it is, its message, field and remedy, as far as they are written out."""
    kinds = {"InputError", "NotFound", "Conflict", "Stale", "LimitExceeded", "Unauthorized", "Refused"}
    for pattern in REACHED:
        for path in sorted(ROOT.glob(pattern)):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds and node.args:
                    named = {word.arg: texts_of(word.value) for word in node.keywords}
                    message = texts_of(node.args[-1])
                    yield f"{path.name}:{node.lineno}", node.func.id, message, named.get("field", ""), named.get("remedy", "")


def said(error: HooklineError) -> str:
    """Return all that a page says of an error."""
    found = fault_of(error)
    return f"{found.title} | {found.detail} | {found.remedy}"


def jargon(text: str) -> str:
    """Return the first word that is not for the people of a shop, empty for none."""
    found = JARGON.search(OWN.sub("", text))
    return found[0] if found is not None else ""


def test_every_code_is_told_in_plain_words() -> None:
    """Its title and its remedy, also where the error itself says nothing."""
    found = {code: said(Refused(code, "It failed")) for code in Code if code is not Code.PAYLOAD_TOO_LARGE}
    assert {code: jargon(text) for code, text in found.items() if jargon(text)} == {}


def test_every_error_in_the_code_is_told_in_plain_words() -> None:
    """All that pages can meet are walked: their messages and remedies, as they are written."""
    kinds: dict[str, Any] = {"Conflict": Conflict, "Stale": Stale}
    found, wrong = 0, {}
    for place, kind, message, field, remedy in raised():
        error = kinds.get(kind, InputError)(message or "X", field=field, remedy=remedy)
        found += 1
        if jargon(said(error)):
            wrong[place] = said(error)
    assert found > 80
    assert wrong == {}


VALUES: Final[tuple[object, ...]] = (
    "",
    "x" * 9_000,
    "a\u202eb",
    "\x07",
    -1,
    0,
    10**7,
    1.5,
    True,
    None,
    [],
    ["nonsense"],
    {"a": 1},
    {"bad name": "x"},
    {"a": None},
)
FORMS: Final = ("webhooks.create", "webhooks.update", "webhooks.disable", "webhooks.rotate-secret", "webhooks.test", "api-keys.create")


@pytest.mark.parametrize("name", [*FORMS, "replays.create"])
def test_every_field_of_every_form_is_told_in_plain_words(name: str) -> None:
    """Each is given what it cannot be: what is said of it is none of the validator's words, and not the API's name of the field."""
    route = next(route for route in ROUTES if route.name == name)
    assert route.body is not None
    faulty = [{**(route.example or {}), field: value} for field in route.body.model_fields for value in VALUES]
    told = {text for body in (*faulty, {"nonsense_of_mine": 1}) if (text := refused(route.body, body))}
    assert len(told) > 1
    assert {text: jargon(text) for text in told if jargon(text)} == {}


@pytest.mark.parametrize("name", ["deliveries.list", "dead-letters.list", "replays.list", "audit.list", "api-keys.list", "statistics.get"])
def test_every_filter_of_every_list_is_told_in_plain_words(name: str) -> None:
    """The same for what stands in the address of a page."""
    query = next(route for route in ROUTES if route.name == name).query
    told = set()
    for field in (one.alias or key for key, one in query.model_fields.items()):
        for value in ("", "x" * 3_000, "a\u202eb", "-1", "2026-13-45T00:00:00Z", "nonsense-of-mine"):
            try:
                bodies.query_of(query, [(field, value)])
            except InputError as error:
                told.add(said(error))
    assert len(told) > 1
    assert {text: jargon(text) for text in told if jargon(text)} == {}


def refused(model: type[Any], body: dict[str, Any]) -> str:
    """Return what a page says of a body, empty when it is taken."""
    try:
        bodies.body_of(model, orjson.dumps(body))
    except InputError as error:
        return said(error)
    return ""


@pytest.mark.parametrize(
    ("model", "body", "words", "field"),
    [
        (WebhookCreate, {"url": "", "event_types": ["order.paid"]}, "The URL is empty", "url"),
        (ApiKeyCreate, {"scopes": []}, "What the key may do must not be empty: choose at least one", "scopes"),
        (ApiKeyCreate, {"scopes": ["admin"], "name": "a\u202eb"}, "The name holds characters that cannot be seen", "name"),
        (ApiKeyCreate, {"scopes": ["admin"], "expires_in_days": 0}, "The days until the key expires must be at least 1", "expires"),
    ],
)
def test_what_is_said_and_where(model: type[Any], body: dict[str, Any], words: str, field: str) -> None:
    """The words, and the field of the form that they are about."""
    with pytest.raises(InputError) as caught:
        bodies.body_of(model, orjson.dumps(body))
    found = fault_of(caught.value)
    assert (found.detail, found.field) == (words, field)


def test_a_filter_that_does_not_go_with_its_source() -> None:
    """The words of the form, and the path of what is at fault."""
    for given, words, field in (
        ({}, "Choose at least one filter of the log: that would make everything again", "filter"),
        ({"reason": "gone"}, "Reason is no filter of the log", "filter.reason"),
    ):
        with pytest.raises(InputError) as caught:
            ReplayCreate.model_validate({"source": "log", "filter": given}).check_filter()
        found = fault_of(caught.value)
        assert (found.detail, found.field) == (words, field)


def test_what_is_good_in_the_errors_own_words_stays() -> None:
    """A remedy for people, the fields of an event, the reason that a URL is refused."""
    assert fault_of(InputError("Wrong", remedy="Do it so.")).remedy == "Do it so."
    assert fault_of(InputError("data.order.number is missing", field="data.order.number")).detail == "data.order.number is missing"
    with pytest.raises(UrlNotAllowed) as caught:
        check_url("http://shop.example", load(UrlPolicy, {}))
    assert "HOOKLINE_ALLOW_HTTP" in fault_of(caught.value).remedy


def test_a_conflict_names_its_webhook() -> None:
    """So that a page can lead to it; other errors name none."""
    found = fault_of(Conflict("wh_0a1 already sends order.paid to this URL", field="url"))
    assert (found.webhook_id, found.detail) == ("wh_0a1", "Another webhook already sends order.paid to this URL")
    assert fault_of(Stale("wh_0a1 was changed meanwhile")).detail == "The webhook was changed meanwhile"
    assert fault_of(InputError("wh_0a1 is wrong")).webhook_id == ""
