"""Waiting deliveries and dead letters survive their way through Kafka's headers."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.dispatcher.letters import DeadLetter, Reason
from hookline.kernel.errors import WireError
from hookline.schemas.records import Source, Trigger, Waiting
from tests.dispatcher.fakes import waiting

pytestmark = pytest.mark.unit

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SOME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
COUNT = st.integers(0, 2**62)
SOURCES = st.builds(Source, topic=TEXT, partition=st.integers(0, 2**31 - 1), offset=COUNT, timestamp_ms=COUNT)
WAITING = st.builds(
    Waiting,
    delivery_id=SOME,
    webhook_id=SOME,
    store_id=SOME,
    event_id=SOME,
    event_type=SOME,
    source=SOURCES,
    attempt=st.integers(0, 1_000),
    parked=st.integers(0, 10_000),
    trigger=st.sampled_from(list(Trigger)),
    first_at_us=COUNT,
    not_before_us=COUNT,
    reason=TEXT,
    detail=TEXT,
    last_status=st.integers(0, 999),
    replays=st.integers(0, 100),
    job_id=TEXT,
    traceparent=st.from_regex(r"[0-9a-f-]{0,55}", fullmatch=True),
)


@given(WAITING)
def test_a_waiting_delivery_survives(before: Waiting) -> None:
    """Headers and back gives the same delivery."""
    assert Waiting.from_headers(before.to_headers()) == before


@given(st.sampled_from(list(Reason)), TEXT, SOURCES, st.none() | WAITING)
def test_a_dead_letter_survives(reason: Reason, error: str, original: Source, before: Waiting | None) -> None:
    """Headers and back gives the same letter, with its error cut to 256 characters, and all headers within 8 KiB."""
    letter = DeadLetter.of(reason, error * 10, original, before)
    headers = letter.to_headers()
    assert DeadLetter.from_headers(headers) == letter
    assert len(letter.error) <= 256
    assert sum(len(name) + len(value) for name, value in headers.items()) < 8 * 1024


@given(st.dictionaries(st.sampled_from(sorted(waiting().to_headers())), st.binary(max_size=30)))
def test_hostile_headers_are_refused_in_our_words(broken: dict[str, bytes]) -> None:
    """Whatever stands in the headers, reading them gives a delivery or a `WireError`, nothing else."""
    for headers in (broken, waiting().to_headers() | broken):
        with contextlib.suppress(WireError):
            assert Waiting.from_headers(headers).delivery_id


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("attempt", 2**31 - 2),
        ("parked", 2**31 - 1),
        ("last-status", 2**31 - 1),
        ("replays", 2**31 - 1),
        ("source-partition", 2**31 - 1),
        ("source-offset", 2**63 - 1),
        ("source-timestamp-ms", 2**63 - 1),
        ("first-at-us", 2**63 - 1),
        ("not-before-us", 2**63 - 1),
    ],
)
def test_a_number_that_no_attempt_has_room_for_is_refused(name: str, most: int) -> None:
    """What is read can be written; the count of attempts goes up by one before it is."""
    whole = waiting().to_headers()
    taken = Waiting.from_headers(whole | {f"hookline-{name}": str(most).encode()})
    assert str(most).encode() in taken.to_headers().values()
    for wrong in (most + 1, 10**19 - 1, 10**30):
        with pytest.raises(WireError, match=name):
            Waiting.from_headers(whole | {f"hookline-{name}": str(wrong).encode()})


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"dlq.reason": b"because"},
        {"dlq.original.offset": b"-"},
        {"dlq.error": b"\xff\xfe"},
        {"dlq.at": b""},
        {"hookline-attempt": b"many"},
    ],
)
def test_a_record_that_is_no_letter(broken: dict[str, Any]) -> None:
    """A record without a letter's headers, or with broken ones, is told apart."""
    whole = DeadLetter.of(Reason.EXHAUSTED, "why", waiting().source, waiting()).to_headers()
    with pytest.raises(WireError):
        DeadLetter.from_headers((whole | broken) if broken else {})
