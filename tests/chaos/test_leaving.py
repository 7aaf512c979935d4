"""SIGTERM in the middle of a fault, with processes of its own: told in time, followed without waiting, started again."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from hookline.local.supervisor import ChildSpec, Notice, Supervisor, What
from tests.chaos.history import Incident, Kind
from tests.chaos.leaving import ANY, Leaving, handles_sigterm

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]
_OBEDIENT = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); time.sleep(60)"
_DEAF = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: None); [time.sleep(1) for _ in range(60)]"
_WRONG = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); time.sleep(60)"


class _Few:
    """A sink, a console and two dispatchers."""

    def __init__(self, scripts: dict[str, str]) -> None:
        self.frozen: set[str] = set()
        self.deaths: list[str] = []
        self.incidents: list[Incident] = []
        self.supervisor = Supervisor(self._heard)
        self.leaving = Leaving(self)
        self.supervisor.start(
            ChildSpec(name=name, command=(sys.executable, "-c", text), environ=os.environ, stop_s=1.0) for name, text in scripts.items()
        )
        self.until(lambda: all(self.listens_for_sigterm(name) for name in scripts))

    def _heard(self, notice: Notice) -> None:
        if notice.what is What.DIED and not self.leaving.left(notice.child):
            self.deaths.append(notice.child)

    @property
    def dispatchers(self) -> list[str]:
        return [name for name in self.supervisor.children if name.startswith("dispatcher")]

    def of(self, _name: str) -> Supervisor:
        return self.supervisor

    def did(self, what: Kind, name: str) -> Incident:
        self.incidents.append(Incident(time.time(), what, name, self.pid(name)))
        self.leaving.harmed(what)
        return self.incidents[-1]

    def start(self, name: str) -> Incident:
        self.supervisor.again(name)
        return self.did(Kind.START, name)

    def ready(self, _name: str) -> str:
        return ""

    def listens_for_sigterm(self, name: str) -> bool:
        return name in self.supervisor.children and handles_sigterm(self.pid(name))

    def pid(self, name: str) -> int:
        return self.supervisor.pid(name)

    def told(self) -> list[str]:
        return [incident.name for incident in self.incidents if incident.what is Kind.TERM]

    def until(self, condition: Callable[[], bool], patience_s: float = 10.0) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, "patience is over"
            self.leaving.tick()
            self.supervisor.tick()
            time.sleep(0.01)


@pytest.fixture
def few() -> Iterator[Callable[..., _Few]]:
    """Give what starts processes by name and script; all are gone afterwards."""
    made: list[_Few] = []

    def start(**scripts: str) -> _Few:
        made.append(_Few({name.replace("_", "-"): text for name, text in scripts.items()}))
        return made[-1]

    yield start
    for one in made:
        one.supervisor.stop()


def test_each_is_told_followed_and_started_again(few: Callable[..., _Few]) -> None:
    """One of the dispatchers, and the others; the next one is another process."""
    found = few(sink=_OBEDIENT, console=_OBEDIENT, dispatcher_1=_OBEDIENT, dispatcher_2=_OBEDIENT)
    before = {name: found.pid(name) for name in found.supervisor.children}
    found.leaving.arm(random.Random(1), 0.2, ["sink", "console", ANY])
    found.until(lambda: len(found.told()) == 3)
    found.until(lambda: found.leaving.over)
    assert {end.name: end.wrong for end in found.leaving.ends} == dict.fromkeys(found.told(), "")
    assert sum(1 for name in found.told() if name.startswith("dispatcher")) == 1
    assert {name for name, pid in before.items() if found.pid(name) != pid} == set(found.told())
    found.until(lambda: all(incident.until for incident in found.incidents if incident.what is Kind.START))
    assert found.deaths == []


def test_whoever_does_not_leave_is_killed_and_named(few: Callable[..., _Few]) -> None:
    """After as long as its supervisor allows; a status that is none of a clean end is named too."""
    found = few(sink=_DEAF, console=_WRONG)
    found.leaving.arm(random.Random(1), 0.0, ["sink", "console"])
    found.until(lambda: len(found.told()) == 2 and found.leaving.over)
    wrong = sorted(end.wrong for end in found.leaving.ends)
    assert wrong[0].startswith("console ended with status 3 ")
    assert wrong[1].startswith("sink had not left 1.")
    assert found.pid("sink")
    assert found.deaths == []


def test_the_moment_counts_from_the_harm(few: Callable[..., _Few]) -> None:
    """Nobody is told before it; who stands still then is told as soon as it can hear, and one of two dispatchers that can."""
    found = few(sink=_OBEDIENT, console=_OBEDIENT, dispatcher_1=_OBEDIENT, dispatcher_2=_OBEDIENT)
    found.frozen |= {"console", "dispatcher-1"}
    found.leaving.arm(random.Random(1), 0.1, ["sink", "console", ANY], {Kind.FREEZE})
    time.sleep(0.2)
    found.leaving.tick()
    assert found.leaving.armed
    assert found.told() == []
    found.leaving.harmed(Kind.FREEZE)
    found.until(lambda: found.told() == ["sink", "dispatcher-2"])
    found.until(lambda: len(found.leaving.ends) == 2)
    assert (found.leaving.pending, found.leaving.over) == (["console"], False)
    found.frozen.clear()
    found.until(lambda: found.told() == ["sink", "dispatcher-2", "console"] and found.leaving.over)
    found.leaving.fire()
    assert len(found.told()) == 3


def test_what_the_fault_ends_itself_is_its_own_doing(few: Callable[..., _Few]) -> None:
    """Killed while it leaves: it is neither judged nor started again."""
    found = few(sink=_DEAF)
    found.leaving.arm(random.Random(1), 0.0, ["sink"])
    found.until(lambda: found.told() == ["sink"])
    assert "sink" in found.leaving
    found.leaving.forget("sink")
    found.supervisor.end("sink", signal.SIGKILL)
    found.leaving.tick()
    assert (found.leaving.over, found.leaving.ends, found.pid("sink")) == (True, [], 0)
