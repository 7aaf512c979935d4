"""A run that a signal ends leaves no process and no folder behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import ending
from benchmarks.build import ROOT
from benchmarks.repeats import Case, interleave

pytestmark = [pytest.mark.process, pytest.mark.kafka, pytest.mark.timeout(180)]


def _java(run: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in run.children(recursive=True):
        try:
            if "kafka.Kafka" in child.cmdline():
                found.append(child)
        except psutil.Error:  # ended just now
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_with_all_that_it_started(number: signal.Signals, tmp_path: Path) -> None:
    """The broker is in a session of its own: nobody but the run itself stops it."""
    command = [sys.executable, "-m", "benchmarks", "--only", "wrk", "--scale", "0.1", "--json", str(tmp_path / "result.json")]
    folders = tmp_path / "folders"
    folders.mkdir()
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TMPDIR": str(folders)}, stderr=subprocess.PIPE, text=True) as run:
        watched, brokers, began = psutil.Process(run.pid), list[psutil.Process](), time.monotonic()
        while not brokers and time.monotonic() - began < 60:
            time.sleep(0.1)
            brokers = _java(watched)
        started = watched.children(recursive=True)
        try:
            run.send_signal(number)
            _, said = run.communicate(timeout=90)
            assert brokers
            assert run.returncode == 128 + number
            assert f"ended by {number.name}" in said
            assert psutil.wait_procs(started, 5)[1] == []
            assert list(folders.glob("hookline-bench-*")) == []
        finally:
            for left in started:
                if left.is_running():
                    left.kill()


def test_a_signal_is_no_case_that_failed() -> None:
    """It ends the run where a case that gives up is told, and the next one begins; afterwards signals do what they did before."""
    handler = signal.getsignal(signal.SIGTERM)
    ran: list[str] = []

    def hit(_: object) -> dict[str, object]:
        ran.append("case")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        return {}

    with pytest.raises(SystemExit) as ended, ending.whole():
        interleave([Case("one", hit), Case("two", hit)], 2, lambda _: None)
    assert (ended.value.code, ran) == (128 + signal.SIGTERM, ["case"])
    assert signal.getsignal(signal.SIGTERM) is handler


def test_what_is_ignored_stays_ignored() -> None:
    """Under `nohup` a closed terminal ends nothing."""
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending.whole():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGHUP, former)
