"""Where the demo plays: the stack in a folder of its own, what is said to the audience, and waiting with an eye on everything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from hookline.kernel.config import STATE_DIR
from hookline.kernel.lifecycle import Stop
from hookline.local.stack import Stack, StackOptions
from hookline.local.supervisor import Notice, Supervisor, What

_TICK_S: Final = 0.1
# Days of retries in seconds; short breaker pauses, so that dead letters come about in time.
_SETTINGS: Final = {
    "HOOKLINE_RETRY_TIERS": "500ms,1s,2s",
    "HOOKLINE_RETRY_SCHEDULE": "500ms,1s,2s",
    "HOOKLINE_PARK_TIERS": "500ms",
    "HOOKLINE_BREAKER_STRAIGHT": "60",
    "HOOKLINE_BREAKER_SUCCESS_RATE": "0.5",
    "HOOKLINE_BREAKER_OPEN_S": "0.25",
    "HOOKLINE_SESSION_TIMEOUT_MS": "6000",
    "HOOKLINE_EVENT_PARTITIONS": "4",
    "HOOKLINE_RETRY_PARTITIONS": "2",
    "HOOKLINE_ATTEMPT_PARTITIONS": "2",
}
_OURS: Final = ("HOOKLINE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_")
_KEPT: Final = "HOOKLINE_CACHE_DIR"


class Interrupted(Exception):
    """A person stopped the demo."""


class Stage:
    """One stack in `folder`; `open`, then play, then `close`, which leaves no process running. One thread."""

    def __init__(self, folder: Path, dispatchers: int, environ: Mapping[str, str], out: Console, stop: Stop) -> None:
        self.folder = folder
        self.out = out
        self._stop = stop
        self._began = time.monotonic()
        self._loud = False
        self._pids: dict[int, str] = {}
        # Nothing of the caller's own set-up: the demo must never touch a real cluster.
        clean = {name: text for name, text in environ.items() if not name.startswith(_OURS) or name == _KEPT}
        self.stack = Stack(
            StackOptions(dispatchers=dispatchers), {**clean, **_SETTINGS, STATE_DIR: str(folder / "state")}, self.say, self._tell
        )

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the stack's processes."""
        return self.stack.environ

    @property
    def supervisor(self) -> Supervisor:
        """What keeps the processes alive."""
        return self.stack.supervisor

    def open(self) -> None:
        """Start the stack; raise `HooklineError` with the remedy, `Interrupted` when the stop comes first."""
        self.stack.start(self._stop)
        self._heed()
        self._loud = True

    def ready(self) -> None:
        """Wait until all processes can work; raise `LocalError` when one cannot, `Interrupted`."""
        self.supervisor.wait_ready(self._stop)
        self._heed()

    def stay(self) -> None:
        """Keep everything up until the stop."""
        self.supervisor.watch(self._stop)

    def close(self) -> list[str]:
        """Stop everything; return what is still running, which should be nothing."""
        self.say("stopping everything")
        self._loud = False
        self.stack.stop()
        return [f"{name} (process {pid})" for pid, name in self._pids.items() if _alive(pid)]

    @property
    def started(self) -> int:
        """How many processes were started."""
        return len(self._pids)

    def say(self, text: str, style: str = "") -> None:
        """Tell the audience, with the time since the beginning."""
        shown = f"[{style}]{escape(text)}[/]" if style else escape(text)
        self.out.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/]  {shown}", soft_wrap=True)

    def wait(self, condition: Callable[[], bool], patience_s: float) -> bool:
        """Return whether a condition came true in time; meanwhile look after the processes. Raises `Interrupted`."""
        deadline = time.monotonic() + patience_s
        while not condition():
            self._heed()
            self.supervisor.tick()
            if time.monotonic() > deadline:
                return False
            time.sleep(_TICK_S)
        return True

    def _heed(self) -> None:
        if self._stop.is_set():
            raise Interrupted

    def _tell(self, notice: Notice) -> None:
        if notice.what is What.STARTED:
            self._pids[int(notice.detail.removeprefix("pid "))] = notice.child
        ours = notice.child in self.stack.names
        if self._loud and (notice.bad or (ours and notice.what is What.STARTED)):
            self.say(f"{notice.child} {notice.what.value}: {notice.detail}", "yellow" if notice.bad else "green")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
