"""The invariants see what they are for: a history in which all is well, and what each kind of harm does to it."""

from __future__ import annotations

import dataclasses

import pytest

from hookline.schemas.records import delivery_id
from tests.chaos.history import Call, Copy, Incident, Kind, Letter, Publish, Role, digest_of
from tests.chaos.invariants import check, recovery_s, without_fate
from tests.chaos.small import BEGAN, TOPIC, Small, delivery, tried

pytestmark = pytest.mark.unit


@pytest.fixture
def small() -> Small:
    """Give a history in which all is well."""
    return Small()


def test_all_is_well(small: Small) -> None:
    """A history without harm violates nothing."""
    assert small.broken() == []
    assert recovery_s(small.history, small.chapter) == 0


def test_a_confirmed_event_that_is_not_on_kafka(small: Small) -> None:
    """It is named, with who was told yes."""
    small.history.publishes["evt_x"] = Publish("evt_x", "demo", "order.created", "console", BEGAN, BEGAN + 1)
    [violation] = check(small.history, small.chapter)
    assert violation.invariant == "published"
    assert "evt_x was confirmed to console" in violation.text


def test_an_event_that_was_not_confirmed_is_no_promise(small: Small) -> None:
    """Whether it is on Kafka or not, nobody was told."""
    small.history.publishes["evt_x"] = Publish("evt_x", "demo", "order.created", "console", BEGAN)
    assert small.broken() == []


def test_an_event_that_reached_nobody(small: Small) -> None:
    """The violation tells the event's story."""
    small.chapter.unsettled = [delivery(3)]
    [violation] = check(small.history, small.chapter)
    assert violation.invariant == "delivered"
    assert "evt_3" in violation.text
    assert any("published by ingest" in line for line in violation.story)


def test_a_dead_letter_is_an_end_only_where_it_may_be(small: Small) -> None:
    """A healthy webhook's delivery must not die."""
    role = next(iter(small.history.roles.values()))
    small.history.taken.discard(delivery(3))
    small.history.add_letter(Letter(delivery(3), "exhausted", (TOPIC, 0, 3)))
    assert not small.history.settled(delivery(3), role)
    small.history.taken.add(delivery(3))
    assert not small.history.settled(delivery(3), role)
    role.may_die = True
    assert small.history.settled(delivery(3), role)


def test_an_offset_that_was_committed_too_early(small: Small) -> None:
    """Something below the committed offset has no fate on Kafka."""
    small.history.add_copy(Copy((TOPIC, 0, 10), "evt_10", "demo", "order.created"))
    small.history.publishes["evt_10"] = Publish("evt_10", "demo", "order.created", "ingest", BEGAN, BEGAN)
    assert small.broken() == []
    small.chapter.committed = {(TOPIC, 0): 11}
    assert small.broken() == ["committed"]
    small.chapter.unsettled = [delivery(10)]
    assert small.broken() == ["delivered", "committed"]


def test_poison_below_the_committed_offset_needs_a_letter(small: Small) -> None:
    """An unreadable record that was passed over without one is a loss."""
    small.history.add_copy(Copy((TOPIC, 0, 10), "", "", ""))
    small.chapter.committed = {(TOPIC, 0): 11}
    assert small.broken() == ["committed"]
    small.history.add_letter(Letter("", "poison", (TOPIC, 0, 10)))
    assert small.broken() == []


def test_what_was_committed_too_early_in_the_middle_counts(small: Small) -> None:
    """What had no fate when it was looked at is a violation, though all is well in the end."""
    offsets = {(TOPIC, 0): 10}
    assert without_fate(small.history, small.history.copies, offsets) == []
    settled = small.history.tried_of.pop(delivery(4))
    [early] = without_fate(small.history, small.history.copies, offsets)
    assert early.invariant == "committed"
    assert delivery(4) in early.text
    small.history.tried_of[delivery(4)] = settled
    small.chapter.early.append(early)
    assert small.broken() == ["committed"]


def test_a_dead_letter_keeps_the_bytes_of_its_record(small: Small) -> None:
    """Of poison and of deliveries; nothing is as good as empty."""
    small.history.add_copy(Copy((TOPIC, 0, 10), "", "", "", raw=digest_of(b"poison")))
    small.history.add_copy(Copy((TOPIC, 0, 11), "", "", "", raw=digest_of(None)))
    small.history.add_letter(Letter("", "poison", (TOPIC, 0, 10), digest_of(b"poison")))
    small.history.add_letter(Letter("", "poison", (TOPIC, 0, 11), digest_of(b"")))
    assert small.broken() == []
    small.history.add_letter(Letter("", "poison", (TOPIC, 0, 10), digest_of(b"poiso")))
    assert small.broken() == ["letters"]
    small.history.add_letter(Letter("", "poison", (TOPIC, 0, 10), digest_of(b"poison")))
    small.history.add_letter(Letter(delivery(3), "exhausted", (TOPIC, 0, 3), digest_of(b"another")))
    assert small.broken() == ["letters"]


def test_an_event_that_is_on_kafka_twice_may_come_twice(small: Small) -> None:
    """A publisher that was not answered published again."""
    small.history.add_copy(Copy((TOPIC, 0, 10), "evt_2", "demo", "order.created"))
    small.again(2, BEGAN + 3)
    assert small.broken() == []


@pytest.mark.parametrize("harm", ["missing", "strange", "doubled", "other", "status", "sums"])
def test_rows_that_are_not_the_attempts(small: Small, harm: str) -> None:
    """A row that is missing, one of nothing, one twice, one of another attempt, one with another status, sums that are off."""
    rows = dict(small.chapter.rows)
    if harm == "missing":
        del rows[0, 4]
    elif harm == "strange":
        rows[0, 99] = "att_99"
    elif harm == "doubled":
        small.chapter.doubled = [(0, 4)]
    elif harm == "other":
        rows[0, 4] = rows[0, 5]
    elif harm == "status":
        rows[0, 4] = rows[0, 4].replace(" 200 ", " 503 ")
    else:
        small.chapter.sums_right = False
    small.chapter.rows = rows
    assert small.broken() == ["rows"]


def test_a_record_put_aside_needs_no_row(small: Small) -> None:
    """Neither one that is no attempt nor one that is none that ClickHouse could take."""
    small.history.unreadable.add((0, 50))
    assert small.broken() == ["rows"]
    small.history.rejected.add((0, 50))
    assert small.broken() == []


def test_a_call_that_is_not_recorded(small: Small) -> None:
    """Only a dispatcher that was killed right after explains it."""
    call = Call(delivery(5), "evt_5", "steady", 2, BEGAN + 2, 0, True)
    small.history.add_calls([call])
    assert small.broken() == ["calls"]
    small.history.incidents.append(Incident(BEGAN + 2.1, Kind.KILL, "dispatcher-1", 1))
    assert small.broken() == []


def test_an_answer_that_no_receiver_gave(small: Small) -> None:
    """An attempt with a status needs a call."""
    made = dataclasses.replace(tried(5, BEGAN + 2), attempt=2, offset=10, attempt_id="att_10")
    small.history.add_attempt(made)
    small.chapter.rows = {**small.chapter.rows, (0, 10): made.row}
    assert small.broken() == ["calls"]


def test_a_status_that_no_receiver_meant(small: Small) -> None:
    """What is recorded is what the receiver answered."""
    made = dataclasses.replace(small.history.attempts[4], status=503)
    small.history.attempts[4] = made
    small.chapter.rows = {**small.chapter.rows, (0, 4): made.row}
    assert small.broken() == ["calls"]


def test_a_row_that_is_there_twice_names_its_event(small: Small) -> None:
    """How often, and whose."""
    small.chapter.doubled = [(0, 4), (0, 4), (0, 7)]
    texts = [violation.text for violation in check(small.history, small.chapter)]
    assert ["2 times too often" in texts[0], "evt_4" in texts[0], "1 times" in texts[1], "evt_7" in texts[1]] == [True] * 4


@pytest.mark.parametrize(
    "call",
    [
        Call("trap", "", "trap", 0, BEGAN, 0, False),
        Call(delivery(1), "evt_1", "steady", 2, BEGAN, 0, False),
        Call(delivery_id("demo", "evt_none", "wh_1"), "evt_none", "steady", 1, BEGAN, 200, True),
        Call(delivery(1), "evt_1", "choosy", 2, BEGAN, 200, True),
        Call(delivery_id("demo", "evt_1", "wh_2"), "evt_1", "choosy", 1, BEGAN, 200, True),
        Call(delivery_id("other", "evt_1", "wh_3"), "evt_1", "foreign", 1, BEGAN, 200, True),
        Call(delivery(1), "evt_2", "steady", 2, BEGAN, 200, True),
        Call(delivery(1), "evt_1", "steady", 2, BEGAN, 200, True, said="something else"),
    ],
)
def test_calls_that_nobody_wanted(small: Small, call: Call) -> None:
    """A trap, a wrong signature, an unknown event, another's webhook, type or store, an event under another's id, another body."""
    small.history.add_role(Role(name="choosy", store_id="demo", types=("product.changed",), webhook_id="wh_2"))
    small.history.add_role(Role(name="foreign", store_id="other", types=("order.created",), webhook_id="wh_3"))
    small.history.incidents.append(Incident(BEGAN + 0.1, Kind.KILL, "dispatcher-1", 1))
    small.history.add_calls([call])
    assert small.broken() == ["wanted"]


def test_a_zombie_that_sends(small: Small) -> None:
    """After it wakes it must not repeat what another process had called meanwhile."""
    frozen = Incident(BEGAN + 1, Kind.FREEZE, "dispatcher-2", 2)
    small.history.incidents += [frozen, Incident(BEGAN + 9, Kind.THAW, "dispatcher-2", 2)]
    small.again(9, BEGAN + 5, process=1)
    assert "zombie" not in small.broken()
    small.again(9, BEGAN + 9.5, process=2)
    assert "zombie" in small.broken()


def test_a_retry_that_was_on_its_way(small: Small) -> None:
    """Where Kafka asks for an attempt twice, it is no zombie that makes it twice."""
    small.history.incidents += [Incident(BEGAN + 1, Kind.FREEZE, "dispatcher-2", 2), Incident(BEGAN + 9, Kind.THAW, "dispatcher-2", 2)]
    small.again(9, BEGAN + 5, process=1)
    small.again(9, BEGAN + 9.5, process=2)
    small.history.retries[delivery(9), 1] = 2
    assert "zombie" not in small.broken()


def test_zombies_that_slept_together(small: Small) -> None:
    """The second to wake may get what the first has begun by a rebalance, but not at once."""
    small.history.incidents += [Incident(BEGAN + 1, Kind.FREEZE, f"dispatcher-{n}", n) for n in (1, 2)]
    small.history.incidents += [Incident(BEGAN + 5 + n, Kind.THAW, f"dispatcher-{n}", n) for n in (1, 2)]
    small.again(9, BEGAN + 6.5, process=1)
    small.again(9, BEGAN + 8.5, process=2)
    assert "zombie" not in small.broken()
    small.again(8, BEGAN + 6.5, process=1)
    small.again(8, BEGAN + 7.05, process=2)
    assert "zombie" in small.broken()


def test_a_death_that_nobody_caused(small: Small) -> None:
    """Is one too many, unless the fault is expected to bring it about."""
    small.history.deaths.append((BEGAN + 1, "sink", "ended with status 1"))
    assert small.broken() == ["alive"]
    small.chapter.deaths_expected = 1
    assert small.broken() == []
    small.chapter.deaths_of = "dispatcher"
    assert small.broken() == ["alive"]


def test_a_slow_recovery(small: Small) -> None:
    """More than a minute after the fault's end is too late, and so is a process that still complains."""
    small.chapter.unready = ["sink: it does not answer yet"]
    assert small.broken() == ["recovery"]
    small.chapter.unready = []
    small.history.calls_of[delivery(0)] = [Call(delivery(0), "evt_0", "steady", 1, BEGAN + 100, 200, True)]
    assert recovery_s(small.history, small.chapter) == 95
    assert small.broken() == ["recovery"]


@pytest.mark.parametrize("sign", ["complained_at", "lagged_at"])
def test_trouble_that_lasts(small: Small, sign: str) -> None:
    """All had arrived; a process that complained, or a record that was not committed, for longer than a minute is too late all the same."""
    setattr(small.chapter, sign, small.chapter.healed_at + 59)
    assert small.broken() == []
    setattr(small.chapter, sign, small.chapter.healed_at + 61)
    assert small.broken() == ["recovery"]


def test_a_start_that_takes_too_long(small: Small) -> None:
    """Faults wait for who was started before they end: that may not hide how long it took."""
    small.history.incidents.append(Incident(BEGAN, Kind.START, "sink", 4, until=BEGAN + 59))
    assert small.broken() == []
    small.history.incidents[0].until = BEGAN + 61
    assert small.broken() == ["recovery"]


def test_a_call_of_a_wrong_time(small: Small) -> None:
    """Receivers refuse it: it is right only while a fault holds a clock wrong."""
    first = small.history.calls[0]
    small.history.calls[0] = dataclasses.replace(first, late=True)
    assert small.broken() == ["wanted"]
    small.history.shifts[7] = [(first.at - 1, 3_600.0), (first.at + 1, 0.0)]
    assert small.broken() == []
    small.history.shifts[7] = [(first.at - 9, 3_600.0), (first.at - 5, 0.0)]
    assert small.broken() == ["wanted"]


def test_what_a_wrong_clock_stamped_is_put_right(small: Small) -> None:
    """By the process that stamped it, and only for the time when its clock was wrong."""
    at = BEGAN + 3
    small.history.shifts[1] = [(at - 1, -3_600.0), (at + 1, 0.0)]
    for number, (stamped, process) in enumerate([(at - 3_600, 1), (at - 3_600, 2), (at, 1)]):
        small.history.add_attempt(dataclasses.replace(tried(10 + number, stamped), process=process))
    assert [round(t.at - at) for t in small.history.attempts[-3:]] == [0, -3_600, 0]
    assert [by_s for _, by_s in small.history.shifted] == [-3_600.0]
