"""The supervisor, with small scripts for children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hookline.kernel.errors import LocalError
from hookline.kernel.lifecycle import Stop
from hookline.local.supervisor import LONGEST_PAUSE_S, ChildSpec, Notice, Supervisor, What, pause_s

pytestmark = pytest.mark.process

WAITS = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(600)"
IGNORES = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
NOTES_ITS_END = """
import signal, sys, time
def end(*_):
    with open({path!r}, "a") as file:
        file.write({name!r} + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(600)
"""


class Stage:
    """A supervisor with short-lived scripts for children, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notices: list[Notice] = []
        self.supervisor = Supervisor(self.notices.append)

    def spec(self, name: str, script: str, **more: Any) -> ChildSpec:
        """Return the spec of a script that is ready once it has written `up`."""
        log = self.folder / f"{name}.log"
        return ChildSpec(
            name=name,
            command=(sys.executable, "-c", script),
            environ=dict(os.environ),
            log=log,
            ready=lambda: "" if log.exists() and "up" in log.read_text() else "it has not said so",
            **more,
        )

    def run(self, *specs: ChildSpec) -> None:
        """Start children and wait until they are ready."""
        self.supervisor.start(specs)
        self.supervisor.wait_ready(Stop())

    def tick_until(self, condition: Callable[[], object], timeout_s: float = 60.0) -> None:
        """Drive the supervisor until something holds."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.notices
            self.supervisor.tick()
            time.sleep(0.02)

    def told(self, what: What) -> list[Notice]:
        """Return the notices of a kind."""
        return [notice for notice in self.notices if notice.what is what]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a stage, emptied afterwards."""
    found = Stage(tmp_path)
    yield found
    found.supervisor.stop()


def gone(pid: int) -> bool:
    """Tell whether no process has this id, a zombie not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_child_that_dies_is_started_again(stage: Stage) -> None:
    """After a SIGKILL there is a new process under the same name, and the death is told with how it came."""
    stage.run(stage.spec("one", WAITS))
    first = stage.supervisor.pid("one")
    os.kill(first, signal.SIGKILL)
    stage.tick_until(lambda: stage.supervisor.pid("one") not in {0, first})
    assert ["was killed by SIGKILL" in notice.detail for notice in stage.told(What.DIED)] == [True]


def test_a_child_may_be_started_again_by_another_command(stage: Stage) -> None:
    """As a broker is, whose last life left a session behind."""
    says = f"print('again', flush=True)\n{WAITS}"
    stage.run(stage.spec("one", WAITS, restart_command=(sys.executable, "-c", says)))
    log = stage.folder / "one.log"
    assert "again" not in log.read_text()
    stage.supervisor.kill("one")
    stage.tick_until(lambda: "again" in log.read_text())


def test_the_last_words_of_the_dead_are_told(stage: Stage) -> None:
    """What a child wrote about its end stands in the notice."""
    stage.supervisor.start([stage.spec("fails", "print('fine so far'); print('error: no disk left', flush=True); raise SystemExit(3)")])
    stage.tick_until(lambda: stage.told(What.DIED))
    [*_, notice] = stage.told(What.DIED)
    assert "ended with status 3" in notice.detail
    assert "error: no disk left" in notice.words


@pytest.mark.unit
def test_pauses_grow_and_are_bounded() -> None:
    """The first start again follows at once, later ones after doubling pauses, never longer than the longest."""
    pauses = [pause_s(deaths) for deaths in range(1, 40)]
    assert pauses[0] < 0.5
    assert all(b >= a for a, b in pairwise(pauses))
    assert pauses[3] == pauses[0] * 8
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_child_that_keeps_dying_waits_longer_each_time(stage: Stage) -> None:
    """Each death in a row doubles the announced pause; a long life makes the next pause short again."""
    now = [1_000.0]
    stage.supervisor.clock = lambda: now[0]
    stage.supervisor.start([stage.spec("dies", "raise SystemExit(1)")])
    child = stage.supervisor.children["dies"]
    seen = []
    for lived_s in (0.0, 0.0, 0.0, 31.0):
        assert child.process is not None
        child.process.wait(20)
        now[0] += lived_s
        stage.supervisor.tick()
        seen.append(round(child.restart_at - now[0], 3))
        now[0] = child.restart_at
        stage.supervisor.tick()
    assert seen == [pause_s(1), pause_s(2), pause_s(3), pause_s(1)]


@pytest.mark.parametrize(("status", "told"), [(0, What.ENDED), (1, What.DIED)])
def test_a_child_without_restart_stays_away(stage: Stage, status: int, told: What) -> None:
    """Its end is told once, as such or as a death, and nothing more happens."""
    stage.supervisor.start([stage.spec("once", f"raise SystemExit({status})", restart=False)])
    stage.tick_until(lambda: stage.told(told))
    for _ in range(20):
        stage.supervisor.tick()
        time.sleep(0.02)
    assert stage.supervisor.pid("once") == 0
    assert [notice.what for notice in stage.notices] == [What.STARTED, told]


def test_the_stop_goes_by_rank(stage: Stage, tmp_path: Path) -> None:
    """Higher ranks have ended before lower ones are told to."""
    order = tmp_path / "order"
    names = {"first": 3, "second": 2, "third": 1}
    stage.run(*(stage.spec(name, NOTES_ITS_END.format(path=str(order), name=name), rank=rank) for name, rank in names.items()))
    stage.supervisor.stop()
    assert order.read_text().split() == ["first", "second", "third"]
    assert [notice.child for notice in stage.told(What.STOPPED)] == ["first", "second", "third"]


def test_a_child_that_hangs_at_the_stop_is_killed(stage: Stage) -> None:
    """SIGTERM ignored: killed after its bound, told, and the next rank is still stopped properly."""
    stage.run(stage.spec("hangs", IGNORES, rank=2, stop_s=0.5), stage.spec("polite", WAITS, rank=1))
    pid = stage.supervisor.pid("hangs")
    stage.supervisor.stop()
    assert gone(pid)
    assert [notice.child for notice in stage.told(What.KILLED)] == ["hangs"]
    assert [notice.child for notice in stage.told(What.STOPPED)] == ["polite"]


def test_a_child_that_stands_still_is_stopped_too(stage: Stage) -> None:
    """A process under SIGSTOP is woken, so that it can drain."""
    stage.run(stage.spec("frozen", WAITS, stop_s=20))
    os.kill(stage.supervisor.pid("frozen"), signal.SIGSTOP)
    stage.supervisor.stop()
    assert [notice.what for notice in stage.notices][-1] is What.STOPPED


def test_a_start_that_fails_says_why(stage: Stage) -> None:
    """A child that ends before it is ready fails the start, with its last words and its log's place."""
    stage.supervisor.start([stage.spec("bad", "import sys; sys.exit('error: port 80 is in use')")])
    with pytest.raises(LocalError, match="bad ended with status 1: error: port 80 is in use") as caught:
        stage.supervisor.wait_ready(Stop())
    assert "bad.log" in caught.value.remedy


def test_a_start_that_takes_too_long_says_what_is_missing(stage: Stage) -> None:
    """A child that never gets ready fails the start with its own complaint."""
    stage.supervisor.start([stage.spec("slow", "import time; time.sleep(600)", ready_s=0.3)])
    with pytest.raises(LocalError, match=r"slow was not ready within 0\.3 s \(it has not said so\)"):
        stage.supervisor.wait_ready(Stop())


def test_a_program_that_is_not_there_is_named(stage: Stage) -> None:
    """A command that cannot be run is an error with its name, not a stack trace."""
    spec = ChildSpec(name="ghost", command=("/no/such/program",), environ={})
    with pytest.raises(LocalError, match="ghost cannot be started: No such file or directory: /no/such/program"):
        stage.supervisor.start([spec])


def test_a_child_can_be_taken_down_and_up(stage: Stage) -> None:
    """What was ended by hand stays down until it is wanted again."""
    stage.run(stage.spec("receiver", WAITS))
    stage.supervisor.end("receiver", signal.SIGKILL)
    for _ in range(20):
        stage.supervisor.tick()
        time.sleep(0.02)
    assert stage.supervisor.pid("receiver") == 0
    stage.supervisor.again("receiver")
    assert stage.supervisor.pid("receiver") > 0


ORPHANED = """
import os, sys, time
from hookline.local.supervisor import ChildSpec, Supervisor
from hookline.local.orphans import Guard
from pathlib import Path
supervisor = Supervisor(lambda _: None, guard=Guard(remove=(Path({remove!r}),)))
environ = dict(os.environ)
supervisor.start(
    ChildSpec(name=n, command=(sys.executable, "-c", s), environ=environ, rank=r, stop_s=t) for n, s, r, t in {specs!r}
)
print(*(supervisor.pid(name) for name in supervisor.children), flush=True)
time.sleep(600)
"""


def test_a_killed_supervisor_leaves_nobody_behind(tmp_path: Path, until: Callable[..., None]) -> None:
    """After SIGKILL of the supervisor its children are stopped in order, the one that hangs is killed, its files are removed."""
    order, remove = tmp_path / "order", tmp_path / "environment.json"
    remove.touch()
    specs = [
        ("first", NOTES_ITS_END.format(path=str(order), name="first"), 3, 20),
        ("hangs", IGNORES, 2, 0.5),
        ("last", NOTES_ITS_END.format(path=str(order), name="last"), 1, 20),
    ]
    script = ORPHANED.format(remove=str(remove), specs=specs)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stderr is not None
        lines = [supervisor.stdout.readline() for _ in range(4)]  # three children say `up`, the supervisor says who they are
        pids = next([int(pid) for pid in line.split()] for line in lines if line.strip() != "up")
        supervisor.stderr.close()  # the terminal is closed as well
        supervisor.kill()
    until(lambda: all(gone(pid) for pid in pids), what="the orphans gone")
    until(lambda: not remove.exists(), what="the file removed")
    assert order.read_text().split() == ["first", "last"]


def test_a_closed_terminal_keeps_nobody_from_being_stopped(stage: Stage) -> None:
    """When nobody can be told any more, the children are looked after and stopped all the same."""
    stage.run(stage.spec("one", WAITS))

    def broken(_notice: Notice) -> None:
        raise BrokenPipeError

    stage.supervisor.tell = broken
    first = stage.supervisor.pid("one")
    os.kill(first, signal.SIGKILL)
    stage.tick_until(lambda: stage.supervisor.pid("one") not in {0, first})
    second = stage.supervisor.pid("one")
    stage.supervisor.stop()
    assert gone(second)


def test_a_killed_guard_is_replaced(stage: Stage) -> None:
    """The process that looks after orphans is started again when it dies, so that it is there when it is needed."""
    stage.run(stage.spec("one", WAITS))
    first = stage.supervisor.guard.pid
    os.kill(first, signal.SIGKILL)
    stage.tick_until(lambda: stage.supervisor.guard.pid not in {0, first})


def test_what_a_child_writes_is_for_its_user_alone(tmp_path: Path) -> None:
    """Its log, its files and its folders."""
    stage = Stage(tmp_path)
    made = "import os; open({file!r}, 'w').close(); os.mkdir({folder!r}); print('up', flush=True)"
    script = made.format(file=str(tmp_path / "file"), folder=str(tmp_path / "folder"))
    try:
        stage.run(stage.spec("private", f"{script}; {WAITS}"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        assert modes == {"private.log": 0o600, "file": 0o600, "folder": 0o700}
    finally:
        stage.supervisor.stop()
