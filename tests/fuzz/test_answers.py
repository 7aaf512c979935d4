"""Retry-After, from whatever a receiver sends."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.dispatcher.outcome import LONGEST_S, retry_after
from tests.fuzz.effort import cpu_within, tries

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
_WORDS = st.sampled_from(
    [
        "Sat",
        "Sat,",
        "14",
        "Mar",
        "2026",
        "99999",
        "-1",
        "0x10",
        "1e9",
        "NaN",
        "inf",
        "09:26:53",
        "99:99:99",
        "GMT",
        "+9999",
        "-0000",
        "UTC",
        "(",
        ")",
        "\\",
        ",",
        ";",
        "\0",
    ]
)
NEAR = st.integers(-3 * 86_400, 3 * 86_400)
FAR = st.integers(-6 * 10**10, 2 * 10**11)
ZONES = st.integers(-23 * 60, 23 * 60)


def dated(away_s: int, zone_minutes: int) -> str:
    """Return the date of a time so far from now, written in that zone; in GMT as HTTP has it for 0."""
    at = NOW + timedelta(seconds=away_s)
    return format_datetime(at.astimezone(timezone(timedelta(minutes=zone_minutes)))) if zone_minutes else format_datetime(at, usegmt=True)


DATES = st.builds(dated, NEAR | FAR, st.just(0) | ZONES)
TEXTS = st.one_of(
    DATES,
    st.lists(_WORDS, max_size=10).map(" ".join),
    st.lists(_WORDS, max_size=10).map("".join),
    st.text(max_size=200),
    st.integers().map(str),
    st.tuples(st.sampled_from(["1", "(", " ", ",", "Sat, ", "9", "\\(", "+", ":"]), st.integers(1, 8_192)).map(lambda t: t[0] * t[1]),
    st.binary(max_size=64).map(lambda raw: raw.decode("latin-1")),
)


@tries(800)
@given(TEXTS)
def test_a_wait_is_between_nothing_and_a_day(text: str) -> None:
    """Whatever stands in the header: a number in [0, 24 h], soon, and nothing raised."""
    with cpu_within(0.5):
        found = retry_after(text, NOW)
    assert math.isfinite(found)
    assert 0 <= found <= LONGEST_S


@tries(300)
@given(st.integers(0, 10**30))
def test_whole_seconds_are_kept_up_to_a_day(seconds: int) -> None:
    """A sane wish is honoured, an absurd one is a day."""
    assert retry_after(str(seconds), NOW) == min(seconds, LONGEST_S)


@tries(300)
@given(away_s=NEAR | st.integers(-3 * 10**9, 3 * 10**9), zone_minutes=st.just(0) | ZONES)
def test_a_date_is_kept_up_to_a_day(away_s: int, zone_minutes: int) -> None:
    """The time until then; a date that is past asks for nothing."""
    assert retry_after(dated(away_s, zone_minutes), NOW) == min(max(away_s, 0), LONGEST_S)
