"""What a browser is called, from the header that it sends: enough for somebody to know their own ones again."""

from __future__ import annotations

from typing import Final

_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
"""The first whose mark is there: most of them also name those that they want to be taken for."""
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_SHOWN: Final = 60


def browser_name(agent: str) -> str:
    """Return `Firefox on Linux`; of a header of another kind its beginning, of none `unknown browser`."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    if not browser:
        return agent[:_SHOWN] or "unknown browser"
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return f"{browser} on {system}" if system else browser
