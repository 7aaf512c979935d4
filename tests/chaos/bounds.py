"""How many deliveries may be repeated after what was done: the figure that duplicates are held against.

Who may cause what:
- A dispatcher that is harmed. What it has called comes again when the next owner of its partition begins at an offset that
  lies before it. The offset is that of the lowest record whose deliveries are not all durable, and is committed every commit
  interval; so a call is *released* once its record and all before it in the partition are settled, and *committed* a commit
  interval later.
- Kafka that is away or slow. Each dispatcher may lose its membership meanwhile, and once more in the rebalance that follows.
  What it then had called and not committed comes again: nothing is committed while Kafka is away.
- A receiver that is harmed. What it has taken comes again where its answer was lost.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from tests.chaos.chapter import SLACK_S, Chapter
from tests.chaos.history import Call, Copy, History, Incident, Kind, Tried

_MOVES: Final = {Kind.START, Kind.THAW, Kind.TERM}
"""After these a rebalance follows, which commits what is released, and moves what is not."""
_REBALANCE_S: Final = 5.0
"""How long after, at least; who takes longer to start joins when it is ready."""
_Key: TypeAlias = tuple[str, int, float]
"""A call: delivery, attempt, when."""
_Span: TypeAlias = tuple[float, float, _Key]
"""From when to when a call was made and not committed."""
_Choose: TypeAlias = Callable[[Sequence[_Span], float, float], set[_Key]]
"""Which of these spans may come again for a loss of membership between two times."""


def bound(history: History, chapter: Chapter) -> int:
    """Return how many calls may be made again, of all disturbances together."""
    return len(_calls_again(history, chapter, wide=False))


def explained(history: History, chapter: Chapter) -> Counter[str]:
    """Return delivery id → how many of its calls may be made again; together they may be more than `bound`.

    Around Kafka any moment may have been the one at which a membership was lost, and after a start, a waking or a stop any
    within some seconds the one at which a partition moved. A delivery that waits in line behind others
    is put on a retry topic, by each owner of its partition anew until the offset is committed: each record asks for a call, and
    the event itself, read again, for its first one.
    """
    # The last call of a delivery was not made again, whatever it might have been.
    found = Counter(delivery for delivery, _, at in _calls_again(history, chapter, wide=True) if at < _latest(history, delivery))
    for (delivery, attempt), asked in history.retries.items():
        found[delivery] += asked if attempt == 1 else asked - 1
    return found


def _latest(history: History, delivery: str) -> float:
    unrecorded = (call.at for call in history.calls_of[delivery] if not _is_recorded(history, call))
    return max((*(tried.at for tried in history.tried_of.get(delivery, ())), *unrecorded), default=0.0)


def _calls_again(history: History, chapter: Chapter, *, wide: bool) -> set[_Key]:
    released = _released(history, chapter)
    unrecorded = [call for call in history.calls[chapter.calls_from :] if not _is_recorded(history, call)]
    made: list[Tried | Call] = [*history.attempts[chapter.attempts_from :], *unrecorded]
    found: set[_Key] = set()
    for incident in history.incidents[chapter.incidents_from :]:
        if incident.name.startswith("dispatcher"):
            found |= {_key(one) for one in made if _may_repeat(incident, one, released, chapter, wide=wide)}
        elif incident.name.startswith("receiver"):
            found |= _unanswered(history, incident, chapter)
        elif incident.what in {Kind.AWAY, Kind.SLOW}:
            found |= _uncommitted(incident, made, released, chapter, _ever_open if wide else _most_open)
    return found


# ---- a dispatcher ----


def _may_repeat(incident: Incident, one: Tried | Call, released: Mapping[str, float], chapter: Chapter, *, wide: bool) -> bool:
    """Tell whether a call may be made again for what was done to a dispatcher.

    `wide`: whichever may be one of those that were in hand when a partition moved, some seconds after somebody was ready; else
    those alone that must have been, for they waited long enough.
    """
    free_at = _free_at(one, released)
    if _theirs(incident, one) and one.at <= max(incident.until, incident.at) + SLACK_S:
        return free_at >= incident.at - chapter.commit_s - SLACK_S
    pinned = wide or free_at - one.at > SLACK_S
    moved_by = max(incident.at, incident.until) + _REBALANCE_S if wide else max(incident.at + _REBALANCE_S, incident.until + SLACK_S)
    return incident.what in _MOVES and pinned and one.at <= moved_by and free_at >= incident.at


def _theirs(incident: Incident, one: Tried | Call) -> bool:
    """Tell whether a call may be one of the dispatcher that was harmed."""
    return incident.what not in {Kind.START, Kind.THAW} and (isinstance(one, Call) or one.process == incident.pid)


# ---- Kafka ----


def _uncommitted(
    incident: Incident, made: Iterable[Tried | Call], released: Mapping[str, float], chapter: Chapter, choose: _Choose
) -> set[_Key]:
    """Return what dispatchers had called and not committed: each when it was most, while Kafka was away, and once after."""
    wait_s = chapter.commit_s + SLACK_S + incident.lag_s
    back = incident.back or incident.at
    spans: dict[int, list[_Span]] = defaultdict(list)
    for one in made:
        ends = _free_at(one, released) + wait_s
        if ends >= incident.at and one.at <= back:
            ends = max(ends, back + wait_s)
        spans[one.process if isinstance(one, Tried) else 0].append((one.at, ends, _key(one)))
    parts = [(incident.at, back), (back, max(incident.until, back))]
    return set().union(*(choose(mine, *part) for mine in spans.values() for part in parts))


def _most_open(spans: Sequence[_Span], since: float, until: float) -> set[_Key]:
    """Return the spans that were open together at the moment, of a time, when they were most."""
    moments = [since, *(begins for begins, _, _ in spans if since < begins <= until)]
    return max(({key for begins, ends, key in spans if begins <= at <= ends} for at in moments), key=len)


def _ever_open(spans: Sequence[_Span], since: float, until: float) -> set[_Key]:
    """Return the spans that were open at any moment of a time."""
    return {key for begins, ends, key in spans if begins <= until and ends >= since}


# ---- a receiver ----


def _unanswered(history: History, incident: Incident, chapter: Chapter) -> set[_Key]:
    """Return the calls that a receiver has taken in the moment when it was harmed, and whose callers got no answer."""
    calls_s = {role.name: role.call_s for role in history.roles.values() if role.receiver == incident.name}
    until = max(incident.until, incident.at) + SLACK_S
    found: dict[tuple[str, int], list[_Key]] = defaultdict(list)
    for call in history.calls[chapter.calls_from :]:
        if call.role in calls_s and incident.at - calls_s[call.role] - SLACK_S <= call.at <= until:
            found[call.delivery_id, call.attempt].append(_key(call))
    return {key for one, keys in found.items() for key in keys[: _answers_lost(history, *one)]}


def _answers_lost(history: History, delivery: str, attempt: int) -> int:
    calls = sum(1 for call in history.calls_of[delivery] if call.attempt == attempt)
    return max(0, calls - sum(1 for t in history.tried_of.get(delivery, ()) if t.attempt == attempt and t.status))


# ---- when what was called is settled ----


def _key(one: Tried | Call) -> _Key:
    return one.delivery_id, one.attempt, one.at


def _free_at(one: Tried | Call, released: Mapping[str, float]) -> float:
    return max(released.get(one.delivery_id, one.at), one.end if isinstance(one, Tried) else one.at)


def _released(history: History, chapter: Chapter) -> dict[str, float]:
    """Return delivery id → when its record and all before it in its partition were settled, as far as this chapter has them."""
    found: dict[str, float] = {}
    latest: dict[tuple[str, int], float] = {}
    for copy in sorted(history.copies[chapter.copies_from :], key=lambda copy: copy.place):
        partition = copy.place[:2]
        owed = history.owed(copy.event_id, copy.store_id, copy.type) if copy.event_id else {}
        latest[partition] = max(latest.get(partition, 0.0), *(_settled_at(history, one) for one in owed), _buried_at(history, copy))
        found |= dict.fromkeys(owed, latest[partition])
    return found


def _buried_at(history: History, copy: Copy) -> float:
    """Return when a record that nobody could read was a dead letter: until then it holds those behind it; 0 where it is none."""
    if copy.event_id and copy.event_id not in history.buried:
        return 0.0
    return history.poison[copy.place].at if copy.place in history.poison else math.inf


def _settled_at(history: History, delivery: str) -> float:
    ends: Iterable[float] = (tried.end for tried in history.tried_of.get(delivery, ()))
    return min(ends, default=math.inf)


def _is_recorded(history: History, call: Call) -> bool:
    tried = sum(1 for t in history.tried_of.get(call.delivery_id, ()) if t.attempt == call.attempt)
    return tried >= sum(1 for other in history.calls_of[call.delivery_id] if other.attempt == call.attempt)
