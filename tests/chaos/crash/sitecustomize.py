"""Loaded by every process of a chaos run: a dispatcher dies by a real SIGSEGV in the decoder when a record holds the deadly mark.

Hookline refuses the schemas with which fastavro is known to crash; this stands for the crash that nobody knows yet.
Clocks and names are the other things that a fault can only have from inside: see `tests/chaos/tampering.py`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

DEADLY = b"deadly-record"

if "hookline.cli.main" in sys.orig_argv and "CHAOS_FOLDER" in os.environ:
    from tests.chaos import tampering

    tampering.install(Path(os.environ[tampering.FOLDER]))

if "dispatch" in sys.orig_argv:
    from hookline.schemas.payload import Rendered
    from hookline.schemas.wire import Codec

    _render = Codec.render

    def _dying(self: Codec, value: bytes) -> Rendered:
        if DEADLY in value:
            os.kill(os.getpid(), signal.SIGSEGV)
        return _render(self, value)

    Codec.render = _dying  # type: ignore[method-assign]  # that is what this file is for
