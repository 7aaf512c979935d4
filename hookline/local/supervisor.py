"""Child processes kept alive: started in order, started again when they die, stopped in order, never left behind.

One thread drives a supervisor by calling `tick` often (or `watch`, which does). What a supervisor that is itself killed
leaves behind is stopped, in the same order, by the process of `hookline.local.orphans`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from hookline.kernel.errors import LocalError
from hookline.kernel.lifecycle import Stop
from hookline.kernel.metrics import Probe
from hookline.local.log_tail import last_words
from hookline.local.orphans import Guard

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 15.0
STEADY_S: Final = 30.0
"""A child that lived this long is forgiven its earlier deaths."""

_TICK_S: Final = 0.1
_STOP_TICK_S: Final = 0.02
_KILL_WAIT_S: Final = 10.0
_NO_OTHERS: Final = 0o077  # what a child makes, events and logs among it, is for its user alone


class What(Enum):
    """What a supervisor has to tell."""

    STARTED = "started"
    DIED = "died"
    ENDED = "ended"
    STOPPING = "stopping"
    STOPPED = "stopped"
    KILLED = "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened to a child; `words` are the last lines of its log, where that helps."""

    what: What
    child: str
    detail: str = ""
    words: tuple[str, ...] = ()

    @property
    def bad(self) -> bool:
        """Whether a person should know of it."""
        return self.what in {What.DIED, What.KILLED}


Tell: TypeAlias = Callable[[Notice], None]


def _ready_at_once() -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A process to keep alive.

    `rank` orders the stop: the highest first, equal ranks together. `log` None: it writes where its parent does. `ready`
    returns an empty text once the child can work, else what is missing; `ready_s` bounds that at the start. `stop_s`
    bounds its drain after SIGTERM; then it is killed. `restart` False: its end is told and left at that. `restart_command`
    is that of every start but the first, where it is another one.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    rank: int = 0
    log: Path | None = None
    ready: Probe = _ready_at_once
    ready_s: float = 60.0
    stop_s: float = 20.0
    restart: bool = True
    restart_command: tuple[str, ...] = ()


@dataclass(slots=True)
class Child:
    """A spec and its process now; `pid` is 0 while there is none. `proven` says that it was ready once, `ended` how it died."""

    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    deaths: int = 0
    ready: bool = False
    proven: bool = False
    ended: str = ""

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        return self.process.pid if self.process is not None and self.process.poll() is None else 0


def pause_s(deaths: int) -> float:
    """Return how long to wait before the start after death number `deaths` (from 1): doubling, bounded."""
    return min(FIRST_PAUSE_S * 2.0 ** min(deaths - 1, 16), LONGEST_PAUSE_S)


def ending(code: int) -> str:
    """Say how a process ended, from its return code."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


@dataclass(slots=True)
class Supervisor:
    """Keeps children alive. All calls from one thread; `stop` may follow any failure and leaves nothing running.

    `clock` gives monotonic seconds.
    """

    tell: Tell
    clock: Callable[[], float] = time.monotonic
    guard: Guard = field(default_factory=Guard)
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, specs: Iterable[ChildSpec]) -> None:
        """Start children without waiting for them; raise `LocalError` when one cannot be run at all."""
        self.guard.start()
        for spec in specs:
            child = self.children[spec.name] = Child(spec)
            self._launch(child)

    def wait_ready(self, stop: Stop) -> None:
        """Return when all are ready or the stop came; raise `LocalError` when one dies before it ever was, or takes too long.

        The error has the child's last words. One that was ready before and died is started again, as by `tick`.
        """
        while not stop.is_set():
            self.tick()
            waiting = [child for child in self.children.values() if not self._is_ready(child)]
            if not waiting:
                return
            time.sleep(_TICK_S)

    def watch(self, stop: Stop) -> None:
        """Keep the children alive until the stop."""
        while not stop.is_set():
            self.tick()
            time.sleep(_TICK_S)

    def tick(self) -> None:
        """Notice what died, and start again what is due."""
        self.guard.tick()
        now = self.clock()
        for child in self.children.values():
            if child.process is not None and child.process.poll() is not None:
                self._died(child, now)
            if child.restart_at and now >= child.restart_at:
                self._launch(child)

    def pid(self, name: str) -> int:
        """Return a child's process id, 0 while it has none."""
        return self.children[name].pid

    def kill(self, name: str) -> None:
        """Kill a child as an accident would: `tick` finds it dead and does what its spec says."""
        self._signal(self.children[name], signal.SIGKILL)

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one child with a signal and leave it down until `again`."""
        child = self.children[name]
        child.restart_at = 0.0
        if child.process is not None:
            self._signal(child, number)
            self._await([child], child.spec.stop_s)
        child.process = None

    def again(self, name: str) -> None:
        """Start a child that was ended."""
        child = self.children[name]
        if not child.pid:
            self._launch(child)

    def stop(self) -> None:
        """Stop all, the highest rank first, each within its `stop_s`, then kill it. Stopping twice is fine."""
        for rank in sorted({child.spec.rank for child in self.children.values()}, reverse=True):
            self._stop_rank([child for child in self.children.values() if child.spec.rank == rank])
        self.guard.stop()

    # ---- the parts ----

    def _say(self, notice: Notice) -> None:
        with suppress(OSError):  # a closed terminal or pipe must keep nobody from being looked after
            self.tell(notice)

    def _launch(self, child: Child) -> None:
        spec = child.spec
        command = spec.restart_command if spec.restart_command and child.started_at else spec.command
        child.restart_at, child.ready, child.started_at = 0.0, False, self.clock()
        log = _private(spec.log) if spec.log is not None else None
        try:
            # A session of its own: Ctrl-C in the terminal is for the supervisor, which stops the others in order.
            child.process = subprocess.Popen(  # noqa: S603  # our own command lines
                command,
                env=dict(spec.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=_NO_OTHERS,
            )
        except OSError as error:
            raise LocalError(f"{spec.name} cannot be started: {error.strerror}: {command[0]}") from error
        finally:
            if log is not None:
                log.close()
        self.guard.add(child.process.pid, spec.name, spec.rank, spec.stop_s)
        self._say(Notice(what=What.STARTED, child=spec.name, detail=f"pid {child.process.pid}"))

    def _died(self, child: Child, now: float) -> None:
        code = child.process.returncode if child.process is not None else 0
        self._forget(child)
        if now - child.started_at >= STEADY_S:
            child.deaths = 0
        if code == 0 and not child.spec.restart:
            self._say(Notice(what=What.ENDED, child=child.spec.name))
            return
        child.deaths += 1
        detail = child.ended = ending(code)
        if child.spec.restart:
            wait_s = pause_s(child.deaths)
            child.restart_at = now + wait_s
            detail += f"; starting it again in {wait_s:.1f} s"
        self._say(Notice(what=What.DIED, child=child.spec.name, detail=detail, words=last_words(child.spec.log)))

    def _forget(self, child: Child) -> None:
        if child.process is not None:
            self.guard.gone(child.process.pid)
        child.process, child.ready = None, False

    def _is_ready(self, child: Child) -> bool:
        if child.ready:
            return True
        if child.ended and not child.proven:
            raise _failed(child.spec, child.ended)
        if child.process is None and not child.restart_at:
            return True  # it was taken down by hand, or has done its work
        missing = child.spec.ready() if child.pid else "it does not run"
        child.ready = not missing
        child.proven = child.proven or child.ready
        if missing and self.clock() - child.started_at > child.spec.ready_s:
            raise _failed(child.spec, f"was not ready within {child.spec.ready_s:g} s ({missing})")
        return child.ready

    def _stop_rank(self, children: list[Child]) -> None:
        running = []
        for child in children:
            child.restart_at = 0.0
            if child.pid:
                self._say(Notice(what=What.STOPPING, child=child.spec.name))
                self._signal(child, signal.SIGTERM)
                running.append(child)
            else:
                self._forget(child)
        self._await(running, max((child.spec.stop_s for child in running), default=0.0))

    def _await(self, children: list[Child], stop_s: float) -> None:
        """Wait until these children have ended; kill those that take longer."""
        deadline = self.clock() + stop_s
        while any(child.pid for child in children) and self.clock() < deadline:
            time.sleep(_STOP_TICK_S)
            self.guard.tick()
        for child in children:
            what, detail = What.STOPPED, ""
            if child.process is not None and child.pid:
                what, detail = What.KILLED, f"it did not stop within {stop_s:g} s"
                self._signal(child, signal.SIGKILL)
                child.process.wait(_KILL_WAIT_S)
            self._forget(child)
            self._say(Notice(what=what, child=child.spec.name, detail=detail))

    def _signal(self, child: Child, number: signal.Signals) -> None:
        """Signal a child; one that hangs stopped (SIGSTOP) is woken, or it would never see a SIGTERM."""
        if child.process is not None and child.pid:
            child.process.send_signal(number)
            if number != signal.SIGKILL:
                os.kill(child.process.pid, signal.SIGCONT)


def _private(path: Path) -> BinaryIO:
    """Open a file to add to it; one that is made is its owner's alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")


def _failed(spec: ChildSpec, how: str) -> LocalError:
    words = last_words(spec.log)
    said = ": " + " / ".join(words) if words else ""
    return LocalError(f"{spec.name} {how}{said}", remedy=f"Its log is {spec.log}." if spec.log is not None else "")
