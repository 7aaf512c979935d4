"""Loaded by every process of a chaos run: a dispatcher dies by a real SIGSEGV in the decoder when a record holds the deadly mark.

Hookline refuses the schemas with which fastavro is known to crash; this stands for the crash that nobody knows yet.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

DEADLY = b"deadly-record"

if "dispatch" in sys.orig_argv:
    import fastavro

    _reader: Any = fastavro.schemaless_reader

    def _dying(body: Any, *given: Any, **named: Any) -> Any:
        if DEADLY in body.getvalue():
            os.kill(os.getpid(), signal.SIGSEGV)
        return _reader(body, *given, **named)

    fastavro.schemaless_reader = _dying  # type: ignore[assignment]  # any arguments, as they come
