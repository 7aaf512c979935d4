"""What happens to the children of a supervisor that is killed: a process of its own stops them, in order, with their drains.

The supervisor tells it over a pipe whom it has started. When the pipe closes, for whatever reason, everybody who is still
on the list is stopped: the highest rank first, SIGTERM, then SIGKILL after the child's own bound. A death signal from the
kernel would end all at once, the broker before the dispatchers that still want to commit.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

_STEP_S: Final = 0.05
_KILL_WAIT_S: Final = 5.0


@dataclass(slots=True)
class Guard:
    """The supervisor's end: starts the process, tells it who is there, starts it again should it die. One thread."""

    keep: tuple[int, ...] = ()
    """File descriptors that the process holds open too, such as a lock that must outlive a killed supervisor."""
    remove: tuple[Path, ...] = ()
    """Files to delete once all are stopped."""
    _process: subprocess.Popen[bytes] | None = None
    _known: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """The process id while it runs, else 0."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def start(self) -> None:
        """Start the process unless it runs."""
        if self.pid:
            return
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        command = [sys.executable, "-m", "hookline.local.orphans"]
        self._process = subprocess.Popen(  # noqa: S603  # our own command line
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, pass_fds=self.keep
        )
        self._say({"remove": [str(path) for path in self.remove]})
        for entry in self._known.values():
            self._say(entry)

    def tick(self) -> None:
        """Start the process again if it died."""
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def add(self, pid: int, name: str, rank: int, stop_s: float) -> None:
        """Tell of a child."""
        self._known[pid] = {"pid": pid, "name": name, "rank": rank, "stop_s": stop_s}
        self._say(self._known[pid])

    def gone(self, pid: int) -> None:
        """Tell that a child has ended and was waited for."""
        if self._known.pop(pid, None) is not None:
            self._say({"gone": pid})

    def stop(self) -> None:
        """Let the process go: it ends whoever is still on its list, then itself."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with suppress(OSError):
            process.stdin.close()
        process.wait()

    def _say(self, message: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # it died: `tick` starts another, which hears everything anew
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()


@dataclass(slots=True)
class _Orphan:
    """A process by its pid, and where the kernel has them by a descriptor that cannot come to mean another process."""

    pid: int
    name: str
    rank: int
    stop_s: float
    handle: int | None = None

    @classmethod
    def of(cls, pid: int, name: str, rank: int, stop_s: float) -> _Orphan:
        handle = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                handle = os.pidfd_open(pid)
        return cls(pid, name, rank, stop_s, handle)

    def running(self) -> bool:
        if self.handle is not None:
            return not select.select([self.handle], [], [], 0)[0]
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        with suppress(OSError):
            if self.handle is not None:
                signal.pidfd_send_signal(self.handle, number)
            else:
                os.kill(self.pid, number)

    def forget(self) -> None:
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def main() -> None:
    """Listen until the supervisor's end of the pipe closes, then stop whoever is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    orphans, remove = _listen(sys.stdin.buffer)
    for rank in sorted({orphan.rank for orphan in orphans}, reverse=True):
        _end([orphan for orphan in orphans if orphan.rank == rank])
    for path in remove:
        path.unlink(missing_ok=True)


def _listen(pipe: IO[bytes]) -> tuple[list[_Orphan], list[Path]]:
    known: dict[int, _Orphan] = {}
    remove: list[Path] = []
    for line in pipe:
        try:
            message = json.loads(line)
        except ValueError:  # cut off by the supervisor's death
            continue
        if "remove" in message:
            remove = [Path(path) for path in message["remove"]]
        elif "gone" in message:
            if message["gone"] in known:
                known.pop(message["gone"]).forget()
        else:
            known[message["pid"]] = _Orphan.of(**message)
    return list(known.values()), remove


def _tell(text: str) -> None:
    """Write to where the supervisor wrote, if that is still there: its terminal may have been closed."""
    with suppress(OSError):
        os.write(sys.stderr.fileno(), text.encode())


def _end(orphans: list[_Orphan]) -> None:
    running = [orphan for orphan in orphans if orphan.running()]
    if running:
        _tell(f"hookline: the supervisor is gone: stopping {', '.join(orphan.name for orphan in running)}\n")
    for orphan in running:
        orphan.signal(signal.SIGTERM)
        orphan.signal(signal.SIGCONT)
    began = time.monotonic()
    while left := [orphan for orphan in running if orphan.running()]:
        waited_s = time.monotonic() - began
        for orphan in left:
            if waited_s > orphan.stop_s:
                orphan.signal(signal.SIGKILL)
        if waited_s > max(orphan.stop_s for orphan in left) + _KILL_WAIT_S:
            return
        time.sleep(_STEP_S)


if __name__ == "__main__":
    main()
