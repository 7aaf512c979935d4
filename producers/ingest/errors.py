"""What ingest answers when it does not take an event: the closed list of codes, and `application/problem+json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from hookline.kernel.errors import (
    BrokerError,
    BrokerUnavailable,
    Closed,
    HooklineError,
    InputError,
    QueueFull,
    Undelivered,
)

AGAIN: Final = "Send it again with the same id: a copy that did arrive is then recognised."
BATCH_REFUSED: Final = "batch_refused"


@dataclass(frozen=True, slots=True)
class Code:
    """One way to be refused: its HTTP status and when it happens; a client may rely on the pair."""

    status: int
    meaning: str


CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "malformed_request": Code(400, "the HTTP itself is broken: headers, chunks, two lengths, not one Host"),
        "empty_body": Code(400, "there is no body"),
        "malformed_json": Code(400, "not JSON: NaN, trailing data, a byte order mark, not UTF-8, half a surrogate pair"),
        "duplicate_key": Code(400, "a key stands twice in one object"),
        "number_too_large": Code(400, "a whole number of more than 64 bits"),
        "nested_too_deep": Code(400, "more than 64 levels of objects and lists"),
        "malformed_encoding": Code(400, "the gzip data are broken or incomplete"),
        "unauthorized": Code(401, "the API key is missing, malformed, unknown, expired or revoked"),
        "missing_scope": Code(403, "the API key lacks the scope events:write"),
        "other_store": Code(403, "the event names a store that is not the API key's"),
        "not_found": Code(404, "no such path"),
        "method_not_allowed": Code(405, "not POST"),
        "body_timeout": Code(408, "the body did not arrive in time"),
        "idempotency_mismatch": Code(409, "the id or Idempotency-Key was used for another body"),
        "length_required": Code(411, "neither Content-Length nor chunks"),
        "body_too_large": Code(413, "the body is over the limit, packed or unpacked, or packed more than 100 times"),
        "payload_too_large": Code(413, "one event is over the limit"),
        "batch_too_large": Code(413, "too many events in one request"),
        "url_too_long": Code(414, "the request line is over 8 KiB"),
        "content_type_unsupported": Code(415, "not application/json in UTF-8"),
        "encoding_unsupported": Code(415, "a Content-Encoding other than gzip"),
        "expectation_unsupported": Code(417, "an Expect other than 100-continue"),
        "invalid": Code(422, "a field is missing, unknown, of the wrong type or out of range; `field` is its path"),
        "unknown_event_type": Code(422, "the type is not in the catalogue"),
        "occurred_at_out_of_range": Code(422, "occurred_at lies too far back or ahead"),
        "too_many_failures": Code(429, "too many wrong API keys from this address"),
        "headers_too_large": Code(431, "too many or too long headers"),
        "internal_error": Code(500, "our fault"),
        "overloaded": Code(503, "too many events wait for Kafka"),
        "broker_unavailable": Code(503, "Kafka does not confirm; the event is not, or possibly not, taken"),
        "undelivered": Code(503, "Kafka did not confirm in time; the event may have arrived"),
        "stopping": Code(503, "this process is going away"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One refusal as the client sees it.

    `field` is the path of what is wrong, or empty; `event_id` the id under which to try again, or empty;
    `retry_after_s` 0 means that the same request will be refused again.
    """

    code: str
    detail: str
    field: str = ""
    remedy: str = ""
    event_id: str = ""
    retry_after_s: int = 0

    @property
    def status(self) -> int:
        """The HTTP status, decided by the code."""
        return CODES[self.code].status

    def members(self) -> dict[str, Any]:
        """Return the members that an item of a batch and a whole answer have in common; empty ones are left out."""
        found = {"code": self.code, "detail": self.detail, "field": self.field, "remedy": self.remedy, "id": self.event_id}
        return {"status": self.status, **{name: text for name, text in found.items() if text}}

    def body(self) -> dict[str, Any]:
        """Return the problem as RFC 9457 has it."""
        return {"type": "about:blank", "title": HTTPStatus(self.status).phrase, **self.members()}


class Refused(HooklineError):
    """A request, or one of its events, is not taken."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, remedy=problem.remedy)
        self.problem = problem


def refused(code: str, detail: str, *, field: str = "", remedy: str = "", retry_after_s: int = 0) -> Refused:
    """Return the error of a refusal by one of `CODES`."""
    return Refused(Problem(code=code, detail=detail, field=field, remedy=remedy, retry_after_s=retry_after_s))


def problem_of(error: HooklineError, *, event_id: str = "", prefix: str = "") -> Problem:
    """Return what a client is told of an error, without anything about our inside; `prefix` goes before its field."""
    if isinstance(error, Refused):
        return _under(error.problem, prefix)
    if isinstance(error, InputError):
        code = error.code if error.code in CODES else "invalid"
        return _under(Problem(code=code, detail=error.message, field=error.field, remedy=error.remedy), prefix)
    if isinstance(error, BrokerError | Closed):
        return _unavailable(error, event_id)
    return Problem(code="internal_error", detail="Something broke on our side", remedy=AGAIN, event_id=event_id)


def _under(problem: Problem, prefix: str) -> Problem:
    if not prefix or not problem.field:
        return problem
    field = f"{prefix}.{problem.field}"
    return Problem(code=problem.code, detail=problem.detail, field=field, remedy=problem.remedy, retry_after_s=problem.retry_after_s)


def _unavailable(error: HooklineError, event_id: str) -> Problem:
    """Return a problem in our own words: those of Kafka name its hosts and topics."""
    code, detail = "broker_unavailable", "The event log does not take events at the moment"
    if isinstance(error, QueueFull):
        code, detail = "overloaded", "Too many events wait for the event log"
    elif isinstance(error, Undelivered):
        code, detail = "undelivered", "The event log did not confirm the event in time"
    elif isinstance(error, Closed):
        code, detail = "stopping", "This process is about to stop"
    wait_s = 5 if isinstance(error, BrokerUnavailable) else 1
    return Problem(code=code, detail=detail, remedy=AGAIN, event_id=event_id, retry_after_s=wait_s)
