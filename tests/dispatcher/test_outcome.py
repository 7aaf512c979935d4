"""What follows an attempt, by table and by property."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.dispatcher.config import schedule_s
from hookline.dispatcher.outcome import (
    LONGEST_S,
    SCHEDULES,
    Dead,
    Delivered,
    Disable,
    Policy,
    Retry,
    Settled,
    asked_to_wait,
    retry_after,
    settle,
    tier_for,
)
from hookline.dispatcher.transport.contract import Failure, Reply, Result
from hookline.schemas.records import ErrorKind
from hookline.schemas.topics import duration_s

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TIERS = ("5s", "1m", "5m", "30m", "2h", "5h", "10h")
DEFAULT = Policy(schedule_s=SCHEDULES["default"], tiers=TIERS)
LONG = Policy(schedule_s=SCHEDULES["long"], tiers=TIERS)
KINDS = [
    ErrorKind.TIMEOUT,
    ErrorKind.CONNECT,
    ErrorKind.RESET,
    ErrorKind.DNS,
    ErrorKind.TLS,
    ErrorKind.PROTOCOL,
    ErrorKind.BLOCKED,
    ErrorKind.TEMPLATE,
    ErrorKind.INTERNAL,
]


def answered(status: int, retry: str = "") -> Reply:
    """Return an answer."""
    return Reply(status, "", b"", 0.1, retry)


@pytest.mark.parametrize(
    ("result", "follows"),
    [
        *((answered(status), Delivered()) for status in (200, 201, 202, 204, 206, 299)),
        *((answered(status), Retry(5)) for status in (101, 300, 301, 302, 304, 307, 308)),
        *((answered(status), Retry(5)) for status in (400, 401, 402, 403, 404, 405, 408, 409, 411, 413, 418, 422, 499)),
        (answered(410), Disable("the receiver answered 410 Gone")),
        *((answered(status), Retry(5)) for status in (429, 500, 501, 502, 503, 504, 505, 520, 599, 600, 999)),
        *((Failure(kind, "why", 0.1), Retry(5)) for kind in KINDS),
    ],
)
def test_the_table(result: Result, follows: Settled) -> None:
    """2xx is delivered, 410 disables, everything else is tried again."""
    assert settle(result, 1, DEFAULT, NOW) == follows


@pytest.mark.parametrize("policy", [DEFAULT, LONG])
@pytest.mark.parametrize("result", [answered(500), answered(302), answered(429, "60"), *(Failure(kind, "why", 0.1) for kind in KINDS)])
def test_the_last_attempt_is_the_last(policy: Policy, result: Result) -> None:
    """After the schedule's last delay there is one more attempt, and after that none, whatever the receiver asks for."""
    last = len(policy.schedule_s) + 1
    assert isinstance(settle(result, last - 1, policy, NOW), Retry)
    assert settle(result, last, policy, NOW) == Dead()
    assert settle(result, last + 1, policy, NOW) == Dead()


def test_success_and_410_count_at_the_last_attempt_too() -> None:
    """The last attempt can still deliver or disable."""
    assert settle(answered(200), 8, DEFAULT, NOW) == Delivered()
    assert isinstance(settle(answered(410), 8, DEFAULT, NOW), Disable)


@pytest.mark.parametrize(("name", "attempts", "hours"), [("default", 8, 27.6), ("long", 16, 75.1)])
def test_the_schedules(name: str, attempts: int, hours: float) -> None:
    """The default schedule makes 8 attempts in 27.6 h, the long one 16 in 75.1 h; every delay has its own tier; delays never shrink."""
    delays = SCHEDULES[name]
    assert len(delays) + 1 == attempts
    assert round(Policy(schedule_s=delays, tiers=TIERS).span_s / 3_600, 1) == hours
    assert all(duration_s(tier_for(delay, TIERS)) == delay for delay in delays)
    assert list(delays) == sorted(delays)


def test_walking_the_whole_schedule() -> None:
    """A receiver that always fails is tried after exactly the schedule's delays, then given up."""
    waited, attempt = [], 1
    while isinstance(follows := settle(answered(500), attempt, LONG, NOW), Retry):
        waited.append(follows.delay_s)
        attempt += 1
    assert (tuple(waited), follows, attempt) == (SCHEDULES["long"], Dead(), 16)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("5", 5),
        (" 120 ", 120),
        ("86400", 86_400),
        ("86401", 86_400),
        ("1" * 60, 86_400),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        ("Tuesday, 24-Nov-26 12:02:00 GMT", 120),
        ("Tue Nov 24 12:02:00 2026", 120),
        (format_datetime(NOW + timedelta(days=400)), 86_400),
        (format_datetime(NOW - timedelta(days=1)), 0),
        *(
            (garbage, 0)
            for garbage in (
                "",
                "   ",
                "abc",
                "-1",
                "+5",
                "1.5",
                "1e9",
                "nan",
                "NaN",
                "inf",
                "-inf",
                "0x10",
                "1_000",
                "٣",
                "²",
                "5 seconds",
                "5, 6",
                "Tue, 32 Foo 2026 99:99:99 GMT",
                "Tue, 24 Nov 99999 12:00:00 GMT",
                "Tue, 24 Nov 2026 12:00:00 +99999",
                "\x00",
                "9" * 10_000,
                "Tue, 24 Nov 2026 12:00:00 GMT" + " " * 10_000 + "x",
            )
        ),
    ],
)
def test_retry_after(text: str, seconds: float) -> None:
    """Whole seconds and HTTP dates are read and clamped to a day; anything else counts as nothing."""
    assert retry_after(text, NOW) == seconds


@given(st.text(max_size=100) | st.integers().map(str) | st.floats().map(str) | st.datetimes().map(format_datetime))
def test_retry_after_is_never_out_of_bounds(text: str) -> None:
    """Whatever a receiver sends, the wait is between nothing and a day."""
    assert 0 <= retry_after(text, NOW) <= LONGEST_S


@given(
    st.integers(100, 999),
    st.integers(1, 20),
    st.text(max_size=20) | st.integers(0, 10**6).map(str),
    st.sampled_from([DEFAULT, LONG]),
)
def test_any_answer_has_one_outcome(status: int, attempt: int, retry: str, policy: Policy) -> None:
    """A retry waits at least its schedule's delay and at most a day; only 429, 502, 503 and 504 may ask for more."""
    follows = settle(answered(status, retry), attempt, policy, NOW)
    if 200 <= status < 300:
        assert follows == Delivered()
    elif status == 410:
        assert isinstance(follows, Disable)
    elif attempt > len(policy.schedule_s):
        assert follows == Dead()
    else:
        assert isinstance(follows, Retry)
        low = policy.schedule_s[attempt - 1]
        assert low <= follows.delay_s <= max(low, LONGEST_S)
        assert follows.delay_s == low or status in {429, 502, 503, 504}


@pytest.mark.parametrize(("asked", "waits"), [("1", 300), ("300", 300), ("301", 301), ("9" * 9, LONGEST_S)])
def test_a_receiver_may_ask_for_more_time_and_not_for_less(asked: str, waits: float) -> None:
    """Retry-After lengthens the schedule's delay, here five minutes, to a day at most, and never shortens it."""
    assert settle(answered(503, asked), 2, DEFAULT, NOW) == Retry(waits)


def test_only_some_answers_may_ask_to_wait() -> None:
    """A Retry-After on another status, or with no answer at all, asks for nothing."""
    assert asked_to_wait(answered(429, "60"), NOW) == 60
    assert asked_to_wait(answered(500, "60"), NOW) == 0
    assert asked_to_wait(answered(301, "60"), NOW) == 0
    assert asked_to_wait(Failure(ErrorKind.TIMEOUT, "why", 1.0), NOW) == 0


@given(st.floats(0, 10**6))
def test_a_tier_is_never_longer_than_the_delay(delay_s: float) -> None:
    """A delivery waits in the longest tier that fits, in the shortest when none does: never too long by more than that one."""
    tier = duration_s(tier_for(delay_s, TIERS))
    longer = [duration_s(name) for name in TIERS if tier < duration_s(name) <= delay_s]
    assert tier <= max(delay_s, 5)
    assert longer == []


def test_schedules_from_the_environment() -> None:
    """`default`, `long` and lists of durations are read; an empty one and nonsense are refused."""
    assert schedule_s("default") == SCHEDULES["default"]
    assert schedule_s("5s, 1m,2h") == (5, 60, 7_200)
    for text in (",", "5", "5s,nonsense", "-1s"):
        with pytest.raises(ValueError, match=r"duration|must be"):
            schedule_s(text)
