"""The failure doctor: every ailment from the evidence that shows it, since when, with what to do, in order of weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hookline.console.panel.doctor import diagnose
from hookline.console.panel.doctor_evidence import Call, Diagnosis, Evidence, Fault
from hookline.console.panel.doctor_faults import Ailment, Site, words_of
from hookline.dispatcher.lanes import LaneConfig
from hookline.dispatcher.transport.phases import Phase
from hookline.kernel.config import load
from hookline.webhooks.model import SealedCertificate, SealedSecret, State, Webhook

pytestmark = pytest.mark.unit

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
NOW = 1_795_000_000 * SECOND
LANES = load(LaneConfig, {})
WEBHOOK = Webhook(
    id="wh_1", store_id="shop", name="", url="https://shop.example.com/hooks", event_types=("order.created",), filter="",
    state=State.ENABLED, state_reason="", state_since_us=NOW - 40 * DAY, secrets=(SealedSecret(b"", NOW - 40 * DAY),), headers=(),
    timeout_s=10.0, schedule="default", created_at_us=NOW - 40 * DAY, updated_at_us=NOW - 40 * DAY, version=1, write_id="w",
)  # fmt: skip


def evidence(webhook: dict[str, Any] | None = None, **more: Any) -> Evidence:
    """Return the evidence of a webhook that is well, but for what is given."""
    found = {"calls": tuple(call(-number * 60) for number in range(1, 50)), "well_us": NOW - 60 * SECOND, "recent_well": 49, **more}
    return Evidence(webhook=replace(WEBHOOK, **(webhook or {})), now_us=NOW, lanes=LANES, **found)


def call(seconds: float, kind: str = "", status: int = 200, **more: Any) -> Call:
    """Return a call so many seconds from now."""
    return Call(at_us=NOW + int(seconds * SECOND), ok=not kind, kind=kind, status=status, **{"took_s": 0.1, **more})


def outage(kind: str, status: int = 0, detail: str = "", count: int = 4, every_s: float = 900, **more: Any) -> Evidence:
    """Return the evidence of a webhook whose last calls failed alike, one in every so many seconds, and were well before."""
    failed = tuple(call(-number * every_s, kind, status) for number in range(1, count + 1))
    fault = Fault(
        kind=kind, status=status, recent=count, straight=count, began_us=failed[-1].at_us, last_us=failed[0].at_us, detail=detail,
        url=WEBHOOK.url,
    )  # fmt: skip
    well = call(-(count + 1) * every_s)
    return evidence(**{"calls": (*failed, well), "faults": (fault,), "well_us": well.at_us, **more})


def names(found: Evidence) -> list[Ailment]:
    """Return what is diagnosed, in order."""
    return [one.ailment for one in diagnose(found)]


def only(found: Evidence) -> Diagnosis:
    """Return the one diagnosis that there is."""
    told = diagnose(found)
    assert len(told) == 1, told
    return told[0]


FAULTS = [
    ("tls_error", 0, "TLS: Hostname mismatch, certificate is not valid for 'shop.example.com'.", Ailment.TLS_NAME),
    ("tls_error", 0, "TLS: IP address mismatch, certificate is not valid for '192.0.2.1'.", Ailment.TLS_NAME),
    ("tls_error", 0, "TLS: certificate has expired", Ailment.TLS_EXPIRED),
    ("tls_error", 0, "TLS: certificate is not yet valid", Ailment.TLS_EARLY),
    ("tls_error", 0, "TLS: self-signed certificate", Ailment.TLS_ISSUER),
    ("tls_error", 0, "TLS: unable to get local issuer certificate", Ailment.TLS_ISSUER),
    ("tls_error", 0, "TLS: WRONG_VERSION_NUMBER", Ailment.TLS_SPEECH),
    ("tls_error", 0, "TLS: TLSV1_ALERT_INTERNAL_ERROR", Ailment.TLS_OTHER),
    ("tls_error", 0, "TLS: TLSV13_ALERT_CERTIFICATE_REQUIRED", Ailment.TLS_CLIENT),
    ("tls_error", 0, "TLS: TLSV1_ALERT_UNKNOWN_CA", Ailment.TLS_CLIENT),
    ("tls_error", 0, "TLS: SSLV3_ALERT_CERTIFICATE_EXPIRED", Ailment.TLS_CLIENT),
    ("http_status", 401, "", Ailment.UNAUTHORIZED),
    ("http_status", 403, "", Ailment.FORBIDDEN),
    ("http_status", 404, "", Ailment.WRONG_PATH),
    ("http_status", 405, "", Ailment.WRONG_METHOD),
    ("gone", 410, "", Ailment.GONE),
    ("http_status", 410, "", Ailment.GONE),
    ("http_status", 413, "", Ailment.TOO_LARGE),
    ("http_status", 415, "", Ailment.NO_JSON),
    ("http_status", 429, "", Ailment.RATE_LIMITED),
    ("http_status", 400, "", Ailment.REFUSED),
    ("http_status", 422, "", Ailment.REFUSED),
    ("http_status", 499, "", Ailment.REFUSED),
    ("http_status", 301, "", Ailment.REDIRECT),
    ("http_status", 308, "", Ailment.REDIRECT),
    ("http_status", 500, "", Ailment.SERVER_ERROR),
    ("http_status", 408, "", Ailment.SERVER_ERROR),
    ("http_status", 599, "", Ailment.SERVER_ERROR),
    ("http_status", 502, "", Ailment.UNAVAILABLE),
    ("http_status", 503, "", Ailment.UNAVAILABLE),
    ("http_status", 504, "", Ailment.UNAVAILABLE),
    ("timeout", 0, "no answer within 10 s", Ailment.TIMEOUT),
    ("timeout", 0, "no end of the answer's head within 10 s", Ailment.TIMEOUT),
    ("timeout", 0, "no connection within 3 s", Ailment.CONNECT_TIMEOUT),
    ("timeout", 0, "no DNS answer within 3 s", Ailment.DNS_TIMEOUT),
    ("timeout", 0, "no end of the TLS handshake within 3 s", Ailment.TLS_TIMEOUT),
    ("dns_error", 0, "the host name was not found: Name or service not known", Ailment.DNS),
    ("connect_error", 0, "no connection: Connection refused", Ailment.NOBODY_LISTENS),
    ("connect_error", 0, "no connection: No route to host", Ailment.UNREACHABLE),
    ("connection_reset", 0, "the receiver closed the connection before it answered", Ailment.RESET),
    ("blocked_address", 0, "10.0.0.1 is not public", Ailment.BLOCKED),
    ("protocol_error", 0, "the answer is not valid HTTP: Invalid status code", Ailment.GARBAGE),
    ("protocol_error", 0, "the answer has more than 128 headers", Ailment.BAD_HEAD),
    ("protocol_error", 0, "the head of the answer is too long", Ailment.BAD_HEAD),
    ("protocol_error", 0, "the answer has a header whose name or value is not allowed: Invalid header token", Ailment.BAD_HEAD),
    ("template_error", 0, "template.text, ${data.x}: the event has no data.x", Ailment.TEMPLATE),
    ("internal_error", 0, "Hookline could not send: Too many open files", Ailment.OURS),
]


@pytest.mark.parametrize(("kind", "status", "detail", "ailment"), FAULTS, ids=lambda value: str(value)[:24])
def test_each_kind_of_outage_is_told(kind: str, status: int, detail: str, ailment: Ailment) -> None:
    """With when it began, how often, what the network said, what to do, and where its calls are in the log."""
    told = only(outage(kind, status, detail))
    assert (told.ailment, told.tone) == (ailment, "bad")
    assert told.since_us == NOW - 3_600 * SECOND
    assert "4 calls failed like this since then, without a success between." in told.text
    assert told.remedy
    assert (f": {status}" in told.title) == bool(status)
    assert told.said == ("" if status else detail)
    assert told.log == ({"status": str(status)} if status else {"error": kind})


def test_every_ailment_has_a_case() -> None:
    """The list is closed: each word comes out of some evidence of this file."""
    told = {ailment for *_, ailment in FAULTS}
    told |= {one.ailment for found in OTHERS.values() for one in diagnose(found)}
    assert told == set(Ailment)


def ending(days: int) -> SealedCertificate:
    """Return a client certificate that ends in so many days."""
    return SealedCertificate(blob=b"", subject="CN=shop", fingerprint="", not_after_us=NOW + days * DAY)


def rotated(at_us: int) -> dict[str, Any]:
    """Return the secrets of a webhook that was rotated without an overlap."""
    return {"secrets": (SealedSecret(b"", at_us),)}


OTHERS = {
    "breaker": outage("http_status", 500, count=6, every_s=10),
    "paused": evidence({"state": State.PAUSED, "state_since_us": NOW - HOUR}, held=7, waiting=2),
    "disabled": evidence({"state": State.DISABLED, "state_reason": "moving house", "state_since_us": NOW - HOUR}),
    "gone": evidence({"state": State.DISABLED, "state_reason": "the receiver answered 410 Gone", "state_since_us": NOW - HOUR}),
    "secret": outage("http_status", 401, webhook=rotated(NOW - 4_000 * SECOND)),
    "filter_error": evidence({"filter": "data.x > 1"}, faults=(Fault(kind="filter_error", called=False, recent=3, detail="no field x"),)),
    "filter_silent": evidence({"filter": "data.x > 1"}, calls=(), well_us=0, recent_well=0, reached=12),
    "quiet": evidence(calls=(), well_us=0, recent_well=0, reached=0),
    "slow": evidence(calls=tuple(call(-number * 60, took_s=7.0) for number in range(1, 30)), usual_p95_s=0.3),
    "held": evidence({"state_since_us": NOW - 60 * SECOND}, held=3),
    "waiting": evidence(waiting=4),
    "letters": evidence(letters=2),
    "certificate": evidence({"client_certificate": ending(-1)}),
    "moved": outage("dns_error", webhook={"url": "https://other.example.com/", "updated_at_us": NOW - 60 * SECOND}),
    "well": evidence(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_stands_alone_is_told_alone(name: str) -> None:
    """Nothing else is said beside it, but where calls fail too."""
    told = [one.ailment for one in diagnose(OTHERS[name])]
    assert told == ([Ailment.SERVER_ERROR, Ailment.BREAKER] if name == "breaker" else [Ailment(name)])


# ---- what each tells ----


def test_a_breaker_tells_until_when() -> None:
    """From the end of the last call on, for as long as the dispatchers' settings say; afterwards the next call is the probe."""
    told = diagnose(outage("http_status", 500, count=5, every_s=10))[1]
    assert (told.ailment, told.tone) == (Ailment.BREAKER, "held")
    assert told.until_us == NOW - 10 * SECOND + SECOND // 10 + int(LANES.open_s * SECOND)
    assert "5 calls in a row failed" in told.text
    later = diagnose(outage("http_status", 500, count=5, every_s=300))[1]
    assert (later.ailment, later.until_us) == (Ailment.BREAKER, 0)
    assert later.title == "The next call tries whether the receiver is back"


@pytest.mark.parametrize(
    "found",
    [
        outage("http_status", 500, count=4, every_s=10),
        outage("internal_error", count=9, every_s=10),
        outage("template_error", count=9, every_s=10),
        outage("http_status", 500, count=9, every_s=10, webhook={"state": State.PAUSED}),
        evidence(calls=tuple(call(-number, "timeout", 0, tested=True) for number in range(9))),
    ],
    ids=["too few", "our own faults", "the template's", "paused", "tests"],
)
def test_a_breaker_that_is_shut_is_not_told(found: Evidence) -> None:
    """It counts what the dispatcher's counts: no tests, no faults of ours, and only where calls are made."""
    assert Ailment.BREAKER not in names(found)


def test_a_breaker_opens_by_its_rate_too() -> None:
    """A fifth of a hundred calls within two minutes failed, and none has been made since."""
    calls = tuple(call(-20 - number, *(("http_status", 503) if number % 5 == 0 else ())) for number in range(100))
    told = next(one for one in diagnose(evidence(calls=calls, well_us=NOW - 20 * SECOND)) if one.ailment is Ailment.BREAKER)
    assert "only 80\u202f% of 100 calls within 2\u202fmin succeeded" in told.text
    assert told.until_us > NOW


@pytest.mark.parametrize(
    ("secrets", "title"),
    [
        ((SealedSecret(b"", NOW - 4_000 * SECOND),), "The secret was rotated"),
        ((SealedSecret(b"", NOW - DAY), SealedSecret(b"", NOW - 40 * DAY, NOW - 4_000 * SECOND)), "The old secret signs no more"),
        ((SealedSecret(b"", NOW - 2 * DAY),), "The receiver does not let the calls in"),
        ((SealedSecret(b"", NOW - 60 * SECOND),), "The receiver does not let the calls in"),
    ],
    ids=["rotated between", "overlap ended between", "rotated before the last success", "rotated after the first refusal"],
)
def test_a_secret_is_blamed_where_it_changed_between(secrets: tuple[SealedSecret, ...], title: str) -> None:
    """That is: after the last success, and not after the first refusal."""
    told = only(outage("http_status", 401, webhook={"secrets": secrets}))
    assert told.title.startswith(title)
    assert told.act == "rotate"


def test_a_secret_is_not_blamed_for_a_server_error() -> None:
    """A receiver that breaks down after a rotation breaks down."""
    assert only(outage("http_status", 500, webhook=rotated(NOW - 4_000 * SECOND))).ailment is Ailment.SERVER_ERROR


def test_too_many_calls_are_told_with_their_pace() -> None:
    """How many in the minute before, and how long the receiver wants to be left alone."""
    calls = (call(-5, "http_status", 429, wait_s=60.0), *(call(-5 - number) for number in range(1, 41)), call(-400))
    fault = Fault(kind="http_status", status=429, recent=1, straight=1, began_us=NOW - 5 * SECOND, url=WEBHOOK.url)
    told = only(evidence(calls=calls, faults=(fault,), well_us=NOW - 6 * SECOND))
    assert (told.ailment, told.tone) == (Ailment.RATE_LIMITED, "warn")
    assert "at 41 calls a minute" in told.text
    assert "1\u202fmin later" in told.text


def test_timeouts_tell_how_slow_answers_have_become() -> None:
    """Against what they were over the whole span."""
    calls = (
        call(-1, "timeout", 0),
        call(-2, "timeout", 0),
        call(-3, "timeout", 0),
        *(call(-number, took_s=2.0) for number in range(4, 40)),
    )
    fault = Fault(kind="timeout", recent=3, straight=3, began_us=NOW - 3 * SECOND, detail="no answer within 10 s", url=WEBHOOK.url)
    told = only(evidence(calls=calls, faults=(fault,), well_us=NOW - 4 * SECOND, usual_p95_s=0.25))
    assert "does not answer within 10 s" in told.title
    assert "95 % took up to 2.00\u202fs, against 250\u202fms over the whole span" in told.text


def test_a_first_failure_is_less_than_an_outage() -> None:
    """One failure after successes may be an accident; one and never a success is none."""
    assert only(outage("http_status", 500, count=1)).tone == "warn"
    never = only(outage("http_status", 500, count=1, well_us=0))
    assert never.tone == "bad"
    assert never.text == "1 call failed like this, and none has succeeded yet."


def test_failures_now_and_then_are_no_outage() -> None:
    """Three separate failures or more among the last calls, with successes between: their share, and no beginning."""
    calls = tuple(call(-number * 30, *(("http_status", 503) if number % 6 == 1 else ())) for number in range(1, 61))
    fault = Fault(kind="http_status", status=503, recent=10, straight=1, began_us=NOW - 30 * SECOND, url=WEBHOOK.url)
    told = only(evidence(calls=calls, faults=(fault,), well_us=NOW - 60 * SECOND))
    assert (told.ailment, told.tone, told.since_us) == (Ailment.UNAVAILABLE, "warn", 0)
    assert told.text.startswith("Now and then: 10 of the last 60 attempts failed like this")


def test_what_is_mended_is_well() -> None:
    """However much failed before: twenty successes at the end are the end of it."""
    calls = tuple(call(-number * 30, *(("http_status", 503) if number > 20 and number % 6 == 1 else ())) for number in range(1, 61))
    fault = Fault(kind="http_status", status=503, recent=7, straight=0, url=WEBHOOK.url)
    told = only(evidence(calls=calls, faults=(fault,), recent_well=53))
    assert (told.ailment, told.title) == (Ailment.WELL, "It works again")
    assert told.text.startswith("53 calls of 60 in the last 24 hours succeeded")


def test_all_is_well_only_where_nothing_was_given_up_lately() -> None:
    """What was given up and replayed within the day is said; where calls only succeeded, nothing was to be mended."""
    well, mended = only(evidence()), only(evidence(replayed=14))
    assert (well.title, "replayed" in well.text) == ("All is well", False)
    assert (mended.ailment, mended.title) == (Ailment.WELL, "It works again")
    assert mended.text.endswith("14 dead letters of these 24 hours were replayed.")


def test_what_began_and_ended_within_a_minute_is_one_moment() -> None:
    """It is told with one time, not with the same one twice; what still goes on is none."""
    minute = 60 * SECOND
    assert Diagnosis(ailment=Ailment.TIMEOUT, tone="warn", title="", since_us=7 * minute, until_us=7 * minute + 9).momentary
    assert not Diagnosis(ailment=Ailment.TIMEOUT, tone="warn", title="", since_us=7 * minute, until_us=8 * minute).momentary
    assert not Diagnosis(ailment=Ailment.TIMEOUT, tone="warn", title="", since_us=7 * minute).momentary


def test_an_old_url_is_not_held_against_the_new_one() -> None:
    """What failed went elsewhere: only a call can tell."""
    told = only(OTHERS["moved"])
    assert (told.ailment, told.since_us, told.act) == (Ailment.MOVED, NOW - 60 * SECOND, "test")


def test_several_are_told_in_order_of_weight() -> None:
    """State, the outage of now, others by their number, breaker, filter, then what waits and what was given up."""
    faults = (
        Fault(kind="timeout", straight=2, began_us=NOW - HOUR, last_us=NOW - 9 * SECOND, url=WEBHOOK.url),
        Fault(kind="dns_error", straight=3, began_us=NOW - HOUR, last_us=NOW - 8 * SECOND, url=WEBHOOK.url),
        Fault(kind="http_status", status=500, straight=1, began_us=NOW - 2 * HOUR, last_us=NOW - SECOND, url=WEBHOOK.url),
        Fault(kind="filter_error", called=False, recent=1, detail="no field x"),
    )
    calls = tuple(call(-number, "http_status", 500) for number in range(1, 12))
    found = evidence({"filter": "data.x > 1"}, calls=calls, faults=faults, waiting=5, letters=1)
    failing = [Ailment.SERVER_ERROR, Ailment.DNS, Ailment.TIMEOUT]
    assert names(found) == [*failing, Ailment.BREAKER, Ailment.FILTER_ERROR, Ailment.WAITING, Ailment.LETTERS]
    assert names(replace(found, webhook=replace(found.webhook, state=State.PAUSED)))[:2] == [Ailment.PAUSED, Ailment.SERVER_ERROR]


def test_what_it_failed_with_before_is_told_with_its_end() -> None:
    """A receiver that said 401 for an hour and redirects by now has two troubles, one after the other."""
    faults = (
        Fault(kind="http_status", status=401, straight=9, began_us=NOW - 2 * HOUR, last_us=NOW - HOUR, url=WEBHOOK.url),
        Fault(kind="http_status", status=302, straight=1, began_us=NOW - SECOND, last_us=NOW - SECOND, url=WEBHOOK.url),
    )
    now, before = diagnose(evidence(calls=(call(-1, "http_status", 302),), faults=faults))
    assert (now.ailment, now.tone, now.until_us) == (Ailment.REDIRECT, "bad", 0)
    assert (before.ailment, before.tone, before.until_us) == (Ailment.UNAUTHORIZED, "warn", NOW - HOUR)


def test_a_410_is_told_once() -> None:
    """The state says it; the call that brought it about is no second trouble."""
    gone = {"state": State.DISABLED, "state_reason": "the receiver answered 410 Gone", "state_since_us": NOW - HOUR}
    told = only(outage("http_status", 410, webhook=gone))
    assert (told.ailment, told.since_us, told.act) == (Ailment.GONE, NOW - HOUR, "enable")
    assert names(outage("http_status", 500, webhook=gone)) == [Ailment.GONE, Ailment.SERVER_ERROR]


@pytest.mark.parametrize(
    ("more", "ailment"),
    [
        ({"reached": None}, Ailment.WELL),
        ({"reached": 0, "well_us": NOW - 9 * DAY}, Ailment.WELL),
        ({"reached": 0, "well_us": 0}, Ailment.QUIET),
        ({"reached": 5, "well_us": 0}, Ailment.QUIET),
    ],
    ids=["not asked", "a quiet store that was well", "nothing ever", "others got some"],
)
def test_silence_is_told_where_it_says_something(more: dict[str, Any], ailment: Ailment) -> None:
    """A store in which nothing happens is well."""
    assert names(evidence(**{"calls": (), "recent_well": 0, **more})) == [ailment]


def test_a_pause_counts_what_it_holds() -> None:
    """What it caught and what waited for a retry when it began."""
    told = only(OTHERS["paused"])
    assert told.text == "9 deliveries are held."
    assert (told.since_us, told.act) == (NOW - HOUR, "resume")


@pytest.mark.parametrize("status", [0, 100, 399, 418, 511, 999])
@pytest.mark.parametrize("kind", ["http_status", "nonsense", "protocol_error", ""])
def test_whatever_the_log_holds_gets_words(kind: str, status: int) -> None:
    """Kinds and statuses that nobody has heard of too."""
    found = words_of(kind, status, "", Site("shop.example.com", 10))
    assert found.title
    assert found.remedy


@pytest.mark.parametrize(("days", "tone"), [(-1, "bad"), (29, "warn"), (31, "good")])
def test_a_client_certificate_that_ends_is_told_in_time(days: int, tone: str) -> None:
    """From 30 days before, with the day; once it has ended that is bad; before that all is well."""
    certificate = ending(days)
    told = only(evidence({"client_certificate": certificate}))
    assert told.tone == tone
    if tone != "good":
        assert (told.ailment, told.said, told.act) == (Ailment.CERTIFICATE, "CN=shop", "edit")
        assert certificate.not_after_us in {told.since_us, told.until_us}


# ---- where a call's time ran out ----


@pytest.mark.parametrize("phase", Phase)
def test_the_advice_fits_the_phase(phase: Phase) -> None:
    """A firewall is blamed for a connect alone, a slow answer where an answer was waited for, and the name server before either."""
    words = words_of("timeout", 0, phase.late(3), Site("shop.example.com", 10.0))
    assert ("A firewall may drop" in words.remedy) == (phase is Phase.CONNECT)
    assert ("name servers" in words.title) == (phase is Phase.LOOK_UP)
    assert ("TLS handshake" in words.title) == (phase is Phase.HANDSHAKE)
    assert ("within 10 s" in words.title) == (phase in {Phase.ANSWER, Phase.HEAD})
    assert ("Answer 2xx first" in words.remedy) == (phase is Phase.ANSWER)


def test_a_slow_name_server_is_not_measured_as_a_slow_receiver() -> None:
    """How long the answers take is told only where an answer was waited for."""
    assert "95 %" not in only(outage("timeout", 0, Phase.LOOK_UP.late(3))).text
    assert "95 %" in only(outage("timeout", 0, Phase.ANSWER.late(10))).text
