"""How values are said to people: numbers, times, durations, and the closed lists of the API in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from hookline.kernel.clock import from_us

DASH: Final = "\N{EN DASH}"
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
_MANY: Final = 10_000
_MILLION: Final = 1_000_000
_SPANS: Final = ((_HOUR, "hours"), (_MINUTE, "minutes"))
_UNITS: Final = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"))

OUTCOMES: Final[Mapping[str, str]] = {
    "delivered": "Delivered",
    "retrying": "Waiting for retry",
    "dead": "Given up",
    "skipped": "Not called",
}
TRIED_AGAIN: Final = "Failed, tried again"
"""The same as `retrying`, once the next attempt was made."""
FAILED: Final = "Failed"
"""The same of a call long past, where the next one is not looked at; and of a test."""
STATES: Final[Mapping[str, str]] = {"enabled": "Enabled", "paused": "Paused", "disabled": "Disabled", "deleted": "Deleted"}
TRIGGERS: Final[Mapping[str, str]] = {"event": "Event", "resend": "Resend", "replay": "Replay", "test": "Test call"}
CATEGORIES: Final[Mapping[str, str]] = {"orders": "Orders", "products": "Products", "checkout": "Checkout", "customers": "Customers"}
ERRORS: Final[Mapping[str, str]] = {
    "http_status": "HTTP error status",
    "timeout": "No answer in time",
    "connect_error": "No connection",
    "connection_reset": "Connection closed",
    "dns_error": "Host name not found",
    "tls_error": "TLS failed",
    "protocol_error": "Answer is not HTTP",
    "blocked_address": "Address not allowed",
    "template_error": "Template failed",
    "internal_error": "Fault of Hookline's",
    "disabled": "Webhook disabled",
    "paused": "Webhook paused",
    "filter_error": "Filter failed",
    "cancelled": "Cancelled",
    "gone": "Receiver said 410 Gone",
    "poison": "Record cannot be read",
    "expired": "Held for too long",
}
REASONS: Final[Mapping[str, str]] = {
    "exhausted": "Every attempt failed",
    "gone": "The receiver said 410 Gone",
    "disabled": "The webhook was disabled",
    "expired": "Held for too long",
    "poison": "The record cannot be read",
}
BODIES: Final[Mapping[str, str]] = {
    "as_sent": "The signed body of every call.",
    "as_now": "What would be sent now. A call from before the last change of the webhook may have sent another body.",
    "event": "The event, with no template: its webhook was deleted, or its template fails on it. Another body may have been sent.",
}
"""What the body is that a delivery shows, by `request_body_source`."""
NUMBERS: Final = (
    "Deliveries are those that events began. Attempts are the HTTP calls made for them, retries, resends and replays too: "
    "there can be more of them."
)
"""How the two numbers of the first tile differ, said beside it."""
COUNTED: Final = (
    "The success rate counts deliveries that have ended: delivered, or given up. One that was sent again counts by how that ended. "
    "Test calls do not count."
)
"""What every success rate of the panel is of, said wherever one is shown."""
HEALTH: Final[Mapping[str, str]] = {
    "ok": "Well",
    "quiet": "Nothing yet",
    "slow": "Slow",
    "shaky": "Some failures",
    "failing": "Failing",
    "paused": "Paused",
    "disabled": "Disabled",
}
JOB_STATES: Final[Mapping[str, str]] = {
    "queued": "Waiting to start",
    "running": "Running",
    "cancelling": "Stopping",
    "cancelled": "Cancelled",
    "done": "Finished",
    "failed": "Failed",
    "preview": "Preview",
}
REPLAY_STATES: Final = tuple((state, said) for state, said in JOB_STATES.items() if state != "preview")
SOURCES: Final[Mapping[str, str]] = {"dead_letters": "Dead letters", "log": "Log"}
REPLAYED: Final[Mapping[str, tuple[str, str]]] = {"dead_letters": ("dead letter", "dead letters"), "log": ("delivery", "deliveries")}
"""What a replay counts, one and many, by its source."""
REPLAY_FATES: Final[Mapping[str, str]] = {
    "enabled": "are called",
    "paused": "wait until the webhook is resumed",
    "disabled": "are left alone: enable the webhook first",
    "deleted": "are left alone",
}
"""What a replay makes of deliveries, by the state of their webhook."""
VERDICTS: Final[Mapping[str, str]] = {
    "delivered": "Delivered",
    "waiting_for_retry": "Waiting for retry",
    "waiting": "On its way",
    "dead": "Given up",
    "paused": "Held: webhook paused",
    "disabled": "Webhook disabled",
    "cancelled": "Cancelled",
    "filter_error": "Filter failed",
    "filter_no_match": "Filter said no",
    "not_its_type": "Not its event type",
    "created_later": "Webhook made later",
    "unknown_event": "Event not found",
}
SCOPES: Final[Mapping[str, str]] = {
    "events:write": "Publish events",
    "hooks:read": "See webhooks",
    "hooks:write": "Create and change webhooks, send tests",
    "results:read": "See the log, statistics and dead letters",
    "dlq:replay": "Resend and replay",
    "admin": "Everything in the store, keys and audit too",
}
ROLES: Final[Mapping[str, str]] = {
    "operator": "Operator: every store",
    "admin": "Admin: everything in one store",
    "viewer": "Viewer: looks, changes nothing",
}
ROLE_NAMES: Final[Mapping[str, str]] = {"operator": "Operator", "admin": "Admin", "viewer": "Viewer"}
USER_STATES: Final[Mapping[str, str]] = {
    "enabled": "May sign in",
    "invited": "Has a link",
    "no-password": "Needs a new link",
    "disabled": "Disabled",
}
FILTERS: Final[Mapping[str, str]] = {
    "webhook": "Webhook",
    "event_type": "Event type",
    "event": "Event",
    "status": "HTTP status",
    "outcome": "Outcome",
    "error": "Kind of error",
    "trigger": "Made by",
    "job": "Replay",
    "from": "From",
    "to": "To",
    "category": "Category",
    "reason": "Reason",
    "again": "Replayed before",
    "ids": "Dead letters",
}
"""What the log, dead letters and replays are narrowed by."""
FILTER_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "outcome": OUTCOMES,
    "error": ERRORS,
    "trigger": TRIGGERS,
    "category": CATEGORIES,
    "reason": REASONS,
    "again": {"True": "those too"},
    "status": {"none": "no answer", "2xx": "2xx success", "3xx": "3xx redirect", "4xx": "4xx refused", "5xx": "5xx receiver's fault"},
}
KEY_STATES: Final[Mapping[str, str]] = {"live": "Live", "expired": "Expired", "revoked": "Revoked"}
ACTIONS: Final[Mapping[str, str]] = {
    "webhook.create": "Made a webhook",
    "webhook.update": "Changed a webhook",
    "webhook.enable": "Enabled a webhook",
    "webhook.pause": "Paused a webhook",
    "webhook.resume": "Resumed a webhook",
    "webhook.disable": "Disabled a webhook",
    "webhook.disable-gone": "Disabled a webhook: its receiver answered 410 Gone",
    "webhook.delete": "Deleted a webhook",
    "webhook.rotate-secret": "Changed a webhook's secret",
    "template.try": "Tried a template",
    "webhook.test": "Sent a test call",
    "delivery.resend": "Sent a delivery again",
    "replay.create": "Started a replay",
    "replay.cancel": "Stopped a replay",
    "api-key.create": "Made an API key",
    "api-key.revoke": "Revoked an API key",
    "user.invite": "Let somebody in",
    "user.reset": "Voided a password, made a link",
    "user.disable": "Disabled a user",
    "user.enable": "Enabled a user",
    "user.sign_in": "Signed in",
    "user.password": "Set their own password",
    "user.rename": "Changed their own name",
    "user.end-sessions": "Ended sessions of their own",
    "privacy.erase": "Erased a person's events",
}
"""What the audit calls changes; a test holds it against what is written there."""
ACTORS: Final[Mapping[str, str]] = {
    "operator": "The operator's token",
    "user": "An operator",
    "command-line": "The command line",
    "dispatcher": "A dispatcher",
}
DONE: Final[Mapping[str, str]] = {
    "replay-made": "The replay is made. This page follows it by itself.",
    "none-ticked": "Nothing is ticked. Tick the letters that shall be made again, or replay all that fit.",
    "replay-cancelled": "The replay stops; nothing more is made again.",
    "resent": "It is sent again, with the current URL and secret. The new attempt shows here within seconds.",
    "signed-out": "You are signed out.",
    "password-set": "The new password is set. All other sessions have ended.",
    "confirmed": "Thank you. Please do it once more now.",
    "renamed": "The name is changed.",
    "session-ended": "That session has ended.",
    "sessions-ended": "All your other sessions have ended.",
    "key-revoked": "The key is revoked: every process refuses it within seconds.",
    "user-disabled": "They are signed out everywhere and cannot sign in any more.",
    "user-enabled": "They may sign in again.",
    "webhook-saved": "The webhook is changed.",
    "webhook-unchanged": "Nothing was changed.",
    "webhook-paused": "The webhook is paused: what comes is held until you resume it.",
    "webhook-resumed": "The webhook is resumed: what was held is delivered within minutes.",
    "webhook-enabled": "The webhook is enabled: it gets events again.",
    "webhook-disabled": "The webhook is disabled: it gets no events.",
    "webhook-deleted": "The webhook is deleted.",
}
"""What was just done, said on top of the page that follows."""
TONES: Final[Mapping[str, str]] = {
    "delivered": "good", "ok": "good", "enabled": "good", "done": "good", "live": "good",
    "retrying": "warn", "shaky": "warn", "slow": "warn", "waiting_for_retry": "warn",
    "waiting": "warn", "queued": "warn", "cancelling": "warn", "filter_error": "warn",
    "dead": "bad", "failed": "bad", "failing": "bad", "disabled": "bad",
    "paused": "held", "running": "held", "invited": "held", "no-password": "warn", "expired": "warn", "revoked": "bad",
}  # fmt: skip
"""The colour family of a word; those that are missing are neutral."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, ready to be shown: for machines, in short, and exactly; without its year; its day and its minute alone."""

    iso: str
    text: str
    exact: str
    brief: str
    date: str
    clock: str


def moment(value: str | int | None) -> Moment | None:
    """Return a time of the API (RFC 3339, or microseconds since the epoch) as it is shown; None for none."""
    if not value:
        return None
    at = from_us(value) if isinstance(value, int) else datetime.fromisoformat(value).astimezone(UTC)
    iso = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    date = f"{at.day} {at:%b %Y}"
    return Moment(
        iso=iso,
        text=f"{date}, {at:%H:%M:%S} UTC",
        exact=f"{at:%Y-%m-%d %H:%M:%S.%f} UTC",
        brief=f"{at.day} {at:%b, %H:%M:%S} UTC",
        date=date,
        clock=f"{at:%H:%M}",
    )


def number(value: float | None) -> str:
    """Return a count with thin spaces between thousands: 1 204 311."""
    return DASH if value is None else f"{value:,.0f}".replace(",", "\u202f")


def compact(value: int) -> str:
    """Return a count for a tile: 9 874, 12.4k, 3.1M."""
    if value >= _MILLION:
        return f"{value / _MILLION:.1f}M"
    return f"{value / 1_000:.1f}k" if value >= _MANY else number(value)


def percent(value: float | None) -> str:
    """Return a share from 0 to 1: 99.95 %, and 100 % only for all."""
    if value is None:
        return DASH
    shown = f"{value * 100:.2f}" if value > 0.99 else f"{value * 100:.1f}"  # noqa: PLR2004  # where the second digit says something
    if float(shown) >= 100 and value < 1:  # noqa: PLR2004  # per cent
        shown = "99.99"
    return f"{shown.removesuffix('.00').removesuffix('.0')}\u202f%"


def milliseconds(value: float | None) -> str:
    """Return a time of milliseconds: 0.8 ms, 34 ms, 1.25 s."""
    if value is None:
        return DASH
    if value >= 1_000:  # noqa: PLR2004  # a second
        return f"{value / 1_000:.2f}\u202fs"
    return f"{value:.0f}\u202fms" if value >= 10 else f"{value:.1f}\u202fms"  # noqa: PLR2004  # two digits say enough


def duration(seconds: float) -> str:
    """Return a span in its two largest units: 3 d 4 h, 12 min, 8 s."""
    left = max(0, round(seconds))
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        if left >= size or parts:
            parts.append((left // size, unit))
            left %= size
    shown = [f"{count}\u202f{unit}" for count, unit in parts[:2] if count]
    return " ".join(shown) or f"{left}\u202fs"


def ago(us: int, now_us: int) -> str:
    """Return how long ago a time is, or how far ahead."""
    seconds = (now_us - us) / 1_000_000
    if abs(seconds) < 1:
        return "just now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"


def waiting(count: int, oldest_us: int, held: int, now_us: int) -> str:
    """Return what is to be said below the number of deliveries that wait for a retry: since when, and what a pause holds beside them."""
    since = f"the oldest since {ago(oldest_us, now_us).removesuffix(' ago')}" if count else "" if held else "none waits"
    return ", ".join(filter(None, (since, f"{held:,} held by a pause" if held else "")))


def schedule(pauses_s: Sequence[float]) -> str:
    """Return what a schedule of retries comes to, by its pauses in seconds: 8 attempts in 27.6 hours."""
    if not pauses_s:
        return "1 attempt"
    span_s = sum(pauses_s)
    size, unit = next(((size, unit) for size, unit in _SPANS if span_s >= 2 * size), (1, "seconds"))
    return f"{plural(len(pauses_s) + 1, 'attempt')} in {span_s / size:.3g} {unit}"


def pace(rate: float) -> str:
    """Return `50 a second`, `0.5 a second`."""
    return f"{rate:,.4g} a second".replace(",", "\u202f")


def plural(count: int, one: str, many: str = "") -> str:
    """Return `1 delivery`, `2 deliveries`: a count and its noun."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def status_text(status: int | None) -> str:
    """Return `404 Not Found`, the number alone for a status without a name, `no answer` for none."""
    if not status:
        return "no answer"
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def failure(kind: str | None, detail: str, attempt: int) -> str:
    """Return what went wrong in one sentence, empty for nothing; of a call the details say it all, else what hindered it comes first."""
    if not kind:
        return ""
    if not detail:
        return ERRORS[kind]
    return f"{detail[:1].upper()}{detail[1:]}" if attempt else f"{ERRORS[kind]}: {detail}"


def outcome_said(outcome: str, trigger: str) -> str:
    """Return what became of a delivery: a test is made once, so nobody gives up on it when it fails."""
    return FAILED if outcome == "dead" and trigger == "test" else OUTCOMES[outcome]


def attempt_said(outcome: str, trigger: str, next_retry_at: str | None, now_us: int) -> str:
    """Return what became of one attempt among others: it waits for the next one until that was due."""
    due = datetime.fromisoformat(next_retry_at).timestamp() * 1_000_000 if next_retry_at else 0
    return FAILED if outcome == "retrying" and due <= now_us else outcome_said(outcome, trigger)


def tone(word: str) -> str:
    """Return the colour family of a word of ours."""
    return TONES.get(word, "plain")


def weekday(us: int) -> str:
    """Return `Tuesday 14:02 UTC`, with the date when it is more than six days ago is for the caller to add."""
    return f"{from_us(us):%A %H:%M} UTC"
