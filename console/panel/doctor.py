"""The failure doctor: in plain words what is wrong with a webhook, since when, and what to do. Pure: `checkup` gathers the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from hookline.console.panel import wording
from hookline.console.panel.doctor_evidence import Call, Diagnosis, Evidence, Fault
from hookline.console.panel.doctor_faults import Ailment, Words, words_of
from hookline.webhooks.model import State

_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
_WEEK_US: Final = 7 * _DAY_US
_ENDING_US: Final = 30 * _DAY_US
_SURE: Final = 3
"""So many failures in a row are no accident."""
_RUNS: Final = 3
"""So often in between it failed, and worked again: that is no outage."""
_SHAKY: Final = 0.02
_MOST_KINDS: Final = 4
_SLOW_PART: Final = 0.5
_LEAST_SLOW_S: Final = 2.5
_SECRET_KINDS: Final = frozenset({Ailment.UNAUTHORIZED, Ailment.FORBIDDEN, Ailment.REFUSED})
_GONE: Final = "410"
_SAID_GONE: Final = "the receiver answered 410"
"""How the reason begins that the dispatcher gives when it disables."""
_LOOK: Final = 20
"""So many successes at the end are no trouble any more, whatever was before."""


def diagnose(found: Evidence) -> list[Diagnosis]:
    """Return what is wrong, the gravest first; one that says that all is well, and what that rests on, when nothing is."""
    parts = (_state, _failing, _breaker, _shaky, _certificate, _filter, _slow, _silence, _held, _waiting, _letters)
    told = [one for part in parts for one in part(found)]
    return told or [_well(found)]


# ---- its state ----


def _state(found: Evidence) -> Iterator[Diagnosis]:
    webhook = found.webhook
    if _is_gone(found):
        words = words_of("gone", int(_GONE), "", found.site)
        text = "Hookline disabled the webhook because of that. It gets no events."
        yield _worded(words, "bad", text=text, since_us=webhook.state_since_us, log={"status": _GONE}, act="enable")
    elif webhook.state is State.DISABLED:
        text = f"It gets no events. The reason that was given: {webhook.state_reason or 'none'}."
        yield Diagnosis(
            ailment=Ailment.DISABLED, tone="bad", title="The webhook is disabled", text=text,
            remedy="Enable it to have it get events again. What was published meanwhile is not made up for; dead letters can be replayed.",
            since_us=webhook.state_since_us, act="enable",
        )  # fmt: skip
    elif webhook.state is State.PAUSED:
        count = found.held + found.waiting
        yield Diagnosis(
            ailment=Ailment.PAUSED, tone="held", title="The webhook is paused",
            text=f"{wording.plural(count, 'delivery is', 'deliveries are')} held." if count else "Nothing had to be held yet.",
            remedy="Resume it: what is held comes within minutes. After 30 days it would become dead letters.",
            since_us=webhook.state_since_us, act="resume",
        )  # fmt: skip


def _is_gone(found: Evidence) -> bool:
    return found.webhook.state is State.DISABLED and found.webhook.state_reason.startswith(_SAID_GONE)


# ---- calls that fail, one after the other ----


def _failing(found: Evidence) -> Iterator[Diagnosis]:
    if _runs(found) >= _RUNS and sum(fault.straight for fault in found.failing) < _SURE:
        return  # it comes and goes: see `_shaky`
    for fault in found.failing[:_MOST_KINDS]:
        if fault.url and fault.url != found.webhook.url:
            yield _moved(found, fault)
        elif not (_is_gone(found) and fault.status == int(_GONE)):
            yield _fails(found, fault)


def _fails(found: Evidence, fault: Fault) -> Diagnosis:
    words = _with_secret(found, fault, words_of(fault.kind, fault.status, fault.detail, found.site))
    count = f"{wording.plural(fault.straight, 'call')} failed like this"
    text = f"{count} since then, without a success between." if found.well_us else f"{count}, and none has succeeded yet."
    extra = _more(found, words.ailment)
    ended = fault.last_us < found.failing[0].began_us  # it fails with something else by now
    sure = sum(one.straight for one in found.failing) >= _SURE or not found.well_us
    return _worded(
        words, "bad" if sure and not ended else "warn",
        text=f"{text} {extra}".strip(), since_us=fault.began_us, until_us=fault.last_us if ended else 0,
        said=_said(fault), log=_log(fault), act=_act(words.ailment),
    )  # fmt: skip


def _with_secret(found: Evidence, fault: Fault, words: Words) -> Words:
    """Name the secret as the cause where it changed between the last success and the first refusal."""
    if words.ailment not in _SECRET_KINDS:
        return words
    current = next((secret for secret in found.webhook.secrets if not secret.expires_at_us), None)
    rotated_us = current.created_at_us if current is not None and current.created_at_us > found.webhook.created_at_us else 0
    ended_us = max((secret.expires_at_us for secret in found.webhook.secrets), default=0)
    status = wording.status_text(fault.status)
    if found.well_us < ended_us <= fault.began_us:
        remedy = "Give the receiver the new secret, or rotate again if it is lost."
        return Words(Ailment.SECRET, f"The old secret signs no more, and the receiver refuses since: {status}", remedy)
    if found.well_us < rotated_us <= fault.began_us:
        remedy = "Give the receiver the secret that was shown then, or rotate again if it is lost."
        return Words(Ailment.SECRET, f"The secret was rotated, and the receiver refuses since: {status}", remedy)
    return words


def _more(found: Evidence, ailment: Ailment) -> str:
    """Return what else a kind of failure lets one tell."""
    if ailment is Ailment.RATE_LIMITED:
        return _pace(found)
    if ailment is Ailment.TIMEOUT:
        return _slowness(found)
    return ""


def _pace(found: Evidence) -> str:
    """Tell at which pace the receiver says 429, and how long it wants to be left alone."""
    newest = next((call for call in found.calls if call.status == 429), None)  # noqa: PLR2004  # Too Many Requests
    if newest is None:
        return ""
    minute = sum(newest.at_us - 60 * _SECOND_US < call.at_us <= newest.at_us for call in found.calls)
    text = f"The last time it said so at {wording.plural(minute, 'call')} a minute."
    return f"{text} The next try was {wording.duration(newest.wait_s)} later." if newest.wait_s >= 1 else text


def _slowness(found: Evidence) -> str:
    """Tell how slow the answers that still come have become."""
    p95_s = _p95(found)
    if p95_s is None:
        return ""
    usual = f", against {wording.milliseconds(found.usual_p95_s * 1_000)} over the whole span" if found.usual_p95_s else ""
    return f"Of the last answers that came, 95 % took up to {wording.milliseconds(p95_s * 1_000)}{usual}."


def _moved(found: Evidence, fault: Fault) -> Diagnosis:
    status = wording.status_text(fault.status) if fault.status else wording.ERRORS.get(fault.kind, fault.kind)
    return Diagnosis(
        ailment=Ailment.MOVED, tone="warn", title="The URL was changed, and no call has gone there yet",
        text=f"The last call, to the URL before, failed: {status}.", remedy="Send a test to see whether the new one answers.",
        since_us=found.webhook.updated_at_us, said=_said(fault), log=_log(fault), act="test",
    )  # fmt: skip


# ---- the breaker ----


def _breaker(found: Evidence) -> Iterator[Diagnosis]:
    calls = [call for call in found.delivering if call.kind not in {"internal_error", "template_error"}]
    if found.webhook.state is not State.ENABLED or not calls:
        return
    lanes, newest = found.lanes, calls[0]
    run = next((number for number, call in enumerate(calls) if call.ok), len(calls))
    window = [call for call in calls if call.at_us > newest.at_us - int(lanes.window_s * _SECOND_US)]
    good = sum(call.ok for call in window)
    if run >= lanes.straight:
        cause = f"{lanes.straight} calls in a row failed"
    elif len(window) >= lanes.least and good < len(window) * lanes.success_rate:
        cause = f"only {wording.percent(good / len(window))} of {len(window)} calls within {wording.duration(lanes.window_s)} succeeded"
    else:
        return
    until_us = newest.at_us + int((newest.took_s + lanes.open_s) * _SECOND_US)
    if not run and until_us <= found.now_us:
        return
    open_ = until_us > found.now_us
    yield Diagnosis(
        ailment=Ailment.BREAKER, tone="held",
        title="Hookline leaves the receiver alone" if open_ else "The next call tries whether the receiver is back",
        text=f"The breaker is open: {cause}. What comes meanwhile waits, and that costs it no attempt.",
        remedy="Once the receiver is mended nothing is to be done: a single call goes first, and all others follow when it succeeds. "
        "A test is sent at once.",
        until_us=until_us if open_ else 0, act="test",
    )  # fmt: skip


# ---- calls that fail now and then ----


def _shaky(found: Evidence) -> Iterator[Diagnosis]:
    calls = _recent(found)
    failed = [call for call in calls if not call.ok]
    straight = sum(fault.straight for fault in found.failing)
    if _runs(found) < _RUNS or straight >= _SURE or len(failed) < len(calls) * _SHAKY or all(call.ok for call in calls[:_LOOK]):
        return
    details = {(fault.kind, fault.status): fault for fault in found.faults if fault.called}
    for (kind, status), count in Counter((call.kind, call.status) for call in failed).most_common(_MOST_KINDS):
        fault = details.get((kind, status), Fault(kind=kind, status=status))
        words = words_of(kind, status, fault.detail, found.site)
        text = f"Now and then: {count} of the last {len(calls)} attempts failed like this, and others between them succeeded."
        text = f"{text} {_more(found, words.ailment)}".strip()
        yield _worded(words, "warn", text=text, said=_said(fault), log=_log(fault), act=_act(words.ailment))


def _runs(found: Evidence) -> int:
    """Return how many times it failed, once or several times in a row, among the last calls of a day."""
    oks = [call.ok for call in _recent(found)]
    return sum(not ok and (number == 0 or oks[number - 1]) for number, ok in enumerate(oks))


def _recent(found: Evidence) -> list[Call]:
    return [call for call in found.calls if call.at_us > found.now_us - _DAY_US]


# ---- certificate, filter, slowness, silence ----


def _certificate(found: Evidence) -> Iterator[Diagnosis]:
    certificate = found.webhook.client_certificate
    if certificate is None or certificate.not_after_us - found.now_us > _ENDING_US:
        return
    ended = certificate.not_after_us <= found.now_us
    yield Diagnosis(
        ailment=Ailment.CERTIFICATE, tone="bad" if ended else "warn",
        title="The client certificate has expired" if ended else "The client certificate ends soon",
        text=f"Calls still show it, and a receiver that looks will refuse {'them' if ended else 'them from then on'}.",
        remedy="Give the webhook a new one with its private key.",
        since_us=certificate.not_after_us if ended else 0, until_us=0 if ended else certificate.not_after_us,
        said=certificate.subject, act="edit",
    )  # fmt: skip


def _filter(found: Evidence) -> Iterator[Diagnosis]:
    fault = next((one for one in found.faults if one.kind == "filter_error" and one.recent), None)
    if fault is not None and found.webhook.filter:
        yield Diagnosis(
            ailment=Ailment.FILTER_ERROR, tone="bad", title="The filter fails on some events, and they are not delivered",
            text=f"{wording.plural(fault.recent, 'event')} in the last 24 hours.",
            remedy="Ask with has(…) for what may be absent, and try the filter on the store's last events before you save it.",
            said=_said(fault), log={"error": "filter_error"}, act="edit",
        )  # fmt: skip


def _slow(found: Evidence) -> Iterator[Diagnosis]:
    p95_s = _p95(found)
    if p95_s is None or p95_s < max(_LEAST_SLOW_S, found.webhook.timeout_s * _SLOW_PART):
        return
    yield Diagnosis(
        ailment=Ailment.SLOW, tone="warn", title=f"Answers take long, and {found.site.timeout_s:g} s are the limit", text=_slowness(found),
        remedy="Answer 2xx first and do the work afterwards: a call that takes too long counts as failed and comes again.",
    )  # fmt: skip


def _p95(found: Evidence) -> float | None:
    """Return within which time the receiver gave 95 % of its last answers; None without an answer."""
    times = sorted(call.took_s for call in found.calls if call.status)
    return times[min(len(times) - 1, len(times) * 95 // 100)] if times else None


def _silence(found: Evidence) -> Iterator[Diagnosis]:
    newest_us = max((call.at_us for call in found.delivering), default=0)
    webhook = found.webhook
    if webhook.state is not State.ENABLED or found.reached is None or found.now_us - newest_us < _WEEK_US:
        return
    others = wording.plural(found.reached, "event")
    changed = "this one was made" if webhook.version == 1 else "this one was last changed"
    span = f"in the full hours since {changed}" if found.reached_since_us else "in the last 7 days"
    if found.reached and webhook.filter:
        yield Diagnosis(
            ailment=Ailment.FILTER_SILENT, tone="warn", title="The filter lets nothing through",
            text=f"Other webhooks of the store got {others} of these types {span}, and this one none.",
            remedy="Try the filter on the store's last events, and see which it would take.", act="edit",
        )  # fmt: skip
    elif found.reached:
        text = f"Other webhooks of the store got {others} of these types in the last 7 days, before this one took them."
        yield _quiet(found, newest_us, text)
    elif not found.well_us:  # a store in which nothing happens is well
        more = " The filter may have refused all there were: those leave no trace." if webhook.filter else ""
        yield _quiet(found, newest_us, f"{span.capitalize()} no webhook of the store got an event of these types.{more}")


def _quiet(found: Evidence, newest_us: int, text: str) -> Diagnosis:
    lead = "Nothing was sent for a week" if newest_us else "Nothing was sent yet"
    cause = "no event came that it takes" if found.webhook.filter else "no event of its types came"
    return Diagnosis(
        ailment=Ailment.QUIET, tone="plain", title=f"{lead}: {cause}", text=text,
        remedy="Publish one, or send a test and see what the receiver says.", act="test",
    )  # fmt: skip


# ---- what waits ----


def _held(found: Evidence) -> Iterator[Diagnosis]:
    if found.held and found.webhook.state is State.ENABLED:
        count = wording.plural(found.held, "delivery", "deliveries")
        yield Diagnosis(
            ailment=Ailment.HELD, tone="held", title=f"{count} of the pause are still to come",
            text="What a pause held comes a few minutes after it, after a long one within half an hour.",
            since_us=found.webhook.state_since_us,
        )  # fmt: skip


def _waiting(found: Evidence) -> Iterator[Diagnosis]:
    if found.waiting and found.webhook.state is State.ENABLED:
        failing = bool(found.failing)
        yield Diagnosis(
            ailment=Ailment.WAITING, tone="warn",
            title=f"{wording.plural(found.waiting, 'delivery waits', 'deliveries wait')} for the next try",
            text="They come again by themselves, for as long as their retries last." if failing
            else "The receiver answers again: they come by themselves when they are due.",
            log={"outcome": "retrying"},
        )  # fmt: skip


def _letters(found: Evidence) -> Iterator[Diagnosis]:
    if found.letters:
        yield Diagnosis(
            ailment=Ailment.LETTERS, tone="warn", title=f"{wording.plural(found.letters, 'delivery was', 'deliveries were')} given up",
            text="Nothing is lost: the dead letters keep what was given up.", remedy="Once the receiver is mended, replay it.",
            act="letters",
        )  # fmt: skip


def _well(found: Evidence) -> Diagnosis:
    count = sum(fault.recent for fault in found.faults if fault.called) + found.recent_well
    if count:
        calls = f"{wording.plural(found.recent_well, 'call')} of {wording.number(count)}"
        text = f"{calls} in the last 24 hours succeeded, the last one too; test calls count."
    elif found.well_us:
        text = "Its last call succeeded; in the last 24 hours there was none."
    else:
        text = "It was not called yet."
    mended = found.replayed or found.recent_well < count * (1 - _SHAKY)
    waits = "Nothing waits for a retry, and no dead letter waits for a decision."
    letters = f" {wording.plural(found.replayed, 'dead letter')} of these 24 hours {'was' if found.replayed == 1 else 'were'} replayed."
    return Diagnosis(
        ailment=Ailment.WELL, tone="good", title="It works again" if mended else "All is well",
        text=f"{text} {waits}{letters if found.replayed else ''}",
    )  # fmt: skip


# ---- shared ----


def _worded(words: Words, tone: str, **more: object) -> Diagnosis:
    base = Diagnosis(ailment=words.ailment, tone=tone, title=words.title, remedy=words.remedy)
    return replace(base, **more)  # type: ignore[arg-type]  # each is a field, as the tests show


def _said(fault: Fault) -> str:
    return "" if fault.status and fault.called else fault.detail


def _log(fault: Fault) -> dict[str, str]:
    return {"status": str(fault.status)} if fault.status else {"error": fault.kind}


def _act(ailment: Ailment) -> str:
    match ailment:
        case Ailment.SECRET | Ailment.UNAUTHORIZED:
            return "rotate"
        case Ailment.WRONG_PATH | Ailment.WRONG_METHOD | Ailment.REDIRECT | Ailment.TIMEOUT | Ailment.TEMPLATE:
            return "edit"
        case _:
            return "test"
