"""The last words of a process: the lines of its log that a person wants to see when it died."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

LINES: Final = 3
WIDTH: Final = 240
_TAIL_BYTES: Final = 32_768
_HIDDEN: Final = frozenset({"event", "level", "timestamp", "process", "component", "exception"})
_TELLING: Final = re.compile(r"error|fatal|exception|what to do|refused|in use|denied|traceback", re.IGNORECASE)


def last_words(log: Path | None, lines: int = LINES) -> tuple[str, ...]:
    """Return up to `lines` of the end of a log, those that speak of errors first of all; empty without a log.

    JSON lines are told as `event: key=value`; each is cut at 240 characters.
    """
    if log is None:
        return ()
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            found = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ()
    shown = [text for line in found[-200:] if (text := _plain(line))]
    telling = [line for line in shown if _TELLING.search(line)]
    return tuple(line[:WIDTH] for line in (telling or shown)[-lines:])


def _plain(line: str) -> str:
    line = line.strip()
    if not line.startswith("{"):
        return " ".join(line.split())
    try:
        found: Any = json.loads(line)
    except ValueError:
        return line
    if not isinstance(found, dict) or found.get("level") in {"debug", None}:
        return "" if isinstance(found, dict) and found.get("level") == "debug" else line
    rest = " ".join(f"{name}={value}" for name, value in found.items() if name not in _HIDDEN)
    return f"{found['level']} {found.get('event', '')}: {rest}".rstrip(": ")
