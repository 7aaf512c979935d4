"""What is wrong, said to the people of a shop: the API's problems without its own words for fields, headers, routes and commands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from hookline.console.http.models import UNKNOWN_TYPE, VISIBLE
from hookline.console.http.problems import MEANINGS, Code, Problem, trouble
from hookline.kernel.errors import HooklineError
from hookline.schemas.checks import LOOK_UP

_AGAIN: Final = "Try again in a few seconds."
TITLES: Final[Mapping[Code, str]] = {
    Code.MALFORMED_REQUEST: "The form cannot be read",
    Code.EMPTY_BODY: "The form is empty",
    Code.UNAUTHORIZED: "You are not signed in",
    Code.MISSING_SCOPE: "You may not do this",
    Code.OTHER_STORE: "This is of another store",
    Code.NOT_FOUND: "There is nothing here",
    Code.METHOD_NOT_ALLOWED: "This address is for forms only",
    Code.IDEMPOTENCY_MISMATCH: "This form was sent already",
    Code.OCCURRED_AT_OUT_OF_RANGE: "The time of the event lies too far back or ahead",
    Code.CURSOR_INVALID: "This page of the list is gone",
    Code.PRECONDITION_REQUIRED: "The page is too old",
    Code.RATE_LIMITED: "That was too often in a short time",
    Code.TOO_MANY_FAILURES: "That was wrong too often",
}
"""What a page of errors is called, where the API's title is about requests and keys."""
REMEDIES: Final[Mapping[Code, str]] = {
    Code.MALFORMED_REQUEST: "Go back, load the page again, and repeat what you did.",
    Code.EMPTY_BODY: "Go back, load the page again, and repeat what you did.",
    Code.MALFORMED_JSON: "Put the example in, and change that.",
    Code.DUPLICATE_KEY: "Take one of the two out.",
    Code.NUMBER_TOO_LARGE: "Write it in quotation marks.",
    Code.NESTED_TOO_DEEP: "Put the example in, and change that.",
    Code.UNAUTHORIZED: "Sign in again.",
    Code.MISSING_SCOPE: "Ask an admin of the store.",
    Code.OTHER_STORE: "Use the menu, or go back.",
    Code.NOT_FOUND: "It may have been deleted. Use the menu, or go back.",
    Code.METHOD_NOT_ALLOWED: "Use the menu, or go back.",
    Code.NOT_ACCEPTABLE: "Use the menu, or go back.",
    Code.CONFLICT: "Look at what is there now, and decide anew.",
    Code.IDEMPOTENCY_MISMATCH: "Load the page again for another.",
    Code.VERSION_STALE: "Load the page again: it shows what is there now.",
    Code.CONTENT_TYPE_UNSUPPORTED: "Go back, load the page again, and repeat what you did.",
    Code.ENCODING_UNSUPPORTED: "Go back, load the page again, and repeat what you did.",
    Code.BODY_TOO_LARGE: "Shorten what you typed.",
    Code.INVALID: "",
    Code.UNKNOWN_EVENT_TYPE: "The event catalogue has them all.",
    Code.OCCURRED_AT_OUT_OF_RANGE: "",
    Code.CURSOR_INVALID: "Go back to the first page of the list.",
    Code.PRECONDITION_REQUIRED: "Load the page again, and repeat what you did.",
    Code.RATE_LIMITED: "Wait a minute, then try again.",
    Code.TOO_MANY_FAILURES: "Wait a minute, then try again.",
    Code.INTERNAL_ERROR: "Try again. If it stays, tell whoever runs Hookline the number of the request below.",
    Code.OVERLOADED: _AGAIN,
    Code.BROKER_UNAVAILABLE: "Try again in a few seconds; look first whether the change took effect.",
    Code.UNDELIVERED: "Look first whether it arrived; then try again.",
    Code.STOPPING: _AGAIN,
    Code.WAREHOUSE_UNAVAILABLE: "Try again in a few seconds. Deliveries go on meanwhile.",
    Code.NO_DISPATCHER: "Look into the log later: the call is made as soon as a dispatcher runs.",
}
"""What to do, where an error does not say itself."""
_SAID: Final[Mapping[str, str]] = {
    "Send another with POST /webhooks/{id}/test.": "Send another from the webhook's page.",
    "Export one part after the other: narrow `from` and `to`.": "Export one part after the other: choose a shorter time.",
    "It may be older than events are kept; for an id of your own that no webhook was called for, give ?published=.": (
        "It may be older than events are kept. If the id is of your own making and no webhook was called for it, say when it was published."
    ),
    "Read it again and repeat the change.": REMEDIES[Code.VERSION_STALE],
    "Use datetime.now(UTC).": "",
    "Look the id up with GET /webhooks.": "Choose one of the list.",
    "Send `Authorization: Bearer hlk_...`.": REMEDIES[Code.UNAUTHORIZED],
    "A fresh UUID is a good one.": REMEDIES[Code.MALFORMED_REQUEST],
}
"""Remedies that are the API's own, and what they are to people who have a page before them."""
_WORDS: Final[Sequence[tuple[re.Pattern[str], str]]] = (
    (re.compile(re.escape(LOOK_UP)), "The event catalogue lists the fields of each type."),
    (re.compile(r"This Idempotency-Key made another replay"), "This form was sent already, with other values"),
    (re.compile(r"\ban aware datetime\b"), "a time with its zone"),
    (re.compile(r" \(Avro [a-z]+\)"), ""),
    (re.compile(r"; in a URL write \+ as %2B"), ""),
    (re.compile(r"; null in a change keeps it, and no headers at all keep all"), ""),
    (re.compile(r"\bfilter\.([a-z]+) does not go with the source log\b"), r"\1 is no filter of the log"),
    (re.compile(r"\bfilter\.([a-z]+) does not go with the source dead_letters\b"), r"\1 is no filter of dead letters"),
    (re.compile(r"The filter must not be empty for the source log"), "choose at least one filter of the log"),
)
LABELS: Final[Mapping[str, str]] = {
    "url": "The URL",
    "name": "The name",
    "event_type": "The event type",
    "event_types": "The event types",
    "filter": "The filter",
    "headers": "The headers",
    "timeout_s": "The seconds that one call may take",
    "schedule": "The choice of retries",
    "secret": "The secret",
    "reason": "The reason",
    "overlap_s": "The time that the old secret signs too",
    "scopes": "What the key may do",
    "expires_in_days": "The days until the key expires",
    "source": "The source",
    "rate": "The pace",
    "max": "The maximum",
    "webhook": "The webhook",
    "event": "The event id",
    "event_id": "The event id",
    "from": "The start of the time",
    "to": "The end of the time",
    "category": "The category",
    "again": "The choice of letters that were replayed before",
    "ids": "The choice of dead letters",
    "status": "The HTTP status",
    "outcome": "The outcome",
    "error": "The kind of error",
    "trigger": "What made the call",
    "job": "The replay",
    "state": "The state",
    "published": "The time of publishing",
    "days": "The number of days",
    "points": "The length of a point",
    "each": "The choice of lines",
    "limit": "The number of lines",
    "cursor": "The page of the list",
    "action": "The kind of change",
    "actor": "Who did it",
    "target": "The id of what was changed",
    "replayed": "The choice of letters",
    "data": "The data",
    "store": "The store",
    "store_id": "The store",
    "dry_run": "The form",
    "format": "The format",
    "id": "The id",
    "occurred_at": "The time of the event",
}
"""What people call the fields of the API."""
_FORM_FIELDS: Final[Mapping[str, str]] = {"expires_in_days": "expires", "overlap_s": "overlap"}
_ID: Final = re.compile(r"\bwh_[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A problem as a page tells it; `field` is the form's, or empty; `webhook_id` is the webhook that it names, or empty."""

    title: str
    status: int
    code: Code
    detail: str
    field: str
    remedy: str
    webhook_id: str = ""


def fault_of(error: HooklineError) -> Fault:
    """Return what a person is told of an error."""
    problem = trouble(error).problem
    cause = error.__cause__
    detail = _of_form(cause) if isinstance(cause, ValidationError) and problem.code is Code.INVALID else plain(_labelled(problem))
    named = _ID.match(detail)
    if named is not None:
        detail = ("Another webhook" if "already" in detail else "The webhook") + detail[named.end() :]
    return Fault(
        title=TITLES.get(problem.code, problem.title),
        status=problem.status,
        code=problem.code,
        detail=detail if detail.startswith("data.") else detail[:1].upper() + detail[1:],
        field=_FORM_FIELDS.get(problem.field, problem.field),
        remedy=_remedy(problem, cause),
        webhook_id=named[0] if named is not None and problem.code is Code.CONFLICT else "",
    )


def plain(text: str) -> str:
    """Return a text of the API without what only its callers know."""
    for pattern, said in _WORDS:
        text = pattern.sub(said, text)
    return text


def label_of(path: str) -> str:
    """Return what people call a field of the API by its path; the fields of events keep their own names."""
    first, _, rest = path.partition(".")
    if first == "headers" and rest:
        return f"The header {rest}"
    if first == "data" and rest:
        return path
    last = re.sub(r"\[\d+\]", "", path).rpartition(".")[2]
    return LABELS.get(last, last)


def _labelled(problem: Problem) -> str:
    """Return the detail; where it begins with the field's name, with what people call that instead."""
    rest = problem.detail.removeprefix(problem.field) if problem.field in LABELS else problem.detail
    if rest != problem.detail and rest[:1] in {" ", ":"}:
        return label_of(problem.field) + rest
    return problem.detail


def _remedy(problem: Problem, cause: BaseException | None) -> str:
    if isinstance(cause, ValidationError) and problem.code is Code.INVALID:
        first = cause.errors(include_url=False, include_input=False)[0]
        return "Type it anew, or paste it as plain text." if _is_hidden(first) else ""
    if problem.remedy == MEANINGS[problem.code].remedy:
        return REMEDIES.get(problem.code, problem.remedy)
    return plain(_SAID.get(problem.remedy, problem.remedy))


def _of_form(error: ValidationError) -> str:
    """Return the first fault of a form in plain words; never the value itself, which may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    places, kind = [place for place in first["loc"] if place != "[key]"], first["type"]
    label = label_of(".".join(str(place) for place in places if not isinstance(place, int)))
    if kind == "value_error":
        said = plain(first["msg"].removeprefix("Value error, "))
        return f"{label} {said}" if label and said.startswith("must ") else f"{label}: {said}" if label else said
    if first["loc"][-1:] == ("[key]",):
        return f"{label} cannot be called so"
    return f"{label or 'The form'} {_fault(first)}"


def _fault(first: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, to be read after its label."""
    kind, given = first["type"], first.get("ctx", {})
    if _is_hidden(first):
        return "holds characters that cannot be seen"
    said = {
        "missing": "is missing",
        "extra_forbidden": "is nothing that this page knows",
        "string_too_short": "is empty",
        "too_short": "must not be empty: choose at least one",
        "string_too_long": f"has more than {given.get('max_length')} characters",
        "too_long": f"must be no more than {given.get('max_length')}",
        "greater_than_equal": f"must be at least {_figure(given.get('ge'))}",
        "less_than_equal": f"must be at most {_figure(given.get('le'))}",
        "literal_error": "must be one of the list",
        "enum": "must be one of the list",
        UNKNOWN_TYPE: "must be one of the event catalogue",
        "string_pattern_mismatch": "is not written as it should be",
    }
    if kind in said:
        return said[kind]
    if kind.startswith(("int_", "float_")):
        return "must be a whole number" if kind.startswith("int_") else "must be a number"
    return "is not as it should be"


def _is_hidden(first: Mapping[str, Any]) -> bool:
    return bool(first["type"] == "string_pattern_mismatch" and first.get("ctx", {}).get("pattern") == VISIBLE)


def _figure(value: object) -> str:
    return f"{value:,g}".replace(",", "\u202f") if isinstance(value, int | float) else str(value)
