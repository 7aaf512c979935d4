"""A process's life: start, run until told to stop, stop cleanly; the second signal ends it at once."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from hookline.kernel.log import logger
from hookline.kernel.lost import on_loss

_log = logger("lifecycle")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
EXIT_FORCED: Final = 130
EXIT_LOST: Final = 75
"""Of a process that lost a Kafka client for good, or a thread: whoever looks after it starts it again."""
_DRAIN_S: Final = 60.0
_ECHO_S: Final = 0.5
"""`timeout`, a terminal and wrappers of commands signal a process and its group: one wish that comes twice."""
_MOST_FILES: Final = 1_048_576
# What is under way is live: at 10,000 a collection came every few batches, and looked at all of them, for a fifth of ingest's time.
_YOUNG: Final = 100_000


class Stop:
    """The wish to stop, seen by threads and coroutines alike; thread-safe, set once, never cleared."""

    def __init__(self) -> None:
        self._flag = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []

    def set(self) -> None:
        """Ask for the stop and call what was registered; later calls do nothing."""
        with self._lock:
            self._flag.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        """Tell whether a stop was asked for."""
        return self._flag.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the stop or the timeout (None: for ever); return whether it was asked for."""
        return self._flag.wait(timeout_s)

    def on_set(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the stop is asked for, at once if it was already, and once; it must not block."""
        with self._lock:
            if not self._flag.is_set():
                self._callbacks.append(callback)
                return
        callback()

    async def waited(self) -> None:
        """Return when the stop is asked for, without blocking the loop."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # who waited has gone, and the loop with him
                loop.call_soon_threadsafe(done.set)

        self.on_set(wake)
        await done.wait()


def on_signals(stop: Stop) -> None:
    """Make SIGTERM and SIGINT set `stop`; a second one, half a second later or more, exits the process at once with status 130.

    A signal's handler runs between any two steps of the main thread, which may hold the log's lock or the stop's: it
    only writes a byte, and a thread of its own does the rest.
    """
    reading, writing = os.pipe()
    received: list[tuple[int, float]] = []

    def handle(number: int, _frame: object) -> None:
        if received and time.monotonic() - received[0][1] < _ECHO_S:
            return
        if received:
            os._exit(EXIT_FORCED)
        received.append((number, time.monotonic()))
        os.write(writing, b"!")

    def listen() -> None:
        os.read(reading, 1)
        _log.info("process.stopping", signal=signal.Signals(received[0][0]).name)
        stop.set()

    threading.Thread(target=listen, name="signals", daemon=True).start()
    for number in _SIGNALS:
        signal.signal(number, handle)


def run_async(main: Callable[[Stop], Awaitable[None]]) -> None:
    """Run `main(stop)` on a uvloop event loop where uvloop is installed, with the signals wired to `stop`."""
    stop = Stop()
    leave = _on_loss(stop)

    async def wired() -> None:
        on_signals(stop)
        await main(stop)

    try:
        import uvloop  # noqa: PLC0415  # optional: not built for every platform
    except ImportError:
        asyncio.run(wired())
    else:
        uvloop.run(wired())
    leave()


def run_sync(main: Callable[[Stop], None]) -> None:
    """Run `main(stop)` in this thread with the signals wired to `stop`."""
    stop = Stop()
    leave = _on_loss(stop)
    on_signals(stop)
    main(stop)
    leave()


def _on_loss(stop: Stop) -> Callable[[], None]:
    """Have the process stop, cleanly as far as it can, when a Kafka client or a thread is lost; what is returned exits with `EXIT_LOST`.

    A thread that died would be missed for good: every one of a process is there for as long as it runs, or ends by itself.
    """
    lost = threading.Event()

    def lose(what: str = "a Kafka client is lost") -> None:
        if not lost.is_set():
            lost.set()
            _log.error("process.ends", error=f"{what}; start the process again", status=EXIT_LOST)
            stop.set()
            timer = threading.Timer(_DRAIN_S, os._exit, (EXIT_LOST,))
            timer.daemon = True
            with suppress(RuntimeError):  # no thread can be started: then it drains for as long as it takes
                timer.start()

    def died(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is SystemExit or args.exc_value is None:
            return
        name = args.thread.name if args.thread is not None else "of no name"
        stopping = stop.is_set()
        try:
            _log.error("thread.died", thread=name, exc_info=args.exc_value)
            if not stopping:
                lose(f"the thread {name} died")
        finally:
            if not stop.is_set():  # no memory even to say so
                os._exit(EXIT_LOST)

    def leave() -> None:
        if lost.is_set():
            raise SystemExit(EXIT_LOST)

    on_loss(lose)
    threading.excepthook = died
    return leave


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one, as far as 2**20, and return it: every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def spare_collections() -> None:
    """Keep what was made so far out of garbage collections, and collect rarely: for processes whose work leaves no cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 100)
