"""The invariants see what they are for: a history in which all is well, and what each kind of harm does to it."""

from __future__ import annotations

import dataclasses

import pytest

from hookline.schemas.records import delivery_id
from tests.chaos.bounds import bound
from tests.chaos.history import Call, Copy, Incident, Kind, Letter, Publish, Role
from tests.chaos.invariants import check, recovery_s, repeated
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


def test_duplicates_without_a_reason(small: Small) -> None:
    """One call too many is one too many when nothing was done to anybody."""
    small.again(2, BEGAN + 3)
    assert repeated(small.history, small.chapter) == {delivery(2): 1}
    assert small.broken() == ["duplicates"]


def test_duplicates_after_a_kill(small: Small) -> None:
    """What was settled within a commit interval before a kill may come again; what is older may not."""
    small.history.incidents.append(Incident(BEGAN + 1.0, Kind.KILL, "dispatcher-1", 1))
    small.chapter.commit_s = 0.0
    most = bound(small.history, small.chapter)
    assert 5 <= most <= 8
    for number in range(most):
        small.again(9 - number, BEGAN + 3)
    assert small.broken() == []
    small.again(0, BEGAN + 3)
    assert small.broken() == ["duplicates"]


def test_a_record_that_is_not_settled_holds_those_behind_it(small: Small) -> None:
    """A rebalance moves a partition whose first record waits for another webhook: what was called behind it may come again."""
    role = Role(name="busy", store_id="demo", types=("order.created",), webhook_id="wh_2")
    small.history.add_role(role)
    slow = [delivery_id("demo", f"evt_{number}", "wh_2") for number in range(10)]
    for offset, one in enumerate(slow, start=10):
        at = BEGAN + (4.0 if one == slow[3] else 0.9)
        small.history.add_calls([Call(one, f"evt_{offset - 10}", "busy", 1, at, 200, True)])
        made = dataclasses.replace(tried(0, at), offset=offset, attempt_id=f"att_{offset}", delivery_id=one)
        small.history.add_attempt(made)
        small.chapter.rows = {**small.chapter.rows, (0, offset): made.row}
    small.again(9, BEGAN + 3.5)
    assert small.broken() == ["duplicates"]
    small.history.incidents.append(Incident(BEGAN + 2, Kind.START, "dispatcher-2", 2))
    assert small.broken() == []
    assert bound(small.history, small.chapter) == 13, "both calls of events 3 to 9, but for the one that is settled by itself"
    small.history.incidents[0].at = BEGAN - 5
    assert small.broken() == ["duplicates"]
    small.history.incidents[0].until = BEGAN + 2
    assert small.broken() == [], "who takes seven seconds to start joins then"


def test_a_receiver_that_is_killed_explains_what_it_took_itself(small: Small) -> None:
    """Another receiver's calls it does not, nor its own that were answered; what it took and did not answer comes again."""
    role = next(iter(small.history.roles.values()))
    role.receiver = "receiver-1"
    small.history.incidents.append(Incident(BEGAN + 1.0, Kind.KILL, "receiver-2", 2))
    for number in range(10):
        small.again(number, BEGAN + 3)
    assert bound(small.history, small.chapter) == 0
    assert small.broken() == ["duplicates"]
    small.history.incidents[0].name = "receiver-1"
    assert bound(small.history, small.chapter) == 0, "all of them were answered"


def test_an_answer_that_a_killed_receiver_did_not_give(small: Small) -> None:
    """Only of the moment when it was killed, and for each lost answer once."""
    role = next(iter(small.history.roles.values()))
    role.receiver, role.call_s = "receiver-1", 0.1
    for number in (0, 9):
        lost = dataclasses.replace(small.history.attempts[number], outcome="failed", status=0)
        small.history.attempts[number] = lost
        small.history.tried_of[delivery(number)] = [lost]
    small.history.incidents.append(Incident(BEGAN + 1.0, Kind.KILL, "receiver-1", 2))
    small.again(9, BEGAN + 3)
    assert bound(small.history, small.chapter) == 1
    small.history.tried_of[delivery(9)].pop()
    small.again(0, BEGAN + 3)
    assert "duplicates" in small.broken()


def test_kafka_away_explains_what_was_not_committed(small: Small) -> None:
    """What was called a commit interval before it went is committed; what was called until it was back is not; later, a window's worth."""
    small.chapter.commit_s = -0.6  # with the slack a tenth of a second, which is a call
    for number in range(10, 60):
        small.one_more(number)
    small.history.incidents.append(Incident(BEGAN + 1.0, Kind.AWAY, "kafka", 3, until=BEGAN + 5.5, back=BEGAN + 2.0))
    most = bound(small.history, small.chapter)
    assert 10 <= most <= 16, "of 60 calls: a second of being away, a moment at each edge"
    for number in range(most):
        small.again(20 - number, BEGAN + 6)
    assert small.broken() == []
    small.again(50, BEGAN + 6)
    assert small.broken() == ["duplicates"]


def test_a_slow_kafka_explains_no_more_than_was_open_at_one_time(small: Small) -> None:
    """It commits all the time, only later: a dispatcher that it puts out loses what was not committed then, once."""
    small.chapter.commit_s = -0.6
    for number in range(10, 60):
        small.one_more(number)
    small.history.incidents.append(Incident(BEGAN + 1.0, Kind.SLOW, "kafka", 3, until=BEGAN + 5.5, lag_s=0.2))
    assert 3 <= bound(small.history, small.chapter) <= 8


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
    call = Call(delivery(5), "evt_5", "steady", 2, BEGAN + 2, 200, True)
    small.history.add_calls([call])
    assert "calls" in small.broken()
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
