"""What a signal that ends a run does: whatever the run started is stopped first, the broker last."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextmanager
def whole() -> Iterator[None]:
    """Let SIGTERM, SIGHUP and Ctrl-C unwind the block, and end the program with 128 + the signal's number once it has let go of all.

    A signal that is ignored when the block begins, as SIGHUP is under `nohup`, stays ignored. From the first one on all are: `timeout`
    and a terminal signal a process and its group, and what stops the processes must not be stopped itself. Main thread only.
    """
    heard: list[signal.Signals] = []

    def end(number: int, _frame: FrameType | None) -> None:
        heard.append(signal.Signals(number))
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt  # not SystemExit, by which a case says that it has failed, and the others go on

    former = {one: signal.getsignal(one) for one in _SIGNALS}
    for one, handler in former.items():
        if handler is not signal.SIG_IGN:
            signal.signal(one, end)
    try:
        yield
    except KeyboardInterrupt:
        if not heard:
            raise
        print(f"ended by {heard[0].name}: everything is stopped, no result is kept", file=sys.stderr, flush=True)
        raise SystemExit(128 + heard[0]) from None
    finally:
        for one, handler in former.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)  # None: it was not Python's
