"""What must hold after every fault: pure functions over a history, each violation told with the story of its event.

The numbers I1 to I9 are those of the promise: see docs/chaos.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from tests.chaos.bounds import bound, explained
from tests.chaos.chapter import SLACK_S, Chapter, Violation
from tests.chaos.history import Call, Copy, History, Incident, Kind, Place, Role, Tried

NAMED: Final = 5
_AWAKE_S: Final = 5.0
_TOGETHER_S: Final = 1.0
_AT_ONCE_S: Final = 0.3
RECOVERY_S: Final = 60.0


Check = Callable[[History, Chapter], list[Violation]]


def published(history: History, _chapter: Chapter) -> list[Violation]:
    """I1a: every event whose publisher was told yes is on Kafka."""
    lost = [p for p in history.publishes.values() if p.confirmed_at and not history.copies_of[p.event_id]]
    return [_told(history, "published", p.event_id, f"event {p.event_id} was confirmed to {p.door} and is not on Kafka") for p in lost]


def delivered(history: History, chapter: Chapter) -> list[Violation]:
    """I1b: every event on Kafka has come, for every webhook that asked for it, to an end that its role allows."""
    found: list[Violation] = []
    for delivery in chapter.unsettled:
        event_id, role = owner(history, delivery)
        how = f"dead letter ({history.letters[delivery].reason})" if delivery in history.letters else "no end"
        found.append(_told(history, "delivered", event_id, f"{delivery} of event {event_id} for {role.name} has {how}"))
    return found


def letters_whole(history: History, chapter: Chapter) -> list[Violation]:
    """I1c: a dead letter keeps the bytes of the record that it is of."""
    raws: dict[Place, set[str]] = defaultdict(set)
    for letter in (*history.poison.values(), *history.letters.values()):
        raws[letter.original].add(letter.raw)
    return [
        _told(history, "letters", copy.event_id, f"a dead letter of the record at {copy.place} has other bytes than the record")
        for copy in history.copies[chapter.copies_from :]
        if raws[copy.place] - {copy.raw}
    ]


def committed(history: History, chapter: Chapter) -> list[Violation]:
    """I2: what lies below a committed offset has a durable fate for every webhook: at the end, and whenever it was looked at."""
    return [*chapter.early, *without_fate(history, history.copies, chapter.committed)]


def without_fate(history: History, copies: Iterable[Copy], offsets: Mapping[tuple[str, int], int]) -> list[Violation]:
    """Return what lies below committed offsets and has no durable fate; all topics must have been read since these were."""
    found: list[Violation] = []
    for copy in copies:
        topic, partition, offset = copy.place
        if offset < offsets.get((topic, partition), 0):
            found += _undurable(history, copy)
    return found


def duplicates(history: History, chapter: Chapter) -> list[Violation]:
    """I3: repeated is only what was in flight, or settled within a commit interval, at the disturbances, and no more of it than that."""
    again = repeated(history, chapter)
    if not again:
        return []
    most, reasons = bound(history, chapter), explained(history, chapter)
    found = [
        (one, f"{one} was repeated {count} times, {reasons[one]} are explained") for one, count in again.items() if count > reasons[one]
    ]
    if sum(again.values()) > most:
        found.append((min(again), f"{sum(again.values())} duplicates where at most {most} are explained; first {min(again)}"))
    return [_told(history, "duplicates", history.calls_of[one][0].event_id, text) for one, text in found]


def rows_are_attempts(history: History, chapter: Chapter) -> list[Violation]:
    """I4: ClickHouse has every attempt of the topic once, nothing else, and its sums are of these rows."""
    kept = [t for t in history.attempts if (t.partition, t.offset) not in history.rejected]
    wanted = {(t.partition, t.offset): t.row for t in kept}
    wrong = [
        f"the attempt at {place} is {times} times too often in ClickHouse" + _whose(history, place)
        for place, times in Counter(chapter.doubled).items()
    ]
    wrong += [f"attempt {wanted[place]} at {place} is not in ClickHouse" for place in sorted(wanted.keys() - chapter.rows.keys())]
    wrong += [f"ClickHouse has a row of {place} that is no attempt" for place in sorted(chapter.rows.keys() - wanted.keys())]
    wrong += [
        f"ClickHouse has {chapter.rows[place]} at {place}, the topic {wanted[place]}"
        for place in wanted.keys() & chapter.rows.keys()
        if chapter.rows[place] != wanted[place]
    ]
    wrong += [f"the record at {place} is no attempt and was not put aside" for place in sorted(history.unreadable - history.rejected)]
    wrong += [] if chapter.sums_right else ["the hourly sums are not those of the rows"]
    return [Violation("rows", text) for text in wrong]


def calls_are_attempts(history: History, _chapter: Chapter) -> list[Violation]:
    """I4b: every call has its attempt record or died with its dispatcher; every answer recorded was given by a receiver."""
    received = Counter((call.delivery_id, call.attempt) for call in history.calls if call.role != "trap")
    meant = {(call.delivery_id, call.attempt, call.status) for call in history.calls}
    ours = [t for t in history.attempts if t.attempt and (t.partition, t.offset) not in history.rejected]
    recorded = Counter((t.delivery_id, t.attempt) for t in ours)
    answered = Counter((t.delivery_id, t.attempt) for t in ours if t.status)
    ends = [i for i in history.incidents if i.what is Kind.KILL and i.name.startswith("dispatcher")]
    wrong = [(key, "is recorded with an answer, but no receiver got it") for key in answered - received]
    wrong += [
        ((t.delivery_id, t.attempt), f"is recorded with status {t.status}, which no receiver meant")
        for t in ours
        if t.status and (t.delivery_id, t.attempt) in received and (t.delivery_id, t.attempt, t.status) not in meant
    ]
    wrong += [(key, "was received, but is not recorded") for key in received - recorded if not _excused(history, key, ends)]
    return [
        _told(history, "calls", owner(history, delivery)[0], f"attempt {number} of {delivery} {what}") for (delivery, number), what in wrong
    ]


def wanted_only(history: History, _chapter: Chapter) -> list[Violation]:
    """I5: nobody is called for what it did not ask for, or with another body, every signature is right, nobody steps into the trap."""
    wrong = []
    for call in history.calls:
        if call.role == "trap":
            wrong.append(Violation("wanted", "somebody connected to an address that only a redirect or a turned name leads to"))
        elif not call.good:
            wrong.append(_told(history, "wanted", call.event_id, f"a call of {call.delivery_id} to {call.role} had a wrong signature"))
        elif call.late and not history.clocks_wrong(call.at):
            wrong.append(_told(history, "wanted", call.event_id, f"a call of {call.delivery_id} to {call.role} had a wrong time"))
        elif call.event_id in history.buried:
            wrong.append(_told(history, "wanted", call.event_id, f"{call.role} was called for a record that kills"))
        elif call.event_id not in history.publishes:
            wrong.append(
                _told(history, "wanted", call.event_id, f"{call.role} was called for event {call.event_id}, which nobody published")
            )
        elif history.asked(call.event_id).get(call.delivery_id) != call.role:
            text = f"{call.role} was called as {call.delivery_id} for event {call.event_id}, for which it did not ask"
            wrong.append(_told(history, "wanted", call.event_id, text))
        elif call.said and call.said not in history.said_of[call.event_id]:
            wrong.append(_told(history, "wanted", call.event_id, f"{call.role} was told something else than event {call.event_id} says"))
    return wrong


def zombies(history: History, chapter: Chapter) -> list[Violation]:
    """I6: a dispatcher that stood still repeats nothing, once it wakes, of what it had in hand and others called meanwhile.

    Where the others had stood still too, a rebalance after their waking may give it what they began: that is no zombie's
    doing, unless it called at once.
    """
    found = []
    for tried in history.attempts[chapter.attempts_from :]:
        slept = _slept(history.incidents[chapter.incidents_from :], tried)
        other = _called_meanwhile(history, tried, slept) if slept else None
        if other is not None:
            event_id, role = owner(history, tried.delivery_id)
            text = f"process {tried.process} woke and called {role.name} again for {event_id}, which {other.process} had called meanwhile"
            found.append(_told(history, "zombie", event_id, text))
    return found


def recovered(history: History, chapter: Chapter) -> list[Violation]:
    """I7: within a minute of the fault's end everything published before it has arrived, nothing lags, and nobody complains."""
    signs = {
        "until all had arrived": recovery_s(history, chapter),
        "until nobody complained": chapter.complained_at - chapter.healed_at,
        "until all was committed": chapter.lagged_at - chapter.healed_at,
    }
    late = [
        Violation("recovery", f"it took {seconds:.0f} s {what}, longer than {RECOVERY_S:.0f} s")
        for what, seconds in signs.items()
        if seconds > RECOVERY_S
    ]
    late += [
        Violation("recovery", f"{one.name} was not ready until {one.until - one.at:.0f} s after its start")
        for one in history.incidents[chapter.incidents_from :]
        if one.what is Kind.START and one.until - one.at > RECOVERY_S
    ]
    return late + [Violation("recovery", f"not ready afterwards: {text}") for text in chapter.unready]


def alive(history: History, chapter: Chapter) -> list[Violation]:
    """I8: no process dies that was not killed, but for as many of those that a fault is for as it brings about."""
    deaths, excused, found = history.deaths[chapter.deaths_from :], chapter.deaths_expected, list[Violation]()
    for _, name, how in deaths:
        if excused > 0 and name.startswith(chapter.deaths_of):
            excused -= 1
        else:
            found.append(Violation("alive", f"{name} {how}"))
    return found


INVARIANTS: Final[tuple[Check, ...]] = (
    published,
    delivered,
    letters_whole,
    committed,
    duplicates,
    rows_are_attempts,
    calls_are_attempts,
    wanted_only,
    zombies,
    recovered,
    alive,
)


def check(history: History, chapter: Chapter) -> list[Violation]:
    """Return every violation, a few of each kind with the rest counted."""
    found: list[Violation] = []
    for one in INVARIANTS:
        wrong = one(history, chapter)
        found += wrong[:NAMED]
        if len(wrong) > NAMED:
            found.append(Violation(wrong[0].invariant, f"and {len(wrong) - NAMED} more"))
    return found


# ---- figures ----


def repeated(history: History, chapter: Chapter) -> dict[str, int]:
    """Return delivery id → surplus of those that got a call in this chapter, above what they had before it."""
    touched = {call.delivery_id for call in history.calls[chapter.calls_from :]}
    found = {delivery: history.surplus(delivery) - _surplus_before(history, chapter, delivery) for delivery in touched}
    return {delivery: count for delivery, count in found.items() if count > 0}


def recovery_s(history: History, chapter: Chapter) -> float:
    """Return the seconds from the fault's end until all that was published before it had arrived; 0 when it had already."""
    latest = chapter.healed_at
    for publish in history.publishes.values():
        if not publish.confirmed_at or not chapter.began_at - 5 <= publish.at <= chapter.healed_at:
            continue
        for delivery, role in history.owed(publish.event_id, publish.store_id, publish.type).items():
            if not (role.may_wait or role.may_die):
                latest = max(latest, next((call.at for call in history.calls_of[delivery] if 200 <= call.status < 300), 0.0))
    return latest - chapter.healed_at


def owner(history: History, delivery: str) -> tuple[str, Role]:
    """Return the event and the role of a delivery, as far as anything tells."""
    calls, tried = history.calls_of.get(delivery), history.tried_of.get(delivery)
    if calls and not tried:
        role = next((r for r in history.roles.values() if r.name == calls[0].role), _NOBODY)
        return calls[0].event_id, role
    for publish in history.publishes.values():
        asked = history.owed(publish.event_id, publish.store_id, publish.type)
        if delivery in asked:
            return publish.event_id, asked[delivery]
    return (calls[0].event_id if calls else ""), _NOBODY


def _whose(history: History, place: tuple[int, int]) -> str:
    tried = next((t for t in history.attempts if (t.partition, t.offset) == place), None)
    return f": attempt {tried.attempt} of {tried.delivery_id}, event {owner(history, tried.delivery_id)[0]}" if tried else ""


_NOBODY: Final = Role(name="a webhook that is gone", store_id="", types=())


def _told(history: History, invariant: str, event_id: str, text: str) -> Violation:
    return Violation(invariant, text, tuple(history.story(event_id)) if event_id else ())


def _undurable(history: History, copy: Copy) -> Iterable[Violation]:
    if not copy.event_id or copy.event_id in history.buried:
        if copy.place not in history.poison:
            yield Violation("committed", f"the unreadable record at {copy.place} is below the committed offset and is no dead letter")
        return
    for delivery, role in history.owed(copy.event_id, copy.store_id, copy.type).items():
        if not history.durable(delivery):
            text = f"{copy.place} is below the committed offset, and {delivery} for {role.name} has no fate on Kafka"
            yield _told(history, "committed", copy.event_id, text)


def _excused(history: History, key: tuple[str, int], ends: Sequence[Incident]) -> bool:
    """Tell whether the dispatcher of a call may have died before the call was recorded."""
    calls = [call for call in history.calls_of[key[0]] if call.attempt == key[1]]
    times_s = {role.name: role.call_s for role in history.roles.values()}
    return any(-SLACK_S < end.at - call.at < times_s.get(call.role, 0.0) + SLACK_S for call in calls for end in ends)


def _slept(incidents: Sequence[Incident], tried: Tried) -> tuple[float, float] | None:
    """Return from when to when an attempt's process had stood still, where the attempt began within 5 s of its waking."""
    mine = [i for i in incidents if i.pid == tried.process]
    wake = next((i.at for i in mine if i.what is Kind.THAW and 0 <= tried.at - i.at < _AWAKE_S), None)
    if wake is None:
        return None
    return max(i.at for i in mine if i.what is Kind.FREEZE and i.at < wake), wake


def _called_meanwhile(history: History, tried: Tried, slept: tuple[float, float]) -> Tried | None:
    """Return the attempt that a waking process made while this one's slept, of an event that this one may have had in hand.

    Called at once on waking, it comes from what was in hand. Later on it may be right: Kafka may ask for it as often as it
    was made, by retry records, of which a process that is stopped may have one on its way; and what others began before
    they were stopped too, a rebalance may have given this one.
    """
    event_id = _event_of(history.calls_of[tried.delivery_id])
    publish = history.publishes.get(event_id)
    if publish is None or publish.at > slept[0]:
        return None
    asleep = {i.pid for i in history.incidents if i.what is Kind.FREEZE and slept[0] - _TOGETHER_S < i.at < slept[1]}
    at_once = tried.at - slept[1] < _AT_ONCE_S
    left_out = {tried.process} if at_once else {tried.process, *asleep}
    same = [t for t in history.tried_of[tried.delivery_id] if t.attempt == tried.attempt and t is not tried]
    other = next((t for t in same if t.process not in left_out and slept[0] + _TOGETHER_S < t.at < slept[1]), None)
    asked = history.copies_of[event_id] if tried.attempt == 1 else 0
    asked += 0 if at_once else history.retries[tried.delivery_id, tried.attempt]
    return other if len(same) >= max(1, asked) else None


def _event_of(calls: Sequence[Call]) -> str:
    return calls[0].event_id if calls else ""


def _surplus_before(history: History, chapter: Chapter, delivery: str) -> int:
    calls = [call for call in history.calls_of[delivery] if call.at < chapter.began_at]
    if len(calls) <= 1:
        return 0
    copies = max(1, history.copies_of[calls[0].event_id])
    numbers: dict[int, int] = defaultdict(int)
    for call in calls:
        numbers[call.attempt] += 1
    return max(0, sum(1 for call in calls if 200 <= call.status < 300) - copies, max(numbers.values()) - copies)
