"""One kind of failing call in plain words: what it is, and what to do about it. Pure; also told of a single test call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from hookline.console.panel import wording
from hookline.dispatcher.transport.phases import BAD_HEADER, HEAD_TOO_LONG, MOST_HEADERS, TOO_MANY_HEADERS, Phase


class Ailment(StrEnum):
    """What can be wrong with a webhook; a closed list."""

    TLS_NAME = "tls_name"
    TLS_EXPIRED = "tls_expired"
    TLS_EARLY = "tls_early"
    TLS_ISSUER = "tls_issuer"
    TLS_SPEECH = "tls_speech"
    TLS_CLIENT = "tls_client"
    TLS_OTHER = "tls_other"
    CERTIFICATE = "certificate"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    SECRET = "secret"  # noqa: S105  # a word
    WRONG_PATH = "wrong_path"
    WRONG_METHOD = "wrong_method"
    GONE = "gone"
    TOO_LARGE = "too_large"
    NO_JSON = "no_json"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    REDIRECT = "redirect"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    CONNECT_TIMEOUT = "connect_timeout"
    DNS_TIMEOUT = "dns_timeout"
    TLS_TIMEOUT = "tls_timeout"
    DNS = "dns"
    NOBODY_LISTENS = "nobody_listens"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    BLOCKED = "blocked"
    GARBAGE = "garbage"
    BAD_HEAD = "bad_head"
    TEMPLATE = "template"
    OURS = "ours"
    BREAKER = "breaker"
    PAUSED = "paused"
    DISABLED = "disabled"
    FILTER_ERROR = "filter_error"
    FILTER_SILENT = "filter_silent"
    QUIET = "quiet"
    SLOW = "slow"
    HELD = "held"
    WAITING = "waiting"
    LETTERS = "letters"
    MOVED = "moved"
    WELL = "well"


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of an ailment: its headline, and what to do."""

    ailment: Ailment
    title: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where calls go, and how long one may take."""

    host: str
    timeout_s: float


_LET_IN: Final = (
    "Compare the secret that the receiver verifies with, and the header that it wants to see: both are set with the webhook. "
    "A secret that is lost is rotated."
)
_STATUSES: Final[Mapping[int, tuple[Ailment, str, str]]] = {
    401: (Ailment.UNAUTHORIZED, "The receiver does not let the calls in", _LET_IN),
    403: (
        Ailment.FORBIDDEN,
        "The receiver forbids the calls",
        f"A firewall or a protection against robots may stand before it: let what calls itself Hookline pass. {_LET_IN}",
    ),
    404: (Ailment.WRONG_PATH, "There is nothing at the path of the URL", "Correct the URL of the webhook, or put the receiver there."),
    405: (
        Ailment.WRONG_METHOD,
        "The path of the URL takes no POST",
        "Correct the URL of the webhook, or let it take POST there.",
    ),
    408: (Ailment.SERVER_ERROR, "The receiver gave up reading the call", "Look into its own log, and into the proxy's before it."),
    410: (
        Ailment.GONE,
        "The receiver says that it is gone for good",
        "Should it come back, let it answer 2xx and enable the webhook; else delete the webhook.",
    ),
    413: (
        Ailment.TOO_LARGE,
        "The events are too large for the receiver",
        "Raise its limit for the body of a request, and the proxy's before it (nginx: client_max_body_size).",
    ),
    415: (Ailment.NO_JSON, "The receiver does not take JSON", "Let it take the content type application/json."),
    429: (
        Ailment.RATE_LIMITED,
        "The receiver wants fewer calls",
        "Raise its limit for Hookline, or ask for fewer types of events or for a narrower filter. What it refuses comes later.",
    ),
}
_PROXY: Final = (
    "What stands before the receiver cannot reach it, or it says itself that it is not ready: see whether it runs. "
    "Hookline goes on trying."
)  # fmt: skip
_BAD_GATEWAYS: Final = frozenset({502, 503, 504})
_CERTIFICATE: Final = "Give the receiver a certificate for {host} of an authority that browsers know, with all certificates of its chain."
_NO_TLS: Final = (Ailment.TLS_SPEECH, "What answers at {host} does not speak TLS", "Correct the port of the URL, or switch TLS on there.")
_BY_ITSELF: Final = (Ailment.TLS_ISSUER, "The certificate of {host} is signed by itself", _CERTIFICATE)
_UNKNOWN_CALLER: Final = (
    Ailment.TLS_CLIENT,
    "{host} does not accept the webhook's client certificate",
    "Give the webhook one that the receiver trusts, with its chain, or let the receiver trust its authority.",
)
_TLS: Final[Mapping[str, tuple[Ailment, str, str]]] = {
    "certificate_required": (
        Ailment.TLS_CLIENT,
        "{host} wants a client certificate",
        "Give the webhook one that the receiver trusts, or let the receiver ask for none.",
    ),
    "alert_unknown_ca": _UNKNOWN_CALLER,
    "alert_bad_certificate": _UNKNOWN_CALLER,
    "alert_certificate_": _UNKNOWN_CALLER,
    "alert_unsupported_certificate": _UNKNOWN_CALLER,
    "mismatch": (Ailment.TLS_NAME, "The certificate is not for {host}", f"It names other hosts. {_CERTIFICATE}"),
    "expired": (Ailment.TLS_EXPIRED, "The certificate of {host} has expired", "Renew it, and see why it did not renew itself."),
    "not yet valid": (Ailment.TLS_EARLY, "The certificate of {host} is not valid yet", "See whether it is wrong, or the receiver's clock."),
    "self-signed": _BY_ITSELF,
    "self signed": _BY_ITSELF,
    "issuer": (
        Ailment.TLS_ISSUER,
        "The certificate of {host} is of an unknown authority",
        f"Often the chain is not sent whole. {_CERTIFICATE}",
    ),
    "wrong_version_number": _NO_TLS,
    "record layer": _NO_TLS,
}
"""What OpenSSL's words for a failure hold, in small letters; alerts are what the receiver says of us."""
_ANSWER_FIRST: Final = "Answer 2xx first and do the work afterwards. The time that one call may take can be set from 5 to 30 s."
_PHASES: Final[Mapping[Phase, tuple[Ailment, str, str]]] = {
    Phase.LOOK_UP: (
        Ailment.DNS_TIMEOUT,
        "The name servers of {host} do not answer in time",
        "See whether every name server of the domain answers (dig {host}); if they do, tell the operator, whose resolver may be slow.",
    ),
    Phase.CONNECT: (
        Ailment.CONNECT_TIMEOUT,
        "No connection to {host} in time",
        "A firewall may drop the calls without a word, or the host is down: let it take connections from outside.",
    ),
    Phase.HANDSHAKE: (
        Ailment.TLS_TIMEOUT,
        "{host} takes the connection, and the TLS handshake does not come to its end in time",
        "No firewall is in the way. See whether the port of the URL speaks TLS, and whether what ends it there hangs or is overloaded.",
    ),
    Phase.HEAD: (
        Ailment.TIMEOUT,
        "The receiver begins its answer, and does not end the head of it within {timeout_s:g} s",
        "Send the status line and all headers at once; a proxy that sends them bit by bit, or waits between them, costs the call.",
    ),
}
_BAD_HEAD: Final = (
    f"It is HTTP, and the port is right. Send at most {MOST_HEADERS} headers, none longer than 8 KiB, and names of letters, digits and "
    "hyphens only; an application that sends debugging headers is the usual cause."
)
_TLS_REST: Final = "See what the receiver offers (openssl s_client -connect {host}:443): it must speak TLS 1.2 or 1.3."


def words_of(kind: str, status: int, detail: str, site: Site) -> Words:
    """Return what is said of calls that failed with an error kind of the log and a status, 0 for no answer; `detail` tells kinds apart."""
    if kind in {"http_status", "gone"} or (status and kind != "protocol_error"):
        return _of_status(status)
    match kind:
        case "tls_error":
            return _of_tls(detail.lower(), site)
        case "timeout":
            return _of_timeout(detail, site)
        case "connect_error":
            return _of_connect(detail.lower(), site)
        case "protocol_error" if detail.startswith((BAD_HEADER, HEAD_TOO_LONG, TOO_MANY_HEADERS)):
            return Words(Ailment.BAD_HEAD, f"The head of the answer of {site.host} cannot be taken: {detail.partition(':')[0]}", _BAD_HEAD)
        case _:
            return _of_kind(kind, site)


def _of_status(status: int) -> Words:
    said = wording.status_text(status)
    if status in _STATUSES:
        ailment, title, remedy = _STATUSES[status]
        return Words(ailment, f"{title}: {said}", remedy)
    if status in _BAD_GATEWAYS:
        return Words(Ailment.UNAVAILABLE, f"The receiver is not available: {said}", _PROXY)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        remedy = "Look into its own log at the time of a failed call: the call came, and it could not cope with it."
        return Words(Ailment.SERVER_ERROR, f"The receiver fails: {said}", remedy)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        remedy = "Set the URL of the webhook to where it leads: the answer says so in its header location."
        return Words(Ailment.REDIRECT, f"The receiver redirects, and redirects are never followed: {said}", remedy)
    remedy = "The body of its answer may say why. A receiver takes an event that it does not want with 2xx as well."
    return Words(Ailment.REFUSED, f"The receiver refuses the events: {said}", remedy)


def _of_tls(detail: str, site: Site) -> Words:
    for mark, (ailment, title, remedy) in _TLS.items():
        if mark in detail:
            return Words(ailment, title.format(host=site.host), remedy.format(host=site.host))
    return Words(Ailment.TLS_OTHER, f"TLS with {site.host} fails", _TLS_REST.format(host=site.host))


def _of_timeout(detail: str, site: Site) -> Words:
    for phase, (ailment, title, remedy) in _PHASES.items():
        if detail.startswith(phase):
            return Words(ailment, title.format(host=site.host, timeout_s=site.timeout_s), remedy.format(host=site.host))
    return Words(Ailment.TIMEOUT, f"The receiver does not answer within {site.timeout_s:g} s", _ANSWER_FIRST)


def _of_connect(detail: str, site: Site) -> Words:
    if "refused" in detail:
        remedy = "Start the receiver, or correct the port of the URL."
        return Words(Ailment.NOBODY_LISTENS, f"Nobody listens at {site.host}: the connection was refused", remedy)
    return Words(Ailment.UNREACHABLE, f"{site.host} cannot be reached", "See whether it is up and has a route from the internet.")


def _of_kind(kind: str, site: Site) -> Words:
    match kind:
        case "dns_error":
            remedy = "See whether the name is spelt right, and whether its DNS records are there for everybody."
            return Words(Ailment.DNS, f"The host name {site.host} is not found", remedy)
        case "connection_reset":
            remedy = "The receiver, or the proxy before it, breaks down or refuses: look into its own log."
            return Words(Ailment.RESET, f"{site.host} closes the connection without an answer", remedy)
        case "blocked_address":
            remedy = "The attempt says what is in the way. Correct the URL or the host's DNS records, or ask the operator to allow it."
            return Words(Ailment.BLOCKED, f"{site.host} must not be called", remedy)
        case "protocol_error":
            remedy = "Correct the port of the URL, or see what answers there."
            return Words(Ailment.GARBAGE, f"What answers at {site.host} is not HTTP", remedy)
        case "template_error":
            remedy = "Mend the template, and try it on the store's last events before you save it: what waits is tried with the new one."
            return Words(Ailment.TEMPLATE, "The template fails on some events, and they are not sent", remedy)
        case _:
            remedy = "It is Hookline that fails here, and not the receiver: tell the operator."
            return Words(Ailment.OURS, "Hookline could not make the calls", remedy)
