"""A dispatcher's loop that stands still for good ends its process, so that another one begins."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

STANDS = """
import asyncio, threading, time
from hookline.dispatcher import pulse as module
from hookline.dispatcher.faults import Faults
module._ARM_S, module._OVER_S = 0.1, {over_s}
async def main():
    pulse = module.Pulse(Faults(), (), lambda: None)
    pulse.start()
    await asyncio.sleep(0.5)
    {work}
    pulse.stop()
    print("left", flush=True)
asyncio.run(main())
"""


def ran(over_s: float, work: str) -> subprocess.CompletedProcess[str]:
    """Run a loop that does some work amid its pulse."""
    program = STANDS.format(over_s=over_s, work=work)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_a_loop_that_waits_for_ever_ends_its_process() -> None:
    """With the stacks of its threads, so that somebody can tell where it stood."""
    found = ran(0.5, "threading.Event().wait()")
    assert (found.returncode, found.stdout) == (1, "")
    assert "Timeout (0:00:00.5" in found.stderr
    assert "in wait" in found.stderr


def test_a_loop_that_is_only_late_goes_on() -> None:
    """And once the pulse is stopped, nobody looks any more."""
    found = ran(5.0, "time.sleep(0.5)")
    assert (found.returncode, found.stdout) == (0, "left\n"), found.stderr
