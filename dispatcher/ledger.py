"""What must be durable before a record counts as settled: produced, acknowledged by Kafka, then told."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer

from hookline.dispatcher import metrics
from hookline.dispatcher.faults import Faults
from hookline.kernel import lost
from hookline.kernel.kafka import Headers
from hookline.kernel.log import logger
from hookline.kernel.values import value

_log = logger("ledger")
_POLL_S: Final = 0.005
_AGAIN_S: Final = 0.5
_FLUSH_S: Final = 0.2
_TELL_S: Final = 5.0
_TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
_LARGE: Final = 1_000_000
"""`batch.size`: brokers refuse a batch as a whole, and librdkafka puts no more than this together. What is larger was alone."""


@value()
class Entry:
    """One record to produce; `instead` makes what is written in its place when Kafka finds it too large, which no time mends.

    Where `instead` is None, and for every other refusal, the record itself is produced again.
    """

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    instead: Callable[[], list[Entry]] | None = None


@dataclass(slots=True, eq=False)
class _Write:
    """An entry on its way, and what to do once it is durable; `refused` tells whether Kafka has refused it before.

    The producer calls it with what became of it; a function made for each takes longer.
    """

    entry: Entry
    done: Callable[[], None]
    told: Callable[[_Write, KafkaError | None, Message], None]
    refused: bool = False

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self.told(self, error, message)


@dataclass(slots=True, eq=False)
class _Last:
    """Calls `durable` when the last of several entries is."""

    left: int
    durable: Callable[[], None]

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.durable()


class Ledger:
    """Writes entries and calls back when Kafka has acknowledged them all; lives on the event loop's thread.

    An entry that Kafka refuses is produced again, for as long as it takes: the offset it stands for stays where it
    is, so nothing is lost, and `complaint` says so. One that is too large gives way to what it has instead. Nothing is ever dropped.
    `heard` is told the stamp, in milliseconds, that a broker gave a record. `make` returns a producer with the settings it is given.
    """

    def __init__(
        self, make: Callable[..., Producer], loop: asyncio.AbstractEventLoop, faults: Faults, heard: Callable[[int], None]
    ) -> None:
        self._make = make
        self._producer = make(**lost.watched(self._forsake))
        self._is_lost = self._is_told = False
        self._loop = loop
        self._faults = faults
        self._heard = heard
        self._again: deque[_Write] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._refused: dict[str, str] = {}
        self._waiting = 0
        self._stamp = -1
        self._told_at = -_TELL_S
        self._fatal = ""

    def start(self) -> None:
        """Begin to serve acknowledgements."""
        self._timer = self._loop.call_later(_POLL_S, self._serve)

    def stop(self, timeout_s: float = 30.0) -> int:
        """Wait for what is unacknowledged; return how many are left (0 when all is well).

        Waits in short steps, so that a second signal is heard in between.
        """
        if self._timer is not None:
            self._timer.cancel()
        deadline = time.monotonic() + timeout_s
        while not self._is_lost and self._producer.flush(_FLUSH_S) and time.monotonic() < deadline:
            pass
        return len(self._producer) + self._waiting + sum(not write.refused for write in self._again)

    def write(self, entries: list[Entry], durable: Callable[[], None]) -> None:
        """Produce the entries; call `durable` on the loop's thread once every in-sync replica has all of them."""
        done = durable if len(entries) == 1 else _Last(len(entries), durable)
        for entry in entries:
            self._produce(_Write(entry, done, self._told))

    def complaint(self) -> str:
        """Return what is wrong, or an empty text: a probe for `/readyz`."""
        if not self._waiting and not self._fatal:
            return ""
        why = "; ".join(f"{topic}: {text}" for topic, text in sorted(self._refused.items()))
        return f"Kafka refuses {self._waiting} settling records, their offsets wait: {why or self._fatal}"

    def fatal(self) -> str:
        """Return why the producer can never work again, or an empty text: a probe for `/healthz`."""
        return self._fatal

    def _produce(self, write: _Write) -> bool:
        """Hand one to the producer; return False when its queue is full."""
        entry = write.entry
        try:
            if entry.headers:
                self._producer.produce(entry.topic, key=entry.key, value=entry.value, headers=dict(entry.headers), on_delivery=write)
            else:
                self._producer.produce(entry.topic, key=entry.key, value=entry.value, on_delivery=write)
        except BufferError:
            self._again.append(write)
            return False
        except KafkaException as error:
            self._later(write, error.args[0])
        return True

    def _told(self, write: _Write, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._later(write, error)
            return
        if write.refused:
            self._taken(write)
        kind, timestamp_ms = message.timestamp()
        if timestamp_ms != self._stamp and kind == TIMESTAMP_LOG_APPEND_TIME:
            self._stamp = timestamp_ms  # a batch has one, and the first to hear of it heard it soonest
            self._heard(timestamp_ms)
        try:
            write.done()
        except Exception as fault:  # noqa: BLE001  # raised into the producer's poll, it would end the ledger
            self._faults.caught("ledger", fault)

    def _gives_way(self, write: _Write, error: KafkaError) -> bool:
        """Write what an entry has instead, if that is what helps; loudly, since it is a loss of some kind."""
        entry = write.entry
        if error.code() not in _TOO_LARGE or len(entry.value) < _LARGE or entry.instead is None:
            return False
        try:
            instead = entry.instead()
        except Exception as fault:  # noqa: BLE001  # as in `_told`; the entry stays
            self._faults.caught("ledger", fault)
            return False
        metrics.PRODUCE_RETRIES.inc()
        _log.error("ledger.too_large", topic=entry.topic, bytes=len(entry.value), error=error.str())
        if write.refused:
            self._taken(write)
        self.write(instead, write.done)
        return True

    def _taken(self, write: _Write) -> None:
        """Forget that an entry was refused before."""
        self._waiting -= 1
        self._refused.pop(write.entry.topic, None)

    def _later(self, write: _Write, error: KafkaError) -> None:
        if self._gives_way(write, error):
            return
        if not write.refused:
            write.refused = True
            self._waiting += 1
        self._refused[write.entry.topic] = error.str()
        if error.fatal():
            self._fatal = f"{write.entry.topic}: {error.str()}"
        metrics.PRODUCE_RETRIES.inc()
        if time.monotonic() - self._told_at >= _TELL_S:
            self._told_at = time.monotonic()
            _log.error("ledger.refused", topic=write.entry.topic, error=error.str(), waiting=self._waiting)
        self._loop.call_later(_AGAIN_S, self._again.append, write)

    def _forsake(self) -> None:
        self._is_lost = True  # seen to after the poll that this is called from

    def _replace(self) -> None:
        """Go on with another producer, if nothing of the lost one is open; else end the process, since Kafka may have it already."""
        if not len(self._producer):
            self._producer = self._make(**lost.watched(self._forsake))
            self._is_lost = False
            _log.warning("ledger.producer_replaced")
        elif not self._is_told:
            self._is_told = True
            lost.tell()

    def _serve(self) -> None:
        try:
            self._producer.poll(0)
            if self._is_lost:
                self._replace()
            for _ in range(len(self._again)):
                if not self._produce(self._again.popleft()):
                    break  # its queue is full: the others would come back too
        except Exception as error:  # noqa: BLE001  # without this loop nothing ever settles
            self._faults.caught("ledger", error)
        self._timer = self._loop.call_later(_POLL_S, self._serve)
