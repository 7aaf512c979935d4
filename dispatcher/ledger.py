"""What must be durable before a record counts as settled: produced, acknowledged by Kafka, then told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from hookline.dispatcher import metrics
from hookline.kernel.kafka import Headers
from hookline.kernel.log import logger

_log = logger("ledger")
_POLL_S: Final = 0.002
_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Entry:
    """One record to produce."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


class Ledger:
    """Writes entries and calls back when Kafka has acknowledged them all; lives on the event loop's thread.

    An entry that Kafka refuses is produced again, for as long as it takes: the offset it stands for stays where it
    is, so nothing is lost, and `complaint` says so. Nothing is ever dropped.
    """

    def __init__(self, producer: Producer, loop: asyncio.AbstractEventLoop) -> None:
        self._producer = producer
        self._loop = loop
        self._again: deque[tuple[Entry, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._refused = ""
        self._fatal = ""

    def start(self) -> None:
        """Begin to serve acknowledgements."""
        self._timer = self._loop.call_later(_POLL_S, self._serve)

    def stop(self, timeout_s: float = 30.0) -> int:
        """Wait for what is unacknowledged; return how many are left (0 when all is well)."""
        if self._timer is not None:
            self._timer.cancel()
        return int(self._producer.flush(timeout_s)) + len(self._again)

    def write(self, entries: list[Entry], durable: Callable[[], None]) -> None:
        """Produce the entries; call `durable` on the loop's thread once every in-sync replica has all of them."""
        left = len(entries)

        def one() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                durable()

        for entry in entries:
            self._produce(entry, one)

    def complaint(self) -> str:
        """Return what is wrong, or an empty text: a probe for `/readyz`."""
        return f"Kafka refuses settling records: {self._refused}" if self._again or self._fatal else ""

    def fatal(self) -> str:
        """Return why the producer can never work again, or an empty text: a probe for `/healthz`."""
        return self._fatal

    def _produce(self, entry: Entry, done: Callable[[], None]) -> None:
        def acknowledged(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                done()
            else:
                self._later(entry, done, error)

        try:
            self._producer.produce(entry.topic, key=entry.key, value=entry.value, headers=dict(entry.headers), on_delivery=acknowledged)
        except BufferError:
            self._again.append((entry, done))
        except KafkaException as error:
            self._later(entry, done, error.args[0])

    def _later(self, entry: Entry, done: Callable[[], None], error: KafkaError) -> None:
        self._refused = f"{entry.topic}: {error.str()}"
        if error.fatal():
            self._fatal = self._refused
        _log.error("ledger.refused", topic=entry.topic, error=error.str())
        metrics.PRODUCE_RETRIES.inc()
        self._loop.call_later(_AGAIN_S, self._again.append, (entry, done))

    def _serve(self) -> None:
        self._producer.poll(0)
        for _ in range(len(self._again)):
            self._produce(*self._again.popleft())
        self._timer = self._loop.call_later(_POLL_S, self._serve)
