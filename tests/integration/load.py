"""Events that go on being published while a test does its worst."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, Self

from hookline.kernel.errors import BrokerError
from hookline.schemas.events import Event


class Load:
    """Publishes `per_s` events a second from a thread, within the block; `events` are those that Kafka has confirmed."""

    def __init__(self, pipeline: Any, per_s: int = 200) -> None:
        self._pipeline = pipeline
        self._batch = max(1, per_s // 10)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.events: list[Event] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)

    def run_for(self, seconds: float) -> None:
        """Let it go on for a while."""
        time.sleep(seconds)

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            with suppress(BrokerError):  # not confirmed: it may or may not be on Kafka, and is nobody's promise
                self.events += self._pipeline.publish(count=self._batch)
