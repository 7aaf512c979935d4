"""Whether those that a fault is not about noticed it: the webhooks that get every event of the load."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from tests.chaos.history import History

REGULARS: Final = ("steady", "other")
LATE_S: Final = 5.0
"""A busy machine, and a dispatcher that is told to stop and hands its partitions over."""
_FEWEST: Final = 20


def waits(history: History, since: float, until: float) -> list[float]:
    """Return, of each delivery to the regulars of an event confirmed between two times, the seconds until it was taken."""
    found: list[float] = []
    for publish in history.publishes.values():
        if not (publish.confirmed_at and since <= publish.at and publish.confirmed_at <= until):
            continue
        for delivery, role in history.owed(publish.event_id, publish.store_id, publish.type).items():
            if role.name in REGULARS:
                taken = (call.at for call in history.calls_of.get(delivery, ()) if 200 <= call.status < 300)
                found.append(min(taken, default=math.inf) - publish.confirmed_at)
    return found


def others_noticed(history: History, since: float, until: float, late_s: float = LATE_S) -> list[str]:
    """Return what is wrong where the regulars got anything late that was confirmed between two times, or hardly anything."""
    found = waits(history, since, until)
    if len(found) < _FEWEST:
        return [f"only {len(found)} deliveries to others are there to tell whether they noticed"]
    late = [wait_s for wait_s in found if wait_s > late_s]
    return [f"{len(late)} of {len(found)} deliveries to others were late, the latest came after {max(late):.1f} s"] if late else []


def at_once(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many of these spans were open at the same moment, at most; one that ends as another begins does not count with it."""
    steps = sorted(step for since, until in spans for step in ((since, 1), (until, -1)))
    return max(accumulate(change for _, change in steps), default=0)
