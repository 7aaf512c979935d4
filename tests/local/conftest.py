"""What the tests of the local stack share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest


@pytest.fixture
def until() -> Callable[..., None]:
    """Give tests a function that waits until a condition holds, and fails the test with its name when it does not in time."""

    def wait(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "the condition") -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not in {timeout_s:g} s: {what}")
            time.sleep(0.05)

    return wait


OURS = ("HOOKLINE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_")


class Up:
    """A `hookline up` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".hookline"
        self.output = folder / "output"
        self.environ = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
        self.environ["HOOKLINE_STATE_DIR"] = str(self.state)
        self.process: subprocess.Popen[bytes] | None = None
        self.known: set[int] = set()

    def command(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "hookline.cli.main", *arguments]

    def start(self, *arguments: str) -> None:
        """Start it without waiting."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(self.command("up", *arguments), env=self.environ, cwd=self.folder, stdout=output, stderr=output)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in another terminal, to its end."""
        return subprocess.run(
            self.command(*arguments), env=self.environ, cwd=self.folder, capture_output=True, text=True, timeout=90, check=False
        )

    @property
    def said(self) -> str:
        """Everything it printed."""
        return self.output.read_text() if self.output.exists() else ""

    @property
    def running(self) -> bool:
        """Whether it is ready for other terminals."""
        assert self.process is not None
        assert self.process.poll() is None, self.said
        return (self.state / "environment.json").exists()

    @property
    def shared(self) -> dict[str, str]:
        """What other terminals are told."""
        found: dict[str, str] = json.loads((self.state / "environment.json").read_text())
        return found

    def children(self) -> dict[str, set[int]]:
        """Return name → process ids of what runs now; dispatchers share the name `dispatch`."""
        assert self.process is not None
        found: dict[str, set[int]] = {}
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # it ended meanwhile
                words = child.cmdline() or ["not there yet"]
                found.setdefault("kafka" if "kafka.Kafka" in words else words[-1], set()).add(child.pid)
                self.known.add(child.pid)
        return found

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it; return its status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(120)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """Give a `hookline up` that is not started; whatever is left of it ends with the test."""
    found = Up(tmp_path)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.stop()
    for pid in found.known:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
