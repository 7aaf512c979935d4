"""Loaded by a process whose PYTHONPATH begins with this folder: at SIGUSR1 all its Kafka clients that can be replaced are lost.

Those that are lost in earnest are noticed within a second or two, not half a minute.
"""

from __future__ import annotations

import signal
import sys

if "hookline.cli.main" in sys.orig_argv:
    from hookline.kernel import lost
    from hookline.kernel.lost import Loss

    lost._EVERY_MS = 500  # type: ignore[misc]  # a constant but for here

    _made: list[Loss] = []
    _settings = Loss.settings

    def _noted(self: Loss) -> dict[str, object]:
        _made.append(self)
        return _settings(self)

    def _lose(_number: int, _frame: object) -> None:
        for loss in _made.copy():
            loss._note()

    Loss.settings = _noted  # type: ignore[method-assign]  # that is what this file is for
    signal.signal(signal.SIGUSR1, _lose)
