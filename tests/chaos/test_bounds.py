"""How many duplicates are explained, together and of each delivery: a history in which all is well, repeated in part."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from hookline.schemas.records import delivery_id
from tests.chaos.bounds import bound, explained
from tests.chaos.history import Call, Copy, Incident, Kind, Letter, Role
from tests.chaos.invariants import check, repeated
from tests.chaos.small import BEGAN, TOPIC, Small, delivery, tried

pytestmark = pytest.mark.unit


@pytest.fixture
def small() -> Small:
    """Give a history in which all is well."""
    return Small()


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


def test_each_duplicate_needs_a_reason_of_its_own(small: Small) -> None:
    """What was settled long before a kill is not explained by room that others leave in the bound."""
    small.history.incidents.append(Incident(BEGAN + 1.0, Kind.KILL, "dispatcher-1", 1))
    small.chapter.commit_s = -0.4
    assert bound(small.history, small.chapter) >= 3
    assert explained(small.history, small.chapter)[delivery(9)] == 0, "it was not repeated"
    small.again(9, BEGAN + 3)
    assert explained(small.history, small.chapter)[delivery(9)] == 1
    assert small.broken() == []
    small.again(0, BEGAN + 3)
    [violation] = check(small.history, small.chapter)
    assert violation.text == f"{delivery(0)} was repeated 1 times, 0 are explained"
    assert any("published by ingest" in line for line in violation.story)


def test_a_retry_record_more_asks_for_a_call_more(small: Small) -> None:
    """Parked by each owner of its partition: explained one by one, while the bound of all together stays."""
    small.again(0, BEGAN + 3)
    small.history.retries[delivery(0), 2] = 1
    assert explained(small.history, small.chapter)[delivery(0)] == 0
    small.history.retries[delivery(0), 2] = 2
    assert explained(small.history, small.chapter)[delivery(0)] == 1
    small.history.retries = Counter({(delivery(0), 1): 1})
    assert explained(small.history, small.chapter)[delivery(0)] == 1, "parked, and the event read again"
    [violation] = check(small.history, small.chapter)
    assert "1 duplicates where at most 0 are explained" in violation.text


def test_a_record_that_nobody_can_read_holds_those_behind_it_until_it_is_a_letter(small: Small) -> None:
    """What was called behind it may come again when its dispatcher is told to stop; not once the letter was written before."""
    small.history.copies.insert(0, Copy((TOPIC, 0, -1), "", "", ""))
    small.history.incidents.append(Incident(BEGAN + 2, Kind.TERM, "dispatcher-1", 1))
    small.history.add_letter(Letter("", "poison", (TOPIC, 0, -1), at=BEGAN + 3))
    small.again(2, BEGAN + 4)
    assert small.broken() == []
    small.history.poison[TOPIC, 0, -1] = Letter("", "poison", (TOPIC, 0, -1), at=BEGAN)
    assert small.broken() == ["duplicates"]


def test_a_partition_may_move_some_seconds_after_somebody_was_ready(small: Small) -> None:
    """What is under way then may come again, one by one; all together is held against those that must have been."""
    slow = Role(name="slow", store_id="demo", types=("order.created",), webhook_id="wh_2")
    small.history.add_role(slow)
    for number in range(10):
        one = delivery_id("demo", f"evt_{number}", "wh_2")
        made = dataclasses.replace(tried(0, BEGAN + number * 0.1 + 0.2), offset=10 + number, attempt_id=f"att_s{number}", delivery_id=one)
        small.history.add_attempt(made)
    small.history.incidents.append(Incident(BEGAN - 6, Kind.START, "dispatcher-2", 2, until=BEGAN - 3))
    small.again(9, BEGAN + 1.2)
    assert explained(small.history, small.chapter)[delivery(9)] == 1
    small.history.incidents[0].until = BEGAN - 5
    assert explained(small.history, small.chapter)[delivery(9)] == 0
