"""`hookline up` as a person runs it: start, other terminals, accidents, stop; real processes throughout."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hookline.local.jars import VERSION

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

Until = Callable[..., None]
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

    def children(self) -> dict[str, int]:
        """Return name → process id of what runs now."""
        assert self.process is not None
        found = {}
        for child in psutil.Process(self.process.pid).children():
            words = child.cmdline()
            if words:
                found["kafka" if "kafka.Kafka" in words else words[-1]] = child.pid
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


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_from_start_to_stop(up: Up, until: Until) -> None:
    """It says how to go on, other terminals find it, a second one is refused, addresses and key stay, Ctrl-C stops all."""
    port = free_port()
    up.start("--dispatchers", "2", "--ingest-port", str(port))
    until(lambda: up.running, 120, "the stack ready")
    shared = up.shared
    assert stat.S_IMODE((up.state / "environment.json").stat().st_mode) == 0o600
    assert shared["HOOKLINE_INGEST_URL"] == f"http://127.0.0.1:{port}"
    until(lambda: "In another terminal" in up.said or "in another terminal" in up.said, what="the screen")
    assert all(text in up.said for text in (f"POST http://127.0.0.1:{port}/api/v1/events", shared["HOOKLINE_API_KEY"], "hookline log"))
    assert len(up.children()) >= 4

    made = up.run("webhooks", "create", "--url", f"http://127.0.0.1:{port}/x", "--type", "order.created", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["state"] == "enabled"
    second = up.run("up")
    assert second.returncode == 1
    assert "Another `hookline up`" in second.stderr
    assert "Traceback" not in second.stderr

    assert up.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in up.known)
    assert not (up.state / "environment.json").exists()

    up.start("--dispatchers", "2", "--ingest-port", str(port))
    until(lambda: up.running, 120, "the stack ready again")
    assert up.shared == shared
    listed = up.run("webhooks", "list", "--json")
    assert [row["id"] for row in json.loads(listed.stdout)] == [json.loads(made.stdout)["id"]]


def test_a_killed_up_leaves_nothing_behind(up: Up, until: Until) -> None:
    """After `kill -9` of the supervisor its processes stop by themselves, and the next start waits for that and works."""
    up.start()
    until(lambda: up.running, 120, "the stack ready")
    up.children()
    up.stop(signal.SIGKILL)
    up.start()
    until(lambda: not any(psutil.pid_exists(pid) for pid in up.known), 120, "the orphans gone")
    until(lambda: up.running, 120, "the next stack ready")
    assert "waiting for what is left of a killed `hookline up`" in up.said


@pytest.mark.parametrize("file", ["keys", "version", "meta"])
def test_a_damaged_state_folder_is_named_with_the_way_out(up: Up, file: str) -> None:
    """Damaged keys, another Kafka's data, half-deleted data: one clear error with `--fresh`, nothing started."""
    data = up.state / "kafka" / "data"
    data.mkdir(parents=True)
    (up.state / "keys.json").write_text(json.dumps({"secret_keys": "k:" + "A" * 43 + "=", "api_key_pepper": "p" * 40, "query_token": "t"}))
    (up.state / "kafka" / "version").write_text(VERSION)
    (data / "meta.properties").write_text("version=1\n")
    said = {"keys": "keys.json cannot be read", "version": "was written by Kafka 3.9.0", "meta": "meta.properties is missing"}
    if file == "keys":
        (up.state / "keys.json").write_text("{")
    elif file == "version":
        (up.state / "kafka" / "version").write_text("3.9.0")
    else:
        (data / "meta.properties").unlink()
    found = up.run("up")
    assert found.returncode == 1
    told = " ".join(found.stderr.split())
    assert said[file] in told
    assert "hookline up --fresh" in told
    assert "Traceback" not in told


def test_a_wanted_port_in_use_is_named(up: Up) -> None:
    """The port that was asked for is taken: an error that names it, before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = up.run("up", "--ingest-port", str(port))
    assert found.returncode == 1
    assert f"Port {port} for ingest is in use" in " ".join(found.stderr.split())
    assert not (up.state / "kafka").exists()


def test_fresh_begins_anew(up: Up, until: Until) -> None:
    """A damaged folder that nothing else helps is usable again with `--fresh`."""
    (up.state / "kafka" / "data").mkdir(parents=True)
    (up.state / "keys.json").write_text("{")
    up.start("--fresh")
    until(lambda: up.running, 120, "the stack ready")
    assert up.run("webhooks", "list").returncode == 0
