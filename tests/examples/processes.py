"""What is still running of something that was started in a folder."""

from __future__ import annotations

from pathlib import Path

import psutil


def left_of(folder: Path) -> list[str]:
    """Return the command lines of processes that name the folder, in their command or in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if any(str(folder) in word for word in (*words, *process.environ().values())):
                found.append(" ".join(words))
        except psutil.Error:
            continue
    return found
