"""How hard to try: a short run in `make test`, a long one in `make fuzz`."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hypothesis import settings

FACTOR: Final = float(os.environ.get("HOOKLINE_FUZZ", "1"))
"""By how much more than in `make test`."""


def tries(count: int) -> settings:
    """Return the settings of a target that is tried `count` times in `make test`."""
    return settings(max_examples=max(1, round(count * FACTOR)))


@contextmanager
def cpu_within(most_s: float) -> Iterator[None]:
    """Fail when the block takes more of this thread's processor time; other processes and the collecting of garbage do not count."""
    gc.disable()
    began = time.thread_time()
    try:
        yield
    finally:
        spent = time.thread_time() - began
        gc.enable()
    assert spent <= most_s, f"it took {spent:.3f} s of processor time, allowed are {most_s:g}"
