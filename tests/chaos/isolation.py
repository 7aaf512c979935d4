"""`python -m tests.chaos isolation`: what healthy webhooks notice of hanging ones, and of a store at a hundred times its share.

Quiet and disturbed spans take turns, so that a busy machine spoils both alike; the figures are ratios of their p99.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from rich.console import Console

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
_ROUNDS: Final = 5
_WARM_S: Final = 10.0
_KINDS: Final = ("quiet", "hung", "even", "loud")
_progress: Final = Console(stderr=True, highlight=False)


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
        self.missing = 0

    def _role(self, number: int) -> Role:
        role = Role(name=f"iso-{number}", store_id=f"iso-{number}", types=(_TYPE,), receiver=TWO if number % 2 else ONE, may_die=True)
        return self._world.cast.engage(role)

    def hang(self, manner: str) -> None:
        """Have the first fifth behave like this."""
        for role in self._roles[:_HUNG]:
            self._world.cast.behave(role, manner)

    def times_ms(self, span: Span) -> list[float]:
        """Publish for a span and return the milliseconds from publishing to the call, for each delivery to a healthy webhook."""
        published = self._publish(span)
        healthy = {role.name for role in self._roles[_HUNG:]}
        if not self._world.wait(lambda: self._arrived(published, healthy), 30):
            self.missing += sum(1 for one, (_, name) in published.items() if name in healthy and one not in self._got())
        calls = {call.event_id: call for call in reversed(self._world.history.calls) if call.role in healthy}
        return [(calls[one].at - at) * 1_000 for one, (at, name) in published.items() if name in healthy and one in calls]

    def _arrived(self, published: dict[str, tuple[float, str]], healthy: set[str]) -> bool:
        self._world.look()
        got = self._got()
        return all(one in got for one, (_, name) in published.items() if name in healthy)

    def _got(self) -> set[str]:
        return {call.event_id for call in self._world.history.calls}

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
    """Return the p99 of healthy webhooks with and without the disturbance, and the ratios against their targets.

    A p99 is that of all rounds together: a single one rests on the five slowest of some hundred deliveries. `rounds_*` are
    the least and the largest ratio of a round, which tell how far to trust it.
    """
    times: dict[str, list[list[float]]] = {kind: [] for kind in _KINDS}
    with world(seed) as found:
        measurement = Measurement(found, seed)
        measurement.times_ms(Span(seconds=_WARM_S))
        for number in range(_ROUNDS):
            _progress.print(f"round {number + 1} of {_ROUNDS}, some {4 * seconds:.0f} s")
            for kind, one in _round(measurement, seconds).items():
                times[kind].append(one)
    return {**figures(times), "missing": measurement.missing}


def _round(measurement: Measurement, seconds: float) -> dict[str, list[float]]:
    quiet = measurement.times_ms(Span(seconds=seconds))
    measurement.hang("hang")
    hung = measurement.times_ms(Span(seconds=seconds))
    measurement.hang("ok")
    even = measurement.times_ms(Span(seconds=seconds, each=1.0))
    loud = measurement.times_ms(Span(seconds=seconds, each=1.0, loud=100.0))
    return dict(zip(_KINDS, (quiet, hung, even, loud), strict=True))


def figures(times: Mapping[str, Sequence[list[float]]]) -> dict[str, Any]:
    """Return what is told of the milliseconds of each kind of span, a list for each round."""
    quiet, hung, even, loud = (_p99(list(chain(*times[kind]))) for kind in _KINDS)
    return {
        "healthy_p99_ms": quiet,
        "healthy_p99_ms_with_a_fifth_hanging": hung,
        "ratio_hanging": round(hung / quiet, 2),
        "rounds_hanging": _range(times["hung"], times["quiet"]),
        "target_hanging": _QUIET,
        "others_p99_ms": even,
        "others_p99_ms_beside_a_loud_store": loud,
        "ratio_loud": round(loud / even, 2),
        "rounds_loud": _range(times["loud"], times["even"]),
        "target_loud": _NOISY,
        "deliveries": {kind: sum(map(len, times[kind])) for kind in _KINDS},
    }


def _range(disturbed: Sequence[list[float]], calm: Sequence[list[float]]) -> list[float]:
    ratios = [round(_p99(one) / _p99(other), 2) for one, other in zip(disturbed, calm, strict=True)]
    return [min(ratios), max(ratios)]


def missed(found: Mapping[str, Any]) -> list[str]:
    """Return which of the targets a measurement has missed, by how much."""
    lost = [f"{found['missing']} deliveries to healthy webhooks did not arrive"] if found.get("missing") else []
    told = {"hanging": "with a fifth of the webhooks hanging", "loud": "beside a loud store"}
    return lost + [
        f"the others' p99 {when} is {found[f'ratio_{what}']} times what it is without, the target is {found[f'target_{what}']}"
        for what, when in told.items()
        if found[f"ratio_{what}"] > found[f"target_{what}"]
    ]


def _p99(times: list[float]) -> float:
    return round(sorted(times)[int(len(times) * 0.99)], 1)
