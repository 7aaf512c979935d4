"""What goes wrong, told in one form: `application/problem+json` with a code from a closed list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from hookline.kernel import errors
from hookline.kernel.errors import HooklineError, InputError
from hookline.producers.ingest.errors import Refused as IngestRefused

CONTENT_TYPE: Final = "application/problem+json"
REFERENCE: Final = "/api/v1/docs#code-"
_OWN_COMMAND: Final = "hookline "


class Code(StrEnum):
    """Every code that a problem can have; programs decide by it, people read the detail."""

    MALFORMED_REQUEST = "malformed_request"
    EMPTY_BODY = "empty_body"
    MALFORMED_JSON = "malformed_json"
    DUPLICATE_KEY = "duplicate_key"
    NUMBER_TOO_LARGE = "number_too_large"
    NESTED_TOO_DEEP = "nested_too_deep"
    UNAUTHORIZED = "unauthorized"
    MISSING_SCOPE = "missing_scope"
    OTHER_STORE = "other_store"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    BODY_TIMEOUT = "body_timeout"
    CONFLICT = "conflict"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    VERSION_STALE = "version_stale"
    BODY_TOO_LARGE = "body_too_large"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    BATCH_TOO_LARGE = "batch_too_large"
    URL_TOO_LONG = "url_too_long"
    CONTENT_TYPE_UNSUPPORTED = "content_type_unsupported"
    ENCODING_UNSUPPORTED = "encoding_unsupported"
    INVALID = "invalid"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    OCCURRED_AT_OUT_OF_RANGE = "occurred_at_out_of_range"
    URL_NOT_ALLOWED = "url_not_allowed"
    FILTER_INVALID = "filter_invalid"
    TEMPLATE_INVALID = "template_invalid"
    CERTIFICATE_INVALID = "certificate_invalid"
    CURSOR_INVALID = "cursor_invalid"
    LIMIT_EXCEEDED = "limit_exceeded"
    PRECONDITION_REQUIRED = "precondition_required"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_FAILURES = "too_many_failures"
    HEADERS_TOO_LARGE = "headers_too_large"
    INTERNAL_ERROR = "internal_error"
    OVERLOADED = "overloaded"
    BROKER_UNAVAILABLE = "broker_unavailable"
    UNDELIVERED = "undelivered"
    STOPPING = "stopping"
    WAREHOUSE_UNAVAILABLE = "warehouse_unavailable"
    NO_DISPATCHER = "no_dispatcher"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code stands for: its HTTP status, its title, and what to do when the error itself does not say."""

    status: int
    title: str
    remedy: str


MEANINGS: Final[Mapping[Code, Meaning]] = {
    Code.MALFORMED_REQUEST: Meaning(400, "The request is not HTTP as it should be", "Use an HTTP library; do not build requests by hand."),
    Code.EMPTY_BODY: Meaning(400, "There is no body", "Send a JSON object; the reference shows one for each route."),
    Code.MALFORMED_JSON: Meaning(400, "The body is not JSON", "Send one JSON value in UTF-8, without NaN or a byte order mark."),
    Code.DUPLICATE_KEY: Meaning(400, "A key stands twice in one object", "Send each key once."),
    Code.NUMBER_TOO_LARGE: Meaning(400, "A whole number has more than 64 bits", "Send it as a text."),
    Code.NESTED_TOO_DEEP: Meaning(400, "The body has more than 64 levels", "Send flatter JSON."),
    Code.UNAUTHORIZED: Meaning(401, "No valid API key", "Send `Authorization: Bearer hlk_...` with a live key."),
    Code.MISSING_SCOPE: Meaning(403, "The key may not do this", "Use a key with the scope that the reference names for this route."),
    Code.OTHER_STORE: Meaning(403, "The key belongs to another store", "Leave the store out: it is the key's own."),
    Code.NOT_FOUND: Meaning(404, "There is no such thing in this store", "List what there is, and take the id from there."),
    Code.METHOD_NOT_ALLOWED: Meaning(405, "This address does not know the method", "Use one of the methods that the Allow header names."),
    Code.NOT_ACCEPTABLE: Meaning(406, "The answer would not be of an accepted type", "Accept application/json."),
    Code.BODY_TIMEOUT: Meaning(408, "The body did not arrive in time", "Send it again over a better connection."),
    Code.CONFLICT: Meaning(409, "It exists already, or is in a state that forbids this", "Read the thing again and decide anew."),
    Code.IDEMPOTENCY_MISMATCH: Meaning(
        409, "The Idempotency-Key was used for another request", "Use a fresh Idempotency-Key for each new request."
    ),
    Code.VERSION_STALE: Meaning(412, "It was changed since it was read", "Read it again, and repeat the change with the new ETag."),
    Code.BODY_TOO_LARGE: Meaning(413, "The body is too large", "Send less at once; the reference names the limit of each route."),
    Code.PAYLOAD_TOO_LARGE: Meaning(413, "The event is too large", "Send ids in place of long texts."),
    Code.BATCH_TOO_LARGE: Meaning(413, "Too many events in one request", "Send several requests."),
    Code.URL_TOO_LONG: Meaning(414, "The URL is longer than 8 KiB", "Use fewer or shorter filters."),
    Code.CONTENT_TYPE_UNSUPPORTED: Meaning(415, "The body is not declared as JSON", "Send `Content-Type: application/json`."),
    Code.ENCODING_UNSUPPORTED: Meaning(415, "The body is packed in a way that is not understood", "Send it without Content-Encoding."),
    Code.INVALID: Meaning(422, "A value is wrong", "Correct the value that `field` names."),
    Code.UNKNOWN_EVENT_TYPE: Meaning(422, "There is no such event type", "GET /api/v1/event-types lists them."),
    Code.OCCURRED_AT_OUT_OF_RANGE: Meaning(422, "occurred_at lies too far back or ahead", "Leave it out, or mend the clock."),
    Code.URL_NOT_ALLOWED: Meaning(422, "The URL must not be called", "Give a public https URL with a host name."),
    Code.FILTER_INVALID: Meaning(
        422, "The filter is wrong", "Write CEL over type, store_id and data, such as data.order.totals.grand_total.amount_minor > 10000."
    ),
    Code.TEMPLATE_INVALID: Meaning(
        422, "The template is wrong", "Give a preset's name, or JSON whose texts hold CEL as ${data.order.number}."
    ),
    Code.CERTIFICATE_INVALID: Meaning(
        422,
        "The client certificate cannot be used",
        "Give a valid certificate with its chain, and its private key without a password, as PEM.",
    ),
    Code.CURSOR_INVALID: Meaning(
        422, "The cursor is not of this list", "Begin without a cursor; use next_cursor with the same filters, within a day."
    ),
    Code.LIMIT_EXCEEDED: Meaning(422, "A limit of the store is reached", "Delete or revoke what is no longer used."),
    Code.PRECONDITION_REQUIRED: Meaning(
        428, "The If-Match header is missing", "Read the thing and send its ETag as If-Match, so that no change of others is lost."
    ),
    Code.RATE_LIMITED: Meaning(429, "Too many requests of this kind", "Wait as many seconds as Retry-After says."),
    Code.TOO_MANY_FAILURES: Meaning(429, "Too many wrong API keys from this address", "Wait as many seconds as Retry-After says."),
    Code.HEADERS_TOO_LARGE: Meaning(431, "The headers are larger than 16 KiB", "Send fewer and shorter headers."),
    Code.INTERNAL_ERROR: Meaning(500, "Hookline failed", "Try again; if it stays, tell the operator the Hookline-Request header."),
    Code.OVERLOADED: Meaning(503, "Too much is going on", "Try again after as many seconds as Retry-After says."),
    Code.BROKER_UNAVAILABLE: Meaning(
        503, "Kafka does not answer", "Try again after Retry-After seconds; look first whether a change took effect."
    ),
    Code.UNDELIVERED: Meaning(503, "Kafka did not confirm in time; it may have arrived", "Send it again with the same id."),
    Code.STOPPING: Meaning(503, "This process is going away", "Try again: another one takes its place."),
    Code.WAREHOUSE_UNAVAILABLE: Meaning(503, "The log does not answer", "Try again after Retry-After seconds; deliveries go on meanwhile."),
    Code.NO_DISPATCHER: Meaning(503, "No dispatcher made the call in time", "Look into the log later: the call is made once one runs."),
}
RETRY_AFTER_S: Final[Mapping[Code, int]] = {
    Code.RATE_LIMITED: 60,
    Code.TOO_MANY_FAILURES: 60,
    Code.OVERLOADED: 1,
    Code.BROKER_UNAVAILABLE: 2,
    Code.UNDELIVERED: 1,
    Code.STOPPING: 1,
    Code.WAREHOUSE_UNAVAILABLE: 2,
    Code.NO_DISPATCHER: 10,
}
_CODES: Final[tuple[tuple[type[HooklineError], Code], ...]] = (
    (errors.Unauthorized, Code.UNAUTHORIZED),
    (errors.NotFound, Code.NOT_FOUND),
    (errors.Stale, Code.VERSION_STALE),
    (errors.Conflict, Code.CONFLICT),
    (errors.LimitExceeded, Code.LIMIT_EXCEEDED),
    (errors.PayloadTooLarge, Code.PAYLOAD_TOO_LARGE),
    (errors.UrlNotAllowed, Code.URL_NOT_ALLOWED),
    (errors.FilterError, Code.FILTER_INVALID),
    (errors.TemplateError, Code.TEMPLATE_INVALID),
    (errors.CertificateError, Code.CERTIFICATE_INVALID),
    (errors.UnknownEventType, Code.UNKNOWN_EVENT_TYPE),
    (errors.InputError, Code.INVALID),
    (errors.QueueFull, Code.OVERLOADED),
    (errors.Undelivered, Code.UNDELIVERED),
    (errors.BrokerError, Code.BROKER_UNAVAILABLE),
    (errors.RegistryUnavailable, Code.BROKER_UNAVAILABLE),
    (errors.Closed, Code.STOPPING),
    (errors.NoDispatcher, Code.NO_DISPATCHER),
    (errors.WarehouseUnavailable, Code.WAREHOUSE_UNAVAILABLE),
)


class Problem(BaseModel):
    """Why a request was refused or failed (RFC 9457)."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "example": {
                "type": f"{REFERENCE}{Code.URL_NOT_ALLOWED}",
                "title": "The URL must not be called",
                "status": 422,
                "code": "url_not_allowed",
                "detail": "The URL is not allowed: it must begin with https://",
                "field": "url",
                "remedy": "Give a public https URL with a host name.",
            }
        },
    )

    type: str = Field(description="where the code is explained", json_schema_extra={"format": "uri-reference"})
    title: str = Field(description="the code in words")
    status: int = Field(description="the HTTP status", ge=400, le=599)
    code: Code = Field(description="what a program decides by")
    detail: str = Field(description="what exactly is wrong, for people")
    field: str = Field(description="the path of the wrong value, or empty")
    remedy: str = Field(description="what to do")


class Refused(InputError):
    """A request that HTTP itself, not a resource, has reason to refuse; `headers` go with the answer."""

    def __init__(self, problem: Code, message: str, *, field: str = "", remedy: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.problem = problem
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem and the headers of its answer."""

    problem: Problem
    headers: Mapping[str, str] = field(default_factory=dict)


def code_of(error: HooklineError) -> Code:
    """Return the code under which an error is told."""
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, IngestRefused):
        return Code(error.problem.code)
    return next((code for kind, code in _CODES if isinstance(error, kind)), Code.INTERNAL_ERROR)


def trouble(error: HooklineError) -> Trouble:
    """Return what the caller is told. Of our own faults no more than the code: their words may name servers and paths."""
    code = code_of(error)
    meaning = MEANINGS[code]
    ours = meaning.status >= 500 and not isinstance(error, Refused | IngestRefused)  # noqa: PLR2004  # the class of our own faults
    inner = error.problem if isinstance(error, IngestRefused) else error
    problem = Problem(
        type=REFERENCE + code,
        title=meaning.title,
        status=meaning.status,
        code=code,
        detail=meaning.title if ours else error.message,
        field=getattr(inner, "field", ""),
        remedy=meaning.remedy if ours or not error.remedy or _OWN_COMMAND in error.remedy else error.remedy,
    )
    return Trouble(problem, _headers(code, error))


def _headers(code: Code, error: HooklineError) -> dict[str, str]:
    wait_s = error.problem.retry_after_s if isinstance(error, IngestRefused) else 0
    headers = {"Retry-After": str(wait_s or RETRY_AFTER_S[code])} if code in RETRY_AFTER_S else {}
    headers |= {"WWW-Authenticate": 'Bearer realm="hookline"'} if code is Code.UNAUTHORIZED else {}
    return headers | (error.headers if isinstance(error, Refused) else {})
