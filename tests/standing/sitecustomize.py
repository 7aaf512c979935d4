"""Loaded by a process whose PYTHONPATH begins with this folder: at SIGUSR2 it applies no more records of webhooks, until the next one.

What was applied stays readable and Kafka answers, as when the client that follows is slow or lost.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

if "hookline.cli.main" in sys.orig_argv:
    from confluent_kafka import Message

    from hookline.kernel.compacted import CompactedTopic

    _goes = threading.Event()
    _goes.set()
    _take = CompactedTopic._take

    def _taken(self: CompactedTopic, message: Message) -> None:
        if self._topic.endswith(".webhooks"):
            _goes.wait()
        _take(self, message)

    def _turn(_number: int, _frame: object) -> None:
        if _goes.is_set():
            _goes.clear()
            os.write(2, b"webhooks stand still\n")  # not by the log: a handler may come in the middle of its write
        else:
            _goes.set()

    CompactedTopic._take = _taken  # type: ignore[method-assign]  # that is what this file is for
    signal.signal(signal.SIGUSR2, _turn)
