"""What follows an attempt: one pure function of the result, the attempt's number, the policy and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, TypeAlias

from hookline.dispatcher.transport.contract import Reply, Result
from hookline.schemas.topics import duration_s

_HOUR: Final = 3_600.0
SCHEDULES: Final[Mapping[str, tuple[float, ...]]] = {
    # 8 attempts in 27.6 h
    "default": (5, 300, 1_800, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 10 * _HOUR),
    # 16 attempts in 75.1 h
    "long": (5, 60, 300, 1_800, 1_800, 2 * _HOUR, 2 * _HOUR, 5 * _HOUR, 5 * _HOUR, *(10 * _HOUR,) * 6),
}
_SLOWED: Final = frozenset(
    {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
_OK, _MULTIPLE_CHOICES, _GONE = int(HTTPStatus.OK), int(HTTPStatus.MULTIPLE_CHOICES), int(HTTPStatus.GONE)  # members compare slowly
LONGEST_S: Final = 24 * _HOUR
_MAX_HEADER: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`schedule_s[n-1]` is the delay after attempt n; an attempt without one is the last. `tiers` are the retry topics."""

    schedule_s: tuple[float, ...]
    tiers: tuple[str, ...]

    @property
    def span_s(self) -> float:
        """Seconds from the first attempt to the last."""
        return sum(self.schedule_s)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay_s`."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Dead:
    """No attempt is left."""


@dataclass(frozen=True, slots=True)
class Disable:
    """The receiver says it is gone for good: disable the webhook."""

    reason: str


_DELIVERED: Final = Delivered()
Settled: TypeAlias = Delivered | Retry | Dead | Disable


def settle(result: Result, attempt: int, policy: Policy, now: datetime) -> Settled:
    """Return what follows attempt number `attempt` (from 1).

    2xx delivered; 410 disables; everything else, redirects included, is tried again while the schedule lasts. 429,
    502, 503 and 504 may ask for more time with Retry-After, clamped to [the schedule's delay, 24 h].
    """
    if isinstance(result, Reply):
        if _OK <= result.status < _MULTIPLE_CHOICES:
            return _DELIVERED
        if result.status == _GONE:
            return Disable("the receiver answered 410 Gone")
    if attempt > len(policy.schedule_s):
        return Dead()
    delay_s = policy.schedule_s[attempt - 1]
    return Retry(max(delay_s, asked_to_wait(result, now)))


def asked_to_wait(result: Result, now: datetime) -> float:
    """Return for how many seconds the receiver asked to be left alone; 0 when it did not ask, or made no sense."""
    if not isinstance(result, Reply) or result.status not in _SLOWED:
        return 0.0
    return retry_after(result.retry_after, now)


def retry_after(text: str, now: datetime) -> float:
    """Return the seconds that a Retry-After header asks for, clamped to [0, 24 h]; 0 when it makes no sense.

    Both forms of RFC 9110 are read: whole seconds and an HTTP date.
    """
    text = text.strip()
    if not text or len(text) > _MAX_HEADER:
        return 0.0
    seconds = float(text) if text.isascii() and text.isdigit() else _until(text, now)
    return min(max(seconds, 0.0), LONGEST_S)


def _until(text: str, now: datetime) -> float:
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return (at - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def tier_for(delay_s: float, tiers: Sequence[str]) -> str:
    """Return the longest tier that is not longer than the delay; the shortest when all are."""
    fitting = [tier for tier in tiers if duration_s(tier) <= delay_s]
    return fitting[-1] if fitting else tiers[0]
