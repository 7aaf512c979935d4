"""Why a webhook did or did not get an event: one pure judgement over what registry, log, payload and dead letters tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from hookline.analytics.warehouse import Rows
from hookline.console.api.explain_fields import Named, named_fields
from hookline.console.letters_shelf import Letter, Replayed
from hookline.kernel.clock import from_us, rfc3339
from hookline.kernel.errors import FilterError
from hookline.schemas.records import ErrorKind, Outcome
from hookline.webhooks.filters import Facts as FilterFacts
from hookline.webhooks.filters import compile_filter
from hookline.webhooks.model import State, Webhook

CLOCK_SLACK_US: Final = 5_000_000
"""The dispatcher's: a webhook that was created up to 5 s after an event gets it too."""


class Verdict(StrEnum):
    """What is said; a closed list, explained in docs/explain.md."""

    DELIVERED = "delivered"
    WAITING_FOR_RETRY = "waiting_for_retry"
    WAITING = "waiting"
    DEAD = "dead"
    PAUSED = "paused"
    DISABLED = "disabled"
    CANCELLED = "cancelled"
    FILTER_ERROR = "filter_error"
    FILTER_NO_MATCH = "filter_no_match"
    NOT_ITS_TYPE = "not_its_type"
    CREATED_LATER = "created_later"
    UNKNOWN_EVENT = "unknown_event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known: `webhook` None is one that was deleted, `context` None an event whose payload could not be read.

    `rows` are the attempts of this delivery, the oldest first. `letter` is its newest dead letter, `replayed` when that was replayed.
    """

    webhook: Webhook | None
    now_us: int
    event_type: str = ""
    published_us: int = 0
    context: Mapping[str, Any] | None = None
    rows: Rows = field(default_factory=list)
    letter: Letter | None = None
    replayed: Replayed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict, the same in words, and its times: `at_us` when it came about, `until_us` until when it holds; 0: none."""

    verdict: Verdict
    text: str
    at_us: int = 0
    until_us: int = 0
    fields: tuple[Named, ...] = ()


def judge(facts: Facts) -> Judgement:
    """Return what became of the event for the webhook; what the log tells counts before what would happen now."""
    calls = _by_log(facts) if facts.rows else None
    return calls or _by_dead_letter(facts) or _by_rules(facts)


# ---- what the log tells ----


def _by_log(facts: Facts) -> Judgement | None:
    last, letter = facts.rows[-1], facts.letter
    outcome = Outcome(last["outcome"])
    ended = outcome is Outcome.DELIVERED or outcome is Outcome.DEAD
    if letter is not None and not ended and letter.at_us > last["attempted_at_us"]:  # the log is about a second behind the dead letters
        return _given_up(facts, letter)
    match outcome:
        case Outcome.DELIVERED:
            return _said(Verdict.DELIVERED, f"Delivered with attempt {last['attempt']}: HTTP {last['http_status']}", last)
        case Outcome.RETRYING:
            return _retrying(facts, last)
        case Outcome.DEAD:
            return _dead(facts, last)
        case Outcome.SKIPPED:
            return _skipped(facts, last)


def _retrying(facts: Facts, last: Mapping[str, Any]) -> Judgement:
    webhook, due_us = facts.webhook, last["next_retry_at_us"]
    if webhook is None:
        return _said(Verdict.CANCELLED, "It was to be tried again, and the webhook was deleted meanwhile", last)
    if webhook.state is State.PAUSED:
        return _paused(webhook, "It failed and is held: the webhook is paused")
    words = f"Attempt {last['attempt']} failed ({_failure(last)})"
    if webhook.state is State.DISABLED:
        text = f"{words}; the webhook is disabled meanwhile, so it becomes a dead letter when it is due"
    elif facts.now_us > due_us:
        text = f"{words}; the next one is due and waits for its turn, or for the receiver to recover"
    else:
        text = f"{words}; the next one is due at {_time(due_us)}"
    return Judgement(verdict=Verdict.WAITING_FOR_RETRY, text=text, at_us=last["attempted_at_us"], until_us=due_us)


def _dead(facts: Facts, last: Mapping[str, Any]) -> Judgement:
    replayed = facts.replayed
    if replayed is not None and replayed.at_us > last["attempted_at_us"]:
        return _made_again(replayed)
    reason = f"{facts.letter.reason}: " if facts.letter is not None else ""
    return _said(Verdict.DEAD, f"Given up, {reason}{_failure(last)}; {_what_helps(facts.webhook)}", last)


def _skipped(facts: Facts, last: Mapping[str, Any]) -> Judgement:
    webhook, at = facts.webhook, _time(last["attempted_at_us"])
    match ErrorKind(last["error_kind"]):
        case ErrorKind.PAUSED if webhook is None:
            return _said(Verdict.CANCELLED, "It was held while the webhook was paused, and the webhook was deleted then", last)
        case ErrorKind.PAUSED if webhook is not None and webhook.state is State.PAUSED:
            return _paused(webhook, "It is held: the webhook is paused")
        case ErrorKind.PAUSED:
            return _said(Verdict.WAITING, "It was held while the webhook was paused, and comes within minutes of the resumption", last)
        case ErrorKind.DISABLED:
            return _disabled(webhook, last)
        case ErrorKind.FILTER:
            return _with_fields(facts, _said(Verdict.FILTER_ERROR, str(last["error_detail"]), last))
        case _:
            return _said(Verdict.CANCELLED, f"It was cancelled at {at}: {last['error_detail']}", last)


def _disabled(webhook: Webhook | None, last: Mapping[str, Any]) -> Judgement:
    """Return since when it is disabled, if it still is: of a disabling that ended only the log is left."""
    reason = last["error_detail"]
    if webhook is not None and webhook.state is State.DISABLED and webhook.state_since_us <= last["attempted_at_us"]:
        since_us = webhook.state_since_us
        return Judgement(verdict=Verdict.DISABLED, text=f"The webhook is disabled since {_time(since_us)}: {reason}", at_us=since_us)
    return _said(Verdict.DISABLED, f"The webhook was disabled when the event came, {_time(last['attempted_at_us'])}: {reason}", last)


# ---- what follows from the rules, where the log tells nothing ----


def _by_dead_letter(facts: Facts) -> Judgement | None:
    letter = facts.letter
    return _given_up(facts, letter) if letter is not None and not facts.rows else None


def _given_up(facts: Facts, letter: Letter) -> Judgement:
    """Return what a dead letter tells of which the log knows nothing yet, or nothing any more."""
    if facts.replayed is not None and facts.replayed.at_us > letter.at_us:
        return _made_again(facts.replayed)
    text = f"Given up, {letter.reason}: {letter.error}; {_what_helps(facts.webhook)}"
    return Judgement(verdict=Verdict.DEAD, text=text, at_us=letter.at_us)


def _made_again(replayed: Replayed) -> Judgement:
    text = f"It was given up and then replayed at {_time(replayed.at_us)}; that attempt is still to be made"
    return Judgement(verdict=Verdict.WAITING, text=text, at_us=replayed.at_us)


def _what_helps(webhook: Webhook | None) -> str:
    """Return what can be done about a dead letter: a replay passes over webhooks that are disabled or deleted."""
    if webhook is None:
        return "the webhook was deleted, so it cannot be replayed"
    if webhook.state is State.DISABLED:
        return "it lies in the dead letters: enable the webhook first, then replay it"
    return "it lies in the dead letters and can be replayed"


def _by_rules(facts: Facts) -> Judgement:
    webhook, published_us = facts.webhook, facts.published_us
    if not facts.event_type:
        return Judgement(verdict=Verdict.UNKNOWN_EVENT, text="No event with this id was found: not published, or kept no longer")
    if webhook is None:
        return Judgement(verdict=Verdict.CANCELLED, text="The webhook was deleted")
    if facts.event_type not in webhook.event_types:
        text = f"Its type is {facts.event_type}, and the webhook gets {', '.join(webhook.event_types)}"
        return Judgement(verdict=Verdict.NOT_ITS_TYPE, text=text)
    if webhook.created_at_us > published_us + CLOCK_SLACK_US:
        text = f"The event was published at {_time(published_us)}, and the webhook created at {_time(webhook.created_at_us)}"
        return Judgement(verdict=Verdict.CREATED_LATER, text=text, at_us=webhook.created_at_us)
    if webhook.state is State.DISABLED and webhook.state_since_us <= published_us:
        text = f"The webhook is disabled since {_time(webhook.state_since_us)}: {webhook.state_reason or 'no reason given'}"
        return Judgement(verdict=Verdict.DISABLED, text=text, at_us=webhook.state_since_us)
    return _by_filter(facts, webhook) or _to_come(facts, webhook)


def _by_filter(facts: Facts, webhook: Webhook) -> Judgement | None:
    """Return what the filter says against the event, None when it wants it, or cannot be asked."""
    if not webhook.filter or facts.context is None:
        return None
    try:
        if compile_filter(webhook.filter).matches(FilterFacts(facts.context)):
            return None
    except FilterError as error:
        return _with_fields(facts, Judgement(verdict=Verdict.FILTER_ERROR, text=error.message, at_us=facts.published_us))
    text = f"The filter said no: {webhook.filter}"
    return _with_fields(facts, Judgement(verdict=Verdict.FILTER_NO_MATCH, text=text, at_us=facts.published_us))


def _to_come(facts: Facts, webhook: Webhook) -> Judgement:
    if webhook.state is State.PAUSED:
        return _paused(webhook, "It is held: the webhook is paused")
    if webhook.state is State.DISABLED:
        text = "The webhook was disabled after the event was published, so it becomes a dead letter when a dispatcher takes it up"
        return Judgement(verdict=Verdict.WAITING, text=text, at_us=facts.published_us)
    text = "It is the webhook's and was not attempted yet, as far as the log tells; the log is about a second behind"
    return Judgement(verdict=Verdict.WAITING, text=text, at_us=facts.published_us)


def _paused(webhook: Webhook, words: str) -> Judgement:
    since_us = webhook.state_since_us
    return Judgement(verdict=Verdict.PAUSED, text=f"{words} since {_time(since_us)}; resume it to have it delivered", at_us=since_us)


def _with_fields(facts: Facts, judgement: Judgement) -> Judgement:
    """Add the values of the fields that the filter names now."""
    if facts.webhook is None or not facts.webhook.filter or facts.context is None:
        return judgement
    found = tuple(named_fields(facts.webhook.filter, facts.context))
    return Judgement(verdict=judgement.verdict, text=judgement.text, at_us=judgement.at_us, fields=found)


def _said(verdict: Verdict, text: str, row: Mapping[str, Any]) -> Judgement:
    return Judgement(verdict=verdict, text=text, at_us=row["attempted_at_us"])


def _failure(row: Mapping[str, Any]) -> str:
    return str(row["error_detail"] or row["error_kind"])


def _time(us: int) -> str:
    return rfc3339(from_us(us))
