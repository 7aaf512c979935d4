"""SIGTERM in the middle of a fault: who is told to stop leaves while the fault goes on, is timed, and is started again.

Nothing here waits: a fault that is to bring Kafka back must not be held up by those that leave meanwhile.
"""

from __future__ import annotations

import math
import random
import re
import signal
import subprocess
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from hookline.local.supervisor import Child, Supervisor
from tests.chaos.history import Incident, Kind

ANY: Final = "a dispatcher"
OTHERS: Final = ("sink", "ingest", "console")
_LOOK_EVERY_S: Final = 0.3


class Processes(Protocol):
    """What is needed of a world."""

    frozen: set[str]

    @property
    def dispatchers(self) -> list[str]:
        """The dispatchers that run."""

    def of(self, name: str) -> Supervisor:
        """Return who looks after a process."""

    def did(self, what: Kind, name: str) -> Incident:
        """Note what is done to a process, now."""

    def start(self, name: str) -> Incident:
        """Start it again."""

    def ready(self, name: str) -> str:
        """Return what it complains of."""

    def listens_for_sigterm(self, name: str) -> bool:
        """Tell whether it runs and has its own handler."""


@dataclass(frozen=True, slots=True)
class _Leaver:
    process: subprocess.Popen[bytes]
    began_at: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class End:
    """How somebody left: exit status, seconds after the signal, whether it had to be killed."""

    name: str
    code: int
    took_s: float
    killed: bool

    @property
    def wrong(self) -> str:
        """What is wrong with it, empty where nothing is."""
        if self.killed:
            return f"{self.name} had not left {self.took_s:.1f} s after SIGTERM and was killed"
        return f"{self.name} ended with status {self.code} {self.took_s:.1f} s after SIGTERM" if self.code else ""


class Leaving:
    """Tells four to stop when it is time, each as soon as it can hear, and follows them. One thread; `tick` is to be called often."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._leavers: dict[str, _Leaver] = {}
        self._starting: dict[str, Incident] = {}
        self._due_at = self._look_at = math.inf
        self._waits_for: Container[Kind] = ()
        self._numbers = random.Random(0)
        self._after_s = 0.0
        self._names: list[str] = []
        self.pending: list[str] = []
        self.ends: list[End] = []

    def arm(self, numbers: random.Random, after_s: float, names: Sequence[str], waits_for: Container[Kind] = ()) -> None:
        """Tell these `after_s` seconds from now, or from the first harm of one of these kinds; `ANY`: one dispatcher that can hear."""
        self._numbers, self._after_s, self._names, self._waits_for = numbers, after_s, list(names), waits_for
        self._due_at = time.monotonic() + (math.inf if waits_for else after_s)
        self.pending, self.ends = [], []

    def disarm(self) -> None:
        """Tell nobody any more."""
        self._due_at, self._waits_for, self.pending = math.inf, (), []

    def harmed(self, what: Kind) -> None:
        """Hear what is done to a process: the moment counts from it where it was waited for."""
        if what in self._waits_for:
            self._waits_for, self._due_at = (), time.monotonic() + self._after_s

    def fire(self) -> None:
        """Tell them now, unless they were told; who is down or stands still is told as soon as it can hear."""
        if self.armed:
            self.disarm()
            self.pending = list(self._names)
            self._tell_pending()

    @property
    def armed(self) -> bool:
        """Whether the moment is still to come."""
        return self._due_at < math.inf or self._waits_for != ()

    def _tell_pending(self) -> None:
        for name in list(self.pending):
            able = [one for one in (self._processes.dispatchers if name == ANY else [name]) if self._hears(one)]
            if able:
                self.pending.remove(name)
                self._tell(self._numbers.choice(able))

    def _hears(self, name: str) -> bool:
        return name not in self._leavers and name not in self._processes.frozen and self._processes.listens_for_sigterm(name)

    def _tell(self, name: str) -> None:
        child: Child = self._processes.of(name).children[name]
        if child.process is None:
            self.pending.append(name)
            return
        self._processes.did(Kind.TERM, name)
        self._leavers[name] = _Leaver(child.process, time.monotonic(), child.spec.stop_s)
        child.process.send_signal(signal.SIGTERM)

    def __contains__(self, name: object) -> bool:
        """Tell whether somebody was told to stop and has not left."""
        return name in self._leavers

    @property
    def over(self) -> bool:
        """Whether all that were to be told have been, and have left."""
        return not self._leavers and not self.pending

    def forget(self, name: str) -> None:
        """Hear that a fault ends a process itself: how it ends is its doing."""
        self._leavers.pop(name, None)
        self._starting.pop(name, None)

    def tick(self) -> None:
        """Tell them when it is time; start again who has left, kill who does not."""
        now = time.monotonic()
        if now >= self._due_at:
            self.fire()
        self._tell_pending()
        for name, one in list(self._leavers.items()):
            late = now - one.began_at > one.stop_s and name not in self._processes.frozen
            if late or one.process.poll() is not None:
                self.left(name, killed=late and one.process.poll() is None)
        if now >= self._look_at:
            self._look(now)

    def left(self, name: str, *, killed: bool = False) -> bool:
        """Note that somebody has left, or is killed, and start it again; return False when it had not been told to."""
        one = self._leavers.pop(name, None)
        if one is None:
            return False
        self._processes.of(name).end(name, signal.SIGKILL)
        self.ends.append(End(name, one.process.returncode, time.monotonic() - one.began_at, killed))
        self._starting[name] = self._processes.start(name)
        self._look_at = time.monotonic()
        return True

    def _look(self, now: float) -> None:
        """Note who is ready: until then it may set off a rebalance."""
        for name, incident in list(self._starting.items()):
            if name not in self._processes.frozen and not self._processes.ready(name):
                incident.until = time.time()
                del self._starting[name]
        self._look_at = now + _LOOK_EVERY_S if self._starting else math.inf


def handles_sigterm(pid: int) -> bool:
    """Tell whether a process catches SIGTERM; True where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return pid > 0
    found = re.search(r"^SigCgt:\s*([0-9a-f]+)", status.read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (signal.SIGTERM - 1) & 1)
