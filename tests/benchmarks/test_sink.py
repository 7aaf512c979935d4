"""When the clock of the sink's case may begin and end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import sink
from benchmarks.stack import Process
from tests.calm import calmly

pytestmark = pytest.mark.process

BUSY = "import time; end = time.process_time() + {}; print(flush=True)\nwhile time.process_time() < end: pass\ntime.sleep(60)"


@contextmanager
def working(tmp_path: Path, cpu_s: float) -> Iterator[Process]:
    """Yield a process that works for some CPU seconds, and then sleeps."""
    popen = subprocess.Popen([sys.executable, "-c", BUSY.format(cpu_s)], stdout=subprocess.PIPE)
    try:
        assert popen.stdout is not None
        popen.stdout.readline()
        yield Process("sleeper", popen, tmp_path)
    finally:
        popen.kill()
        popen.communicate()


def test_the_cpu_is_read_when_the_work_is_done(tmp_path: Path) -> None:
    """What a process still does after its last row, such as a merge, is counted; what it idles afterwards hardly."""

    def attempt() -> None:
        with working(tmp_path, 1.0) as process:
            assert 0.95 <= sink.rested(process) <= 1.3

    calmly(attempt)


def test_one_that_does_not_come_to_rest_ends_the_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is bounded, and says what it waited for."""
    monkeypatch.setattr(sink, "_LONGEST_S", 0.5)
    with working(tmp_path, 60) as process, pytest.raises(SystemExit, match=r"sleeper did not come to rest within 0\.5 s"):
        sink.rested(process)


def test_a_halted_process_does_nothing(tmp_path: Path) -> None:
    """And goes on afterwards."""
    with working(tmp_path, 60) as process:
        with sink.halted(process):
            time.sleep(0.05)
            before = process.cpu_s
            time.sleep(0.3)
            assert process.cpu_s == before
        deadline = time.monotonic() + 20
        while process.cpu_s == before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.cpu_s > before
