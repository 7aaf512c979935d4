"""Errors that should not happen: what they strike stays unsettled, and they are loud."""

from __future__ import annotations

import asyncio
from typing import Any

from hookline.dispatcher import metrics
from hookline.kernel.log import logger

_log = logger("faults")


class Faults:
    """Counts, logs and shows in `/readyz` every error that our own code did not foresee. Thread-safe.

    The delivery that such an error strikes is neither dropped nor settled: its offset stays, so that it is made again by
    the next owner of the partition.
    """

    def __init__(self) -> None:
        self._count = 0
        self._last = ""

    def caught(self, where: str, error: BaseException) -> None:
        """Note an error where it was caught."""
        self._count += 1
        self._last = f"{where}: {type(error).__name__}"
        metrics.FAULTS.labels(where).inc()
        _log.error("dispatcher.fault", where=where, exc_info=error)

    def from_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Note what reached the event loop; give it to `loop.set_exception_handler`."""
        error = context.get("exception") or RuntimeError(str(context.get("message")))
        self.caught("loop", error)

    def complaint(self) -> str:
        """Return what is wrong, or an empty text: a probe for `/readyz`."""
        if not self._count:
            return ""
        return f"{self._count} internal errors, the last in {self._last}: what they struck is delivered after a restart; see the log"
