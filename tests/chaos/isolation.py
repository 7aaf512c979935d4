"""`python -m tests.chaos isolation`: what healthy webhooks notice of hanging ones, and of a store at a hundred times its share.

Quiet and disturbed spans take turns, so that a busy machine spoils both alike; the figures are ratios of their p99.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hookline.kernel.clock import SystemClock
from hookline.schemas.events import example_event
from tests.chaos.cast import ONE, TWO
from tests.chaos.history import Publish, Role
from tests.chaos.world import World, world

_STORES: Final = 40
_HUNG: Final = _STORES // 5
_TYPE: Final = "cart.item_added"
_QUIET: Final = 1.2
_NOISY: Final = 1.5


@dataclass(frozen=True, slots=True)
class Span:
    """How long to publish, how many events a second for each store, and how many more for the loud one."""

    seconds: float = 15.0
    each: float = 2.0
    loud: float = 0.0


class Measurement:
    """Stores with a webhook each in one world; the first fifth may be told to hang, the last is the loud one."""

    def __init__(self, found: World, seed: int) -> None:
        self._world = found
        self._numbers = random.Random(seed)
        self._roles = [self._role(number) for number in range(_STORES)]
        self.loud = self._role(_STORES)

    def _role(self, number: int) -> Role:
        role = Role(name=f"iso-{number}", store_id=f"iso-{number}", types=(_TYPE,), receiver=TWO if number % 2 else ONE, may_die=True)
        return self._world.cast.engage(role)

    def hang(self, manner: str) -> None:
        """Have the first fifth behave like this."""
        for role in self._roles[:_HUNG]:
            self._world.cast.behave(role, manner)

    def p99_ms(self, span: Span) -> list[float]:
        """Publish for a span and return the milliseconds from publishing to the call, for each delivery to a healthy webhook."""
        published = self._publish(span)
        healthy = {role.name for role in self._roles[_HUNG:]}
        self._world.wait(lambda: self._arrived(published, healthy), 30)
        calls = {call.event_id: call for call in reversed(self._world.history.calls) if call.role in healthy}
        return [(calls[one].at - at) * 1_000 for one, (at, name) in published.items() if name in healthy and one in calls]

    def _arrived(self, published: dict[str, tuple[float, str]], healthy: set[str]) -> bool:
        self._world.look()
        got = {call.event_id for call in self._world.history.calls}
        return all(one in got for one, (_, name) in published.items() if name in healthy)

    def _publish(self, span: Span) -> dict[str, tuple[float, str]]:
        published: dict[str, tuple[float, str]] = {}
        rate = span.each * _STORES + span.loud
        began = time.monotonic()
        for number in range(int(rate * span.seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            loud = self._numbers.random() < span.loud / rate
            role = self.loud if loud else self._numbers.choice(self._roles)
            event = example_event(_TYPE, role.store_id, clock=SystemClock())
            at = time.time()
            self._world.history.publishes[event.id] = Publish(event.id, role.store_id, _TYPE, "library", at)
            self._world.library.send_off(event)
            published[event.id] = at, role.name
        return published


def measure(seed: int, seconds: float) -> dict[str, Any]:
    """Return the p99 of healthy webhooks with and without the disturbance, and the ratios against their targets."""
    with world(seed) as found:
        measurement = Measurement(found, seed)
        span = Span(seconds=seconds)
        measurement.p99_ms(Span(seconds=3))
        quiet, hung, even, loud = [], [], [], []
        for _ in range(2):
            quiet += measurement.p99_ms(span)
            measurement.hang("hang")
            hung += measurement.p99_ms(span)
            measurement.hang("ok")
            even += measurement.p99_ms(Span(seconds=seconds, each=1.0))
            loud += measurement.p99_ms(Span(seconds=seconds, each=1.0, loud=100.0))
    return {
        "healthy_p99_ms": _p99(quiet),
        "healthy_p99_ms_with_a_fifth_hanging": _p99(hung),
        "ratio_hanging": round(_p99(hung) / _p99(quiet), 2),
        "target_hanging": _QUIET,
        "others_p99_ms": _p99(even),
        "others_p99_ms_beside_a_loud_store": _p99(loud),
        "ratio_loud": round(_p99(loud) / _p99(even), 2),
        "target_loud": _NOISY,
        "deliveries": [len(quiet), len(hung), len(even), len(loud)],
    }


def missed(found: Mapping[str, Any]) -> list[str]:
    """Return which of the targets a measurement has missed, by how much."""
    told = {"hanging": "with a fifth of the webhooks hanging", "loud": "beside a loud store"}
    return [
        f"the others' p99 {when} is {found[f'ratio_{what}']} times what it is without, the target is {found[f'target_{what}']}"
        for what, when in told.items()
        if found[f"ratio_{what}"] > found[f"target_{what}"]
    ]


def _p99(times: list[float]) -> float:
    return round(sorted(times)[int(len(times) * 0.99)], 1)
