"""Names whose addresses turn from a public one to one inside, between one look-up and the next."""

from __future__ import annotations

import random
from typing import Final

from tests.chaos.cast import TWO
from tests.chaos.faults.fault import Fault
from tests.chaos.history import Role
from tests.chaos.receivers import INSIDE
from tests.chaos.tampering import DOMAIN
from tests.chaos.world import World

_OUT: Final = "127.0.0.1"
_MAPPED: Final = f"::ffff:{INSIDE}"
_TYPES: Final = ("order.created",)
_KEPT_S: Final = 11.0  # longer than an answer is remembered
_MADE: Final = 4
_ANSWERS: Final = {
    "turns": [[_OUT], [INSIDE]],
    "turns-back": [[INSIDE], [_OUT]],
    "turned": [[_OUT], *[[INSIDE]] * 50],
    "mixed": [[_OUT, INSIDE]],
    "mixed-back": [[INSIDE, _OUT]],
    "mapped": [[_OUT], [_MAPPED]],
    "inside": [[INSIDE]],
}
"""What look-ups answer, one after the other."""
_ALLOWED: Final = {(200, ""), (0, "blocked_address")}


class NamesFlip(Fault):
    """Every connect is checked: a trap listens at the inner address, at the receiver's very port, and gets no connection.

    A transport that looked a name up to check it and again to connect would meet two answers.
    """

    name = "names-flip"
    what = "names whose look-ups answer a public and an inner address in turn, both at once, or an inner one: nobody goes inside"

    def __init__(self) -> None:
        self._roles: dict[str, Role] = {}
        self._hosts: dict[str, str] = {}

    def inject(self, world: World, numbers: random.Random) -> None:
        """Have all names answer, publish, and publish again once the answers are forgotten."""
        run = f"{numbers.getrandbits(24):06x}"
        self._processes = [world.pid(name) for name in world.dispatchers]
        self._hosts = {kind: f"{kind}-{run}{DOMAIN}" for kind in _ANSWERS}
        world.set_names({host: _ANSWERS[kind] for kind, host in self._hosts.items()})
        for kind, host in self._hosts.items():
            name = f"{kind}-{run}"
            role = Role(name=name, store_id=name, types=_TYPES, receiver=TWO, may_die=True)
            self._roles[kind] = world.cast.engage(role, "closing", host=host)
        for pause_s in (_KEPT_S, 2.0):
            for role in self._roles.values():
                world.library.publish(role.store_id, _TYPES, _MADE, world.history)
            world.sleep(pause_s)

    def heal(self, world: World) -> None:
        """Have all names lead outside."""
        world.set_names({host: [[_OUT]] for host in self._hosts.values()})

    def check(self, world: World) -> list[str]:
        """Require that attempts were blocked or taken, nothing else, and that both happened."""
        kinds = {role.webhook_id: kind for kind, role in self._roles.items()}
        seen: dict[str, set[tuple[int, str]]] = {kind: set() for kind in kinds.values()}
        for tried in world.history.attempts:
            if tried.webhook_id in kinds and tried.attempt:
                seen[kinds[tried.webhook_id]].add((tried.status, tried.kind))
        found = [f"{kind} was recorded as {pair}" for kind, pairs in seen.items() for pair in sorted(pairs - _ALLOWED)]
        found += [f"nothing was blocked of {kind}" for kind in self._blocked(world) if (0, "blocked_address") not in seen[kind]]
        return found if (200, "") in seen["turns"] | seen["turned"] else [*found, "no name that turns was ever called outside"]

    def _blocked(self, world: World) -> list[str]:
        """Return the names of which something must have been blocked: who is new begins with their first answers again."""
        same = self._processes == [world.pid(name) for name in world.dispatchers]
        return [kind for kind, answers in _ANSWERS.items() if same or INSIDE in answers[0]]

    def after(self, world: World) -> None:
        """Delete the webhooks."""
        for role in self._roles.values():
            world.cast.dismiss(role)
