"""How many exports may be under way, so that they leave room for everybody else's questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hookline.console.http.problems import Code, Refused

MOST: Final = 2
_COME_BACK_S: Final = 30


class ExportSlots:
    """Counts the exports under way; used on the event loop only."""

    def __init__(self) -> None:
        self._busy = 0

    def check(self) -> None:
        """Raise `Refused` (503) when there are as many as may be."""
        if self._busy >= MOST:
            raise Refused(Code.OVERLOADED, f"{MOST} exports are under way already", headers={"Retry-After": str(_COME_BACK_S)})

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take a place for as long as the block lasts."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
