"""`hookline dispatch --workers N`: several dispatchers as one command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics, TopicsConfig, create, specs

pytestmark = pytest.mark.process

Until = Callable[..., None]
COMMAND = (sys.executable, "-m", "hookline.cli.main", "dispatch", "--workers", "2")


@pytest.fixture
def environ(kafka_environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Return the environment of dispatchers with topics of their own."""
    found = {
        **os.environ,
        **kafka_environ,
        "HOOKLINE_STATE_DIR": str(tmp_path),
        "HOOKLINE_TOPIC_PREFIX": f"w{os.urandom(4).hex()}",
        "HOOKLINE_RETRY_TIERS": "1s",
        "HOOKLINE_PARK_TIERS": "1s",
        "HOOKLINE_RETRY_SCHEDULE": "1s",
    }
    config = load(KafkaConfig, found)
    create(config, specs(Topics(config.topic_prefix), load(TopicsConfig, found)), 1)
    return found


def workers(pid: int) -> set[int]:
    """Return the process ids of the workers that run."""
    found = set()
    for child in psutil.Process(pid).children():
        try:
            if "dispatch" in child.cmdline():
                found.add(child.pid)
        except psutil.Error:
            continue
    return found


def test_workers_are_replaced_and_drained_together(environ: dict[str, str], tmp_path: Path, until: Until) -> None:
    """Two workers run; a killed one is replaced; SIGTERM to the command drains both and ends with status 0."""
    log = tmp_path / "log"
    with log.open("wb") as file, subprocess.Popen(COMMAND, env=environ, stdout=file, stderr=file) as command:
        try:
            until(lambda: log.read_text().count("dispatcher.started") == 2, what="two workers at work")
            first = workers(command.pid)
            assert len(first) == 2
            os.kill(min(first), signal.SIGKILL)
            until(lambda: log.read_text().count("dispatcher.started") == 3, what="a third worker in place of the killed one")
            last = workers(command.pid)
            assert len(last) == 2
            assert min(first) not in last
        finally:
            command.send_signal(signal.SIGTERM)
            assert command.wait(90) == 0
    assert log.read_text().count("dispatcher.stopped") == 2
    assert '"event": "worker.died"' in log.read_text()
    assert not any(psutil.pid_exists(pid) for pid in first | last)


def test_a_wrong_setting_is_told_before_any_worker_starts(environ: dict[str, str]) -> None:
    """The command ends with the variable's name and no stack trace, instead of restarting workers for ever."""
    found = subprocess.run(COMMAND, env={**environ, "HOOKLINE_SECRET_KEYS": ""}, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "HOOKLINE_SECRET_KEYS is not set" in found.stderr
    assert "Traceback" not in found.stderr
    assert "worker.started" not in found.stderr
