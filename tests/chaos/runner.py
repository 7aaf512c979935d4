"""Playing faults in a world: inject, heal, wait until everything has settled, read every side, check."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from confluent_kafka import KafkaException

from hookline.kernel.errors import HooklineError
from tests.chaos.bounds import bound
from tests.chaos.chapter import Chapter, Violation
from tests.chaos.faults.fault import Fault
from tests.chaos.history import Kind, Role
from tests.chaos.invariants import check, recovery_s, repeated, without_fate
from tests.chaos.memory import peak_mb, watch
from tests.chaos.world import COMMIT_S, KAFKA, SPARE, World

_BEFORE_S: Final = 0.7
_AFTER_S: Final = 1.0
_SETTLE_S: Final = 100.0
_STILL_S: Final = 1.2  # longer than a parked delivery waits in its tier
_READ_EVERY_S: Final = 0.3
_GLANCE_S: Final = 3.0


@dataclass(slots=True, kw_only=True)
class Line:
    """What a round gave: the row of the report."""

    fault: str
    what: str
    round: int
    seconds: float = 0.0
    kills: int = 0
    events: int = 0
    calls: int = 0
    lost: int = 0
    duplicates: int = 0
    bound: int = 0
    attempts: int = 0
    rows: int = 0
    recovery_s: float = 0.0
    rss_mb: float = 0.0
    glances: int = 0
    told: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


class Runner:
    """Plays one fault after the other in an open world. `seed` decides everything that is random."""

    def __init__(self, world: World, seed: int, tell: Callable[[str], None] = lambda _: None) -> None:
        self._world = world
        self._seed = seed
        self._tell = tell
        self._judged = len(world.history.incidents)

    def play(self, fault: Fault, number: int = 0) -> Line:
        """Play one round of a fault and return what it gave; a violation is in the line, not raised.

        So is a side that cannot be read to its end: whether the promises held is not known then.
        """
        try:
            return self._play(fault, number)
        except Exception as error:  # noqa: BLE001  # whatever it was, the other rounds count, and this one does as a violation
            text = f"the round could not be judged: {type(error).__name__}: {error}"
            return Line(fault=fault.name, what=fault.what, round=number, violations=[Violation("judged", text)])
        finally:
            self._world.glance = lambda: None
            self._world.load.off()
            self._world.let_be()

    def _play(self, fault: Fault, number: int) -> Line:
        world = self._world
        world.look()
        chapter = self._begin(fault, number)
        world.glance = partial(self._glance, chapter)
        watch(world.pid(name) for name in world.dispatchers)
        world.load.on()
        world.sleep(_BEFORE_S)
        fault.inject(world, random.Random(f"{self._seed}:{fault.name}:{number}"))
        self._glance(chapter)
        fault.heal(world)
        chapter.healed_at = fault.ended_at or time.time()
        world.sleep(_AFTER_S)
        world.load.off()
        self._settle(chapter)
        own = [Violation(fault.name, text) for text in [*fault.check(world), *self._unseen(chapter)]]
        chapter.deaths_expected, chapter.deaths_of = fault.deaths, fault.deaths_of
        line = self._line(fault, number, chapter, own)
        self._judged = len(world.history.incidents)  # a rebalance that `after` sets off goes on in the next round, and is that one's
        fault.after(world)
        return line

    def _begin(self, fault: Fault, number: int) -> Chapter:
        history = self._world.history
        return Chapter(
            fault=fault.name,
            round=number,
            commit_s=COMMIT_S,
            began_at=time.time(),
            calls_from=len(history.calls),
            attempts_from=len(history.attempts),
            copies_from=len(history.copies),
            incidents_from=self._judged,
            deaths_from=len(history.deaths),
        )

    def _glance(self, chapter: Chapter) -> None:
        """Look whether all below the committed offsets has its fate already: at a death that is what counts.

        Where Kafka cannot say, nothing is committed either.
        """
        world = self._world
        if not world.answers(KAFKA):
            return
        chapter.glanced += 1
        try:
            offsets = world.reader.committed(_GLANCE_S)
            world.look()
            world.reader.catch_up(_GLANCE_S)
        except (HooklineError, KafkaException, TimeoutError):
            return
        chapter.glances += 1
        chapter.early += without_fate(world.history, world.history.copies[chapter.copies_from :], offsets)

    def _unseen(self, chapter: Chapter) -> list[str]:
        """Return that nobody could look at the offsets, where Kafka was there all the time."""
        harmed = {i.what for i in self._world.history.incidents[chapter.incidents_from :] if i.name == KAFKA}
        unseen = chapter.glanced and not chapter.glances and not harmed
        return ["the committed offsets could not be looked at in the middle of it"] if unseen else []

    # ---- settling ----

    def _settle(self, chapter: Chapter) -> None:
        """Wait until everything has come to its end, note what has not, and when the last sign of trouble was seen."""
        world, deadline = self._world, time.monotonic() + _SETTLE_S
        world.wait(lambda: world.load.idle, 60)
        world.wait(lambda: not self._complaining(chapter), deadline - time.monotonic())
        world.reader.catch_up(60)
        owed, due = self._owed(chapter.copies_from), _Every(_READ_EVERY_S)
        well = world.wait(lambda: due() and self._ended(chapter, owed), max(1.0, deadline - time.monotonic()))
        chapter.unready = [] if well else self._complaining(chapter)
        chapter.unsettled = [delivery for delivery, role in owed.items() if not world.history.settled(delivery, role)]
        still = _Still(_STILL_S)
        world.wait(lambda: due() and self._written(chapter) and still.since(len(world.history.attempts)), 60)
        self._read(chapter)
        if lag := self._lag(chapter):
            chapter.unready = [*chapter.unready, f"{lag} records are not committed"]

    def _ended(self, chapter: Chapter, owed: dict[str, Role]) -> bool:
        """Tell whether nobody complains, nothing lags and nothing is owed; each is looked at, whatever the others are."""
        complaints, done = self._complaining(chapter), self._done(owed)
        if complaints or self._lagging(chapter):  # while somebody complains, Kafka may not even be able to say
            chapter.lagged_at = time.time()
            return False
        return done

    def _lagging(self, chapter: Chapter) -> bool:
        try:
            return self._lag(chapter) > 0
        except KafkaException:
            return True

    def _complaining(self, chapter: Chapter) -> list[str]:
        found = self._complaints()
        if found:
            chapter.complained_at = time.time()
        return found

    def _complaints(self) -> list[str]:
        world = self._world
        return [f"{name}: {why}" for name in world.names if name != SPARE and (why := world.ready(name))]

    def _owed(self, copies_from: int) -> dict[str, Role]:
        found: dict[str, Role] = {}
        for copy in self._world.history.copies[copies_from:]:
            found |= self._world.history.owed(copy.event_id, copy.store_id, copy.type)
        return found

    def _done(self, owed: dict[str, Role]) -> bool:
        self._world.look()
        for delivery in [one for one, role in owed.items() if self._world.history.settled(one, role)]:
            del owed[delivery]
        return not owed

    def _written(self, chapter: Chapter) -> bool:
        world = self._world
        try:
            world.reader.catch_up()
            wanted = {(t.partition, t.offset) for t in world.history.attempts} - world.history.rejected
            written = world.rows.count() == len(wanted) and world.sums_right()
        except (OSError, HooklineError):
            written = False
        if not written:
            chapter.written_at = time.time()
        return written

    def _lag(self, chapter: Chapter) -> int:
        ends: dict[tuple[str, int], int] = {}
        for copy in self._world.history.copies:
            topic, partition, offset = copy.place
            ends[topic, partition] = offset + 1
        chapter.committed = self._world.reader.committed()
        return sum(max(0, end - chapter.committed.get(key, 0)) for key, end in ends.items())

    def _read(self, chapter: Chapter) -> None:
        """Read every side for the last time; the committed offsets first, so that what lies below them must be there."""
        world = self._world
        chapter.committed = world.reader.committed()
        world.look()
        world.reader.catch_up()
        world.rows.read()
        chapter.rows, chapter.doubled = dict(world.rows.found), list(world.rows.doubled)
        chapter.sums_right = world.sums_right()

    # ---- the result ----

    def _line(self, fault: Fault, number: int, chapter: Chapter, own: list[Violation]) -> Line:
        history = self._world.history
        violations = check(history, chapter) + own
        kills = sum(1 for i in history.incidents[chapter.incidents_from :] if i.what is Kind.KILL)
        return Line(
            fault=fault.name,
            what=fault.what,
            round=number,
            seconds=time.time() - chapter.began_at,
            kills=kills,
            events=sum(1 for p in history.publishes.values() if p.confirmed_at and p.at >= chapter.began_at),
            calls=len(history.calls) - chapter.calls_from,
            lost=len(chapter.unsettled),
            duplicates=sum(repeated(history, chapter).values()),
            bound=bound(history, chapter),
            attempts=len(history.attempts) - len(history.rejected - history.unreadable),
            rows=len(chapter.rows),
            recovery_s=max(
                recovery_s(history, chapter),
                *(at - chapter.healed_at for at in (chapter.complained_at, chapter.lagged_at, chapter.written_at)),
            ),
            rss_mb=max((peak_mb(self._world.pid(name)) for name in self._world.dispatchers), default=0.0),
            glances=chapter.glances,
            told=list(fault.told),
            violations=violations,
        )


class _Still:
    """Tells when a number has not changed for a while: repeated deliveries end later than the first of each."""

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._number = -1
        self._at = 0.0

    def since(self, number: int) -> bool:
        now = time.monotonic()
        if number != self._number:
            self._number, self._at = number, now
        return now - self._at >= self._quiet_s


class _Every:
    """Tells when something is due again."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._at = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._at < self._pause_s:
            return False
        self._at = now
        return True
