"""Settlement: what happened to a delivery, as records on Kafka."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.dispatcher.ledger import Entry
from hookline.dispatcher.letters import DeadLetter, Reason
from hookline.dispatcher.settlement import Sent
from hookline.dispatcher.transport.contract import Failure, Reply, Result
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger, Waiting
from hookline.schemas.records import Source as Place
from tests.dispatcher.fake_kafka import message
from tests.dispatcher.fakes import PaperIntake, PaperLedger, attempts, delivery, reply, settlement, unit, webhook

pytestmark = pytest.mark.unit


def sent(result: Result) -> Sent:
    """Return a finished attempt."""
    return Sent(result=result, at_us=time.time_ns() // 1_000, url="https://hooks.test/1", request_headers="webhook-id: msg_1")


def test_an_attempt_tells_everything() -> None:
    """The record has what was sent, what came back, how long it took and where the payload lies."""
    ledger = PaperLedger()
    result = Reply(503, "retry-after: 9", b"busy \xff", 0.25, "9")
    settlement(ledger).retry(delivery(attempt=2, job_id="job_1", trigger=Trigger.REPLAY), sent(result), 1_800)
    [record] = attempts(ledger)
    assert (record.outcome, record.error_kind, record.error_detail) == (Outcome.RETRYING, ErrorKind.HTTP_STATUS, "answered 503")
    assert (record.attempt, record.http_status, record.response_time_us) == (3, 503, 250_000)
    assert (record.response_headers, record.response_body) == ("retry-after: 9", b"busy \xff")
    assert (record.url, record.request_headers) == ("https://hooks.test/1", "webhook-id: msg_1")
    assert (record.source_topic, record.source_offset) == ("test.events.orders", 7)
    assert (record.dispatcher, record.job_id, record.trigger) == ("host:1", "job_1", Trigger.REPLAY)
    assert record.next_retry_at_us - record.attempted_at_us > 1_700 * 1_000_000
    assert record.attempt_id.startswith("att_")


def test_each_value_is_in_its_own_field() -> None:
    """All values differ, and all are checked: the record is written by places, not by names."""
    ledger, began_us = PaperLedger(), 1_700_000_000_000_000
    one = delivery(8, attempt=2, job_id="job_1", trigger=Trigger.RESEND)
    one.waiting = dataclasses.replace(one.waiting, source=Place(topic="t.events.orders", partition=5, offset=70_000, timestamp_ms=9))
    one.ready_at = began_us / 1e6 - 4.5
    result = Reply(503, "a: b", b"\xff", 0.25)
    settlement(ledger).retry(one, Sent(result=result, at_us=began_us, url="https://u", request_headers="c: d"), 5)
    [record] = attempts(ledger)
    assert dataclasses.replace(record, attempt_id="", next_retry_at_us=0) == Attempt(
        attempt_id="",
        delivery_id="msg_8",
        store_id="shop",
        webhook_id="wh_8",
        event_id="evt_1",
        event_type="order.created",
        trigger=Trigger.RESEND,
        attempt=3,
        attempted_at_us=began_us,
        outcome=Outcome.RETRYING,
        http_status=503,
        error_kind=ErrorKind.HTTP_STATUS,
        error_detail="answered 503",
        response_time_us=250_000,
        queue_wait_us=4_500_000,
        url="https://u",
        request_headers="c: d",
        response_headers="a: b",
        response_body=b"\xff",
        source_topic="t.events.orders",
        source_partition=5,
        source_offset=70_000,
        source_timestamp_ms=9,
        dispatcher="host:1",
        job_id="job_1",
    )
    assert 0 < record.next_retry_at_us - time.time_ns() // 1_000 <= 5_000_000
    assert re.fullmatch("att_[0-9a-f]{24}", record.attempt_id)


@pytest.mark.parametrize(
    ("delay_s", "tier", "waits_on"),
    [(5, "5s", False), (300, "5m", False), (36_000, "10h", False), (7, "5s", True), (86_400, "10h", True), (0.3, "5s", False)],
)
def test_a_retry_waits_in_the_longest_tier_that_fits(delay_s: float, tier: str, waits_on: bool) -> None:
    """A delay with a tier of its own is just that; one between two tiers, or beyond, keeps its time in a header."""
    ledger = PaperLedger()
    settlement(ledger).retry(delivery(parked=4), sent(reply(500)), delay_s)
    [entry] = ledger.of("retry.")
    waiting = Waiting.from_headers(entry.headers)
    assert entry.topic == f"test.retry.{tier}"
    assert (waiting.attempt, waiting.parked, waiting.last_status, waiting.reason) == (1, 0, 500, "http_status")
    assert bool(waiting.not_before_us) == waits_on


def test_waiting_on_goes_through_tiers_without_counting() -> None:
    """What is not due after its tier waits in the next that fits, as it was."""
    ledger = PaperLedger()
    before = delivery(attempt=2, not_before_us=int((time.time() + 2_000) * 1e6))
    settlement(ledger).wait_on(before, 2_000)
    [entry] = ledger.entries
    waiting = Waiting.from_headers(entry.headers)
    assert (entry.topic, waiting.attempt) == ("test.retry.30m", 2)
    assert abs(waiting.not_before_us / 1e6 - time.time() - 2_000) < 60


def test_what_a_wrong_clock_wrote_is_cut_to_a_day() -> None:
    """A time in the far future is not waited for."""
    ledger = PaperLedger()
    settlement(ledger).wait_on(delivery(not_before_us=2**60), 10**9)
    waiting = Waiting.from_headers(ledger.entries[0].headers)
    assert waiting.not_before_us / 1e6 < time.time() + 86_400 + 60


def test_a_schedule_with_longer_delays_keeps_them() -> None:
    """A day is no limit for who has configured more."""
    ledger = PaperLedger()
    settlement(ledger, schedule_s=(5.0, 7 * 86_400.0)).wait_on(delivery(), 6 * 86_400)
    waiting = Waiting.from_headers(ledger.entries[0].headers)
    assert waiting.not_before_us / 1e6 > time.time() + 5 * 86_400


@pytest.mark.parametrize(("parked", "tier"), [(0, "1m"), (1, "5m"), (2, "30m"), (3, "30m"), (1_000, "30m")])
def test_parking_climbs(parked: int, tier: str) -> None:
    """Each time in a row it waits longer, up to the last tier; no attempt is counted, none is recorded."""
    ledger = PaperLedger()
    settlement(ledger).park(delivery(attempt=3, parked=parked), "lane")
    [entry] = ledger.entries
    waiting = Waiting.from_headers(entry.headers)
    assert (entry.topic, waiting.parked, waiting.attempt) == (f"test.retry.{tier}", parked + 1, 3)


def test_a_pause_is_explained_once() -> None:
    """The first parking of a paused webhook's delivery leaves a record, the later ones do not."""
    ledger = PaperLedger()
    for parked in (0, 1, 2):
        settlement(ledger).park(delivery(parked=parked), "paused", webhook())
    assert [record.error_kind for record in attempts(ledger)] == [ErrorKind.PAUSED]


def test_a_letter_keeps_the_bytes_and_says_why() -> None:
    """A dead letter holds the event's own bytes, where they came from, the attempts made and the last failure."""
    ledger = PaperLedger()
    settlement(ledger).dead(delivery(attempt=7), Reason.EXHAUSTED, sent(Failure(ErrorKind.TLS, "expired", 0.1)))
    [entry] = ledger.of("dead-letters.orders")
    letter = DeadLetter.from_headers(entry.headers)
    assert (entry.value, entry.key) == (b"value", b"wh_1")
    assert (letter.reason, letter.error, letter.original.offset) == ("exhausted", "expired", 7)
    assert letter.waiting is not None
    assert (letter.waiting.attempt, letter.waiting.reason) == (8, "tls_error")


def test_nothing_settles_before_everything_is_durable() -> None:
    """The record of an event with several deliveries settles with the last of them."""
    ledger, intake = PaperLedger(), PaperIntake()
    shared = unit(intake, left=3)
    for number in (1, 2, 3):
        assert intake.settled == []
        settlement(ledger).delivered(delivery(number, shared), sent(reply(200)))
        ledger.settle()
    assert intake.settled == [shared.record]


# ---- poison ----


@pytest.mark.parametrize("topic", ["test.events.customers", "test.retry.5s", "test.replays"])
def test_poison_keeps_its_bytes_key_and_headers(topic: str) -> None:
    """Raw bytes go to the dead letters of the category, or the first one's; the record settles then."""
    ledger, intake = PaperLedger(), PaperIntake()
    bad = unit(intake, value=b"\x01raw", topic=topic, key=b"k", headers={"x": b"y"})
    settlement(ledger).poison(bad, "no wire format" * 100)
    [entry] = ledger.entries
    assert entry.topic == ("test.dead-letters.customers" if "customers" in topic else "test.dead-letters.orders")
    assert (entry.value, entry.key, entry.headers["original.x"]) == (b"\x01raw", b"k", b"y")
    letter = DeadLetter.from_headers(entry.headers)
    assert (letter.reason, letter.waiting, len(letter.error)) == ("poison", None, 256)
    ledger.settle()
    assert intake.settled == [bad.record]


@given(st.binary(max_size=20), st.dictionaries(st.text("abc", max_size=5), st.integers(0, 9_000), max_size=8))
def test_poison_never_outgrows_kafkas_limit(key: bytes, headers: dict[str, int]) -> None:
    """The largest record that Kafka takes, with whatever headers, becomes a letter that Kafka takes too."""
    ledger = PaperLedger()
    value = bytes(2 * 1024 * 1024)
    bad = unit(value=value, key=key * 1_000, headers={name: bytes(size) for name, size in headers.items()})
    settlement(ledger).poison(bad, "why")
    [entry] = ledger.entries
    size = len(entry.value) + len(entry.key) + sum(len(n) + len(v) for n, v in entry.headers.items())
    assert size < 2 * 1024 * 1024 - 1_024
    assert entry.headers["dlq.cut"] == str(len(value)).encode()


# ---- what Kafka finds too large ----


def in_place_of(entry: Entry) -> list[Entry]:
    """Return what is written when Kafka finds an entry too large."""
    assert entry.instead is not None
    return entry.instead()


@pytest.mark.parametrize("how", ["retry", "parked", "waiting on"])
def test_a_retry_that_is_too_large_is_a_letter(how: str) -> None:
    """It ends with a record that says why and a letter with all its bytes: as poison, since it can be made again no more."""
    ledger = PaperLedger()
    book, large = settlement(ledger), delivery(attempt=2)
    if how == "retry":
        book.retry(large, sent(reply(500)), 5)
    elif how == "parked":
        book.park(large, "lane")
    else:
        book.wait_on(large, 100)
    ledger.entries = in_place_of(ledger.of("retry.")[0])
    [record], [entry] = attempts(ledger), ledger.of("dead-letters.orders")
    assert (record.outcome, record.error_kind, record.webhook_id) == (Outcome.DEAD, ErrorKind.POISON, "wh_1")
    assert record.error_detail == "Kafka takes no retry of 5 bytes"
    letter = DeadLetter.from_headers(entry.headers)
    assert (letter.reason, letter.error, letter.original.offset) == (Reason.POISON, record.error_detail, 7)
    assert (entry.key, entry.value, letter.waiting) == (b"wh_1", b"value", None)
    assert entry.headers["original.hookline-webhook-id"] == b"wh_1"
    assert "dlq.cut" not in entry.headers


def test_a_letter_that_is_too_large_is_cut_until_it_fits() -> None:
    """Half of it each time; what is cut can neither be read nor replayed, so it is poison, and says how large it was."""
    ledger = PaperLedger()
    large = delivery(attempt=7)
    large.value = bytes(range(100))
    settlement(ledger).dead(large, Reason.EXHAUSTED, sent(reply(500)))
    [whole] = ledger.of("dead-letters.orders")
    [half] = in_place_of(whole)
    [quarter] = in_place_of(half)
    assert (half.value, quarter.value) == (bytes(range(50)), bytes(range(25)))
    for entry in (half, quarter):
        letter = DeadLetter.from_headers(entry.headers)
        assert (letter.reason, letter.error, letter.waiting) == (Reason.POISON, "answered 500", None)
        assert (entry.topic, entry.key, entry.headers["dlq.cut"]) == (whole.topic, whole.key, b"100")
        assert entry.headers["original.hookline-attempt"] == b"8"


def test_poison_is_cut_further_where_a_topic_takes_less() -> None:
    """Its first size stays the one that is told, and its headers are named as before."""
    ledger = PaperLedger()
    settlement(ledger).poison(unit(value=bytes(2 * 1024 * 1024), headers={"x": b"y"}), "why")
    [entry] = ledger.entries
    [half] = in_place_of(entry)
    assert len(half.value) == len(entry.value) // 2
    assert (half.headers["dlq.cut"], half.headers["original.x"]) == (b"2097152", b"y")


@pytest.mark.parametrize(("value", "key"), [(None, b"k"), (b"", b"")])
def test_poison_without_a_value(value: Any, key: bytes) -> None:
    """A tombstone on an event topic is poison like any other."""
    ledger = PaperLedger()
    bad = unit(value=value, key=key)
    assert message(value).value() == value
    settlement(ledger).poison(bad, "empty")
    assert ledger.entries[0].value == b""
