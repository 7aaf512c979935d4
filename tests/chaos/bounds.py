"""How many deliveries may be repeated after what was done: the figure that duplicates are held against.

What a dispatcher has called comes again when the next owner of its partition begins at an offset that lies before it. The
offset is that of the lowest record whose deliveries are not all durable, and is committed every commit interval; so a call
is *released* once its record and all before it in the partition are settled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from tests.chaos.chapter import SLACK_S, Chapter
from tests.chaos.history import Call, History, Incident, Kind, Tried

_REPEATERS: Final = ("dispatcher", "kafka", "receiver")
"""Who, when harmed, may make a delivery be repeated."""
_MOVES: Final = {Kind.START, Kind.THAW, Kind.TERM}
"""After these a rebalance follows, which commits what is released, and moves what is not."""
_REBALANCE_S: Final = 5.0


def bound(history: History, chapter: Chapter) -> int:
    """Return how many calls may be made again: of all disturbances, those that were not released a commit interval before."""
    released = _released(history, chapter)
    unrecorded = [call for call in history.calls[chapter.calls_from :] if not _is_recorded(history, call)]
    found: set[tuple[str, int, float]] = set()
    for incident in history.incidents[chapter.incidents_from :]:
        if incident.name.startswith(_REPEATERS):
            made: list[Tried | Call] = [*history.attempts[chapter.attempts_from :], *unrecorded]
            found |= {(one.delivery_id, one.attempt, one.at) for one in made if _may_repeat(incident, one, released, chapter)}
    return len(found)


def _may_repeat(incident: Incident, one: Tried | Call, released: Mapping[str, float], chapter: Chapter) -> bool:
    free_at = max(released.get(one.delivery_id, one.at), one.end if isinstance(one, Tried) else one.at)
    if _theirs(incident, one) and one.at <= max(incident.until, incident.at) + SLACK_S:
        return free_at >= incident.at - chapter.commit_s - SLACK_S
    pinned = free_at - one.at > SLACK_S
    return incident.what in _MOVES and pinned and one.at <= incident.at + _REBALANCE_S and free_at >= incident.at


def _theirs(incident: Incident, one: Tried | Call) -> bool:
    """Tell whether a call may be one of the process that was harmed: Kafka and receivers concern everybody."""
    if incident.what in {Kind.START, Kind.THAW}:
        return False
    return isinstance(one, Call) or one.process == incident.pid or not incident.name.startswith("dispatcher")


def _released(history: History, chapter: Chapter) -> dict[str, float]:
    """Return delivery id → when its record and all before it in its partition were settled, as far as this chapter has them."""
    found: dict[str, float] = {}
    latest: dict[tuple[str, int], float] = {}
    for copy in sorted(history.copies[chapter.copies_from :], key=lambda copy: copy.place):
        partition = copy.place[:2]
        owed = history.owed(copy.event_id, copy.store_id, copy.type) if copy.event_id else {}
        latest[partition] = max(latest.get(partition, 0.0), *(_settled_at(history, one) for one in owed), 0.0)
        found |= dict.fromkeys(owed, latest[partition])
    return found


def _settled_at(history: History, delivery: str) -> float:
    ends: Iterable[float] = (tried.end for tried in history.tried_of.get(delivery, ()))
    return min(ends, default=math.inf)


def _is_recorded(history: History, call: Call) -> bool:
    tried = sum(1 for t in history.tried_of.get(call.delivery_id, ()) if t.attempt == call.attempt)
    return tried >= sum(1 for other in history.calls_of[call.delivery_id] if other.attempt == call.attempt)
