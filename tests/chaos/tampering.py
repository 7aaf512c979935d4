"""What a fault needs inside a process of Hookline: a wall clock that can be set, names whose addresses can be turned.

Loaded by every process of a run before anything else (`crash/sitecustomize.py`), in force from the first reading on. The
monotonic clock stays as it is, as it does when the clock of a machine is set. Kafka's client has the machine's clock.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import socket
import struct
import time
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from hookline.kernel.clock import SystemClock

FOLDER: Final = "CHAOS_FOLDER"
"""The environment variable that names the folder of these files."""
DOMAIN: Final = ".chaos.test"
"""Names below it are looked up in `names.json`."""
_OFFSET: Final = struct.Struct("d")


# ---- the world's side ----


def set_clock(folder: Path, pid: int, ahead_s: float) -> None:
    """Set a process's wall clock that far ahead of the machine's; raise `OSError` where it does not run."""
    with _clock_file(folder, pid).open("r+b", buffering=0) as file:
        file.write(_OFFSET.pack(ahead_s))


def has_clock(folder: Path, pid: int) -> bool:
    """Tell whether a process has begun to ask for the time here."""
    return _clock_file(folder, pid).exists()


def set_names(folder: Path, answers: dict[str, list[list[str]]]) -> None:
    """Give names their answers: each look-up of a process takes the next one, and begins anew behind the last."""
    made = folder / "names.new"
    made.write_text(json.dumps(answers))
    made.replace(_names_file(folder))


def _clock_file(folder: Path, pid: int) -> Path:
    return folder / f"clock.{pid}"


def _names_file(folder: Path) -> Path:
    return folder / "names.json"


# ---- the process's side ----


def install(folder: Path) -> None:
    """Have this process ask the folder's files for the time and for names."""
    _install_clock(_clock_file(folder, os.getpid()))
    _install_names(_names_file(folder))


def _install_clock(path: Path) -> None:
    made = path.with_name(f"{path.name}.new")
    made.write_bytes(_OFFSET.pack(0.0))
    made.replace(path)
    with path.open("r+b") as file:
        held = mmap.mmap(file.fileno(), _OFFSET.size)
    real, real_ns, real_now = time.time, time.time_ns, SystemClock.now

    def ahead_s() -> float:
        return float(_OFFSET.unpack_from(held)[0])

    def now(self: SystemClock) -> datetime:
        return real_now(self) + timedelta(seconds=ahead_s())

    time.time = lambda: real() + ahead_s()
    time.time_ns = lambda: real_ns() + int(ahead_s() * 1e9)
    SystemClock.now = now  # type: ignore[method-assign]  # that is what this file is for


def _install_names(path: Path) -> None:
    real = socket.getaddrinfo
    turns: dict[str, itertools.count[int]] = defaultdict(itertools.count)

    def look_up(host: Any, port: Any, *more: Any, **named: Any) -> list[Any]:  # as the system's
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.endswith(DOMAIN):
            return real(host, port, *more, **named)
        answers = json.loads(path.read_text())[name]
        addresses = answers[next(turns[name]) % len(answers)]
        return [found for address in addresses for found in real(address, port, type=socket.SOCK_STREAM)]

    socket.getaddrinfo = look_up
