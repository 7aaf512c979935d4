"""Processes stop when told, and at once when told twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from hookline.kernel.lifecycle import EXIT_FORCED, EXIT_LOST, Stop

pytestmark = pytest.mark.unit

SLOW = """
import time
from hookline.kernel.lifecycle import run_sync
from hookline.kernel.log import configure
configure()
def main(stop):
    print("up", flush=True)
    stop.wait()
    print("draining", flush=True)
    time.sleep({drain})
    print("clean", flush=True)
run_sync(main)
"""


def started(drain: float, before: str = "") -> subprocess.Popen[str]:
    """Start a process that drains for so long, with some lines before its own, and wait until it is up."""
    process = subprocess.Popen(
        [sys.executable, "-c", before + SLOW.format(drain=drain)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_drains(number: signal.Signals) -> None:
    """The main function sees the stop, finishes, and the process leaves with 0."""
    process = started(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("draining\nclean\n", 0)


LOSES = """
import asyncio
from hookline.kernel import lost
from hookline.kernel.lifecycle import run_async, run_sync
def lose():
    hear = lost.watched()["stats_cb"]
    for _ in range(2):
        hear('{"brokers":{}}')
def main(stop):
    lose()
    stop.wait()
    print("clean", flush=True)
async def coroutine(stop):
    lose()
    await stop.waited()
    print("clean", flush=True)
"""


@pytest.mark.parametrize("run", ["run_sync(main)", "run_async(coroutine)"])
def test_a_lost_client_ends_the_process(run: str) -> None:
    """It stops as if it had been told to, and says by its status that it wants to be started again."""
    process = subprocess.run([sys.executable, "-c", LOSES + run], capture_output=True, text=True, timeout=60, check=False)
    assert (process.stdout.splitlines()[-1], process.returncode) == ("clean", EXIT_LOST), process.stderr


TOLD_TOO = """
import os, signal, time
def main(stop):
    lose()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.3)
    print("clean", flush=True)
"""


def test_the_first_signal_of_a_process_that_ends_by_itself_is_no_second_one() -> None:
    """A supervisor that stops it meanwhile does not cut its drain short."""
    program = LOSES.partition("def main")[0] + TOLD_TOO + "run_sync(main)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (process.stdout.splitlines()[-1], process.returncode) == ("clean", EXIT_LOST), process.stderr


HANGS = """
import time
from hookline.kernel import lifecycle
lifecycle._DRAIN_S = 0.5
def main(stop):
    lose()
    stop.wait()
    time.sleep(50)
"""


def test_a_lost_client_whose_process_cannot_end_is_ended() -> None:
    """A drain that waits for what never comes is cut short, with the status that asks for a new start."""
    program = LOSES.partition("def main")[0] + HANGS + "run_sync(main)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert process.returncode == EXIT_LOST, process.stderr


DIES = """
import threading, time
from hookline.kernel.lifecycle import run_async, run_sync
def die():
    raise MemoryError("no more")
def main(stop):
    threading.Thread(target=die, name="soundings").start()
    stop.wait(30)
    print("clean", flush=True)
async def coroutine(stop):
    threading.Thread(target=die, name="soundings").start()
    await stop.waited()
    print("clean", flush=True)
"""


@pytest.mark.parametrize("run", ["run_sync(main)", "run_async(coroutine)"])
def test_a_thread_that_dies_ends_the_process(run: str) -> None:
    """It would be missed for good: the process stops cleanly, and asks for a new start."""
    process = subprocess.run([sys.executable, "-c", DIES + run], capture_output=True, text=True, timeout=60, check=False)
    assert (process.stdout.splitlines()[-1], process.returncode) == ("clean", EXIT_LOST), process.stderr
    assert "the thread soundings died; start the process again" in process.stdout + process.stderr
    assert "MemoryError" in process.stdout + process.stderr


MUTE = """
import time
from hookline.kernel import lifecycle
class Mute:
    def error(self, *_, **__):
        raise MemoryError
lifecycle._log = Mute()
"""


def test_a_thread_that_dies_ends_a_process_that_cannot_even_say_so() -> None:
    """Without the memory for a line of log or a drain it ends at once, with the status that asks for a new start."""
    process = subprocess.run(
        [sys.executable, "-c", MUTE + DIES + "run_sync(main)"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (process.stdout, process.returncode) == ("", EXIT_LOST), process.stderr


def test_a_thread_that_dies_while_the_process_stops_changes_nothing() -> None:
    """A clean end stays one; so does a thread that ends by SystemExit."""
    quiet = (
        DIES
        + """
def leave():
    raise SystemExit(3)
def stopping(stop):
    thread = threading.Thread(target=leave)
    thread.start(); thread.join()
    assert not stop.is_set()
    stop.set()
    thread = threading.Thread(target=die)
    thread.start(); thread.join()
run_sync(stopping)
"""
    )
    process = subprocess.run([sys.executable, "-c", quiet], capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 0, process.stderr


def test_the_second_signal_ends_it() -> None:
    """A drain that hangs is cut short by a second signal."""
    process = started(60)
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "draining\n"
    time.sleep(0.6)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == EXIT_FORCED


LONG_ECHO = """
from hookline.kernel import lifecycle
lifecycle._ECHO_S = 30
"""


def test_an_echo_of_the_signal_is_no_second_one() -> None:
    """`timeout` signals its child, then its child's group: the drain still comes to its end."""
    process = started(1.0, LONG_ECHO)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "draining\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("clean\n", 0)


async def test_a_coroutine_is_woken_by_a_stop_from_a_thread() -> None:
    """`waited` returns soon after another thread sets the stop, also when it was set before."""
    stop = Stop()
    threading.Timer(0.02, stop.set).start()
    await asyncio.wait_for(stop.waited(), 30)
    await asyncio.wait_for(stop.waited(), 30)
    assert stop.is_set()


def test_every_callback_is_called_once() -> None:
    """Whoever asks while the stop is being set is called by one of the two, not by both."""
    for _ in range(200):
        stop, calls = Stop(), list[int]()
        setting = threading.Thread(target=stop.set)
        stop.on_set(partial(calls.append, 0))
        setting.start()
        stop.on_set(partial(calls.append, 1))
        setting.join()
        stop.set()
        assert sorted(calls) == [0, 1]


LOCKED = """
import os, signal, threading, time
from hookline.kernel.lifecycle import Stop, on_signals
from hookline.kernel.log import configure, logger
configure()
log, stop, ended = logger("x"), Stop(), threading.Event()
on_signals(stop)
threading.Timer(30, lambda: os._exit(9)).start()
deadline = time.monotonic() + 0.3
sent = False
while not stop.is_set():
    log.info("busy")
    if not sent and time.monotonic() > deadline:
        sent = True
        os.kill(os.getpid(), signal.SIGTERM)
os._exit(0)
"""


def test_a_signal_while_the_main_thread_logs_is_no_deadlock() -> None:
    """A process that is writing its log when it is told to stop, stops."""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", LOCKED], stderr=subprocess.DEVNULL, timeout=60, check=False)
        assert done.returncode == 0


FILES = """
import resource
from hookline.kernel.lifecycle import raise_file_limit
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
raised = raise_file_limit()
assert raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64, raised
assert raise_file_limit() == raised
"""


def test_the_file_limit_is_raised_as_far_as_it_goes() -> None:
    """A process that holds many connections takes the files that it may have."""
    subprocess.run([sys.executable, "-c", FILES], timeout=60, check=True)


SPARED = """
import gc, weakref
from hookline.kernel.lifecycle import spare_collections
class Node: pass
spare_collections()
assert gc.get_freeze_count() > 1_000
lost = Node()
lost.itself = lost
seen = weakref.ref(lost)
del lost
kept = [[] for _ in range(150_000)]
assert seen() is None
"""


def test_cycles_are_still_found() -> None:
    """Collections come rarely, but they come."""
    subprocess.run([sys.executable, "-c", SPARED], timeout=60, check=True)
