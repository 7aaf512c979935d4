"""The event loop's pulse: how late it runs, what is to be done regularly, and whether it stands still."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from hookline.dispatcher import metrics
from hookline.dispatcher.faults import Faults

_TICK_S: Final = 0.1
_MEASURE_S: Final = 1.0
_ARM_S: Final = 5.0
_STILL_S: Final = 20.0
_OVER_S: Final = 30.0


class Pulse:
    """Calls the `ticks` ten times and `measure` once a second, from `start` until `stop`.

    When the loop stands still for 20 s the stacks of all threads go to standard error, and `/healthz` fails. After 30 s a thread ends
    the process with status 1: nobody but its supervisor can do anything for it any more.
    """

    def __init__(self, faults: Faults, ticks: Sequence[Callable[[], None]], measure: Callable[[], None]) -> None:
        self._faults = faults
        self._ticks = ticks
        self._measure = measure
        self._task: asyncio.Task[None] | None = None
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="pulse", daemon=True)
        self._at = time.monotonic()

    def start(self) -> None:
        """Begin, on the running loop."""
        self._at = time.monotonic()
        self._watcher.start()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        faulthandler.cancel_dump_traceback_later()
        if self._task is not None:
            self._task.cancel()

    def complaint(self) -> str:
        """Return that the loop stands still, or an empty text: a probe for `/healthz`."""
        still_s = time.monotonic() - self._at
        return f"the event loop has stood still for {still_s:.0f} s" if still_s > _STILL_S else ""

    async def _run(self) -> None:
        measured = armed = -_ARM_S
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK_S)
            now = self._at = time.monotonic()
            metrics.LOOP_STALL_S.observe(max(0.0, now - before - _TICK_S))
            for tick in self._ticks:
                self._guarded(tick)
            if now - measured >= _MEASURE_S:
                measured = now
                self._guarded(self._measure)
            if now - armed >= _ARM_S:
                armed = now
                with suppress(RuntimeError):  # its thread finds no memory: the next time
                    faulthandler.dump_traceback_later(_STILL_S)

    def _watch(self) -> None:
        while not self._stopping.wait(_MEASURE_S):
            if time.monotonic() - self._at > _OVER_S:
                os.write(2, b"error: the event loop has stood still for 30 s\n")
                os._exit(1)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # the pulse must go on
            self._faults.caught("pulse", error)
