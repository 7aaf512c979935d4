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
module._ARM_S, module._MEASURE_S, module._STILL_S, module._OVER_S = 0.1, 0.1, 0.3, {over_s}
faults = Faults()
def no_thread(*_):
    raise RuntimeError("unable to start watchdog thread")
async def main():
    pulse = module.Pulse(faults, (), lambda: None)
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
    found = ran(1.0, "threading.Event().wait()")
    assert (found.returncode, found.stdout) == (1, "")
    assert "Timeout (0:00:00.3" in found.stderr
    assert "in wait" in found.stderr
    assert "error: the event loop has stood still for 30 s" in found.stderr


def test_an_alarm_that_cannot_be_set_stops_no_pulse() -> None:
    """Its thread needs memory: without, the pulse goes on, and nobody complains of it for ever."""
    work = "module.faulthandler.dump_traceback_later = no_thread; await asyncio.sleep(2); print(faults.complaint())"
    found = ran(1.0, work)
    assert (found.returncode, found.stdout) == (0, "\nleft\n"), found.stderr


def test_a_loop_that_is_only_late_goes_on() -> None:
    """And once the pulse is stopped, nobody looks any more."""
    found = ran(5.0, "time.sleep(0.5)")
    assert (found.returncode, found.stdout) == (0, "left\n"), found.stderr
