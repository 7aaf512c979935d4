"""The most memory that a process has held since a moment: what it holds later says nothing of what it had given back by then."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_FORGET: Final = "5"
"""Written to `clear_refs`, it sets the peak to what is held now (proc(5))."""


def watch(pids: Iterable[int]) -> dict[int, float]:
    """Begin anew with the peaks of processes; return what each holds now, in megabytes; raise `OSError` where one does not run."""
    found: dict[int, float] = {}
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text(_FORGET)
        found[pid] = peak_mb(pid)
    return found


def peak_mb(pid: int) -> float:
    """Return the most megabytes that a process has held since `watch`; raise `OSError` where it does not run."""
    return _status_mb(pid, "VmHWM")


def now_mb(pid: int) -> float:
    """Return the megabytes that a process holds; raise `OSError` where it does not run."""
    return _status_mb(pid, "VmRSS")


def _status_mb(pid: int, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"the system does not say how much process {pid} holds")
    return int(found[1]) / 1e3


def grown(before: Mapping[int, float], pids: Iterable[int], most_mb: float) -> list[str]:
    """Return which of these processes grew by more than that since `watch`; one that is new since then is not looked at."""
    peaks = {pid: peak_mb(pid) - before[pid] for pid in pids if pid in before}
    return [f"process {pid} held {mb:.0f} MB more than before" for pid, mb in peaks.items() if mb > most_mb]
