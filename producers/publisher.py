"""Publish events onto Kafka: what `publish` returns from is there, on every in-sync replica.

`Publisher` serves threads, `AsyncPublisher` an event loop; both raise the same errors, before Kafka for what the
caller did wrong and after it for what Kafka did.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from hookline.kernel import kafka, lost
from hookline.kernel.config import environment, integer, load, number, setting
from hookline.kernel.errors import BrokerError, Closed, HooklineError, InputError, QueueFull, Undelivered
from hookline.kernel.log import logger
from hookline.kernel.values import value
from hookline.producers.event_record import EventRecord, EventRecords
from hookline.schemas.events import Event
from hookline.schemas.registry import SchemaRegistry, open_registry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

_log = logger("publisher")
_POLL_S: Final = 0.1
_BULK_MS: Final = 5.0
_ROOM_S: Final = 0.005
_REBUILD_APART_S: Final = 60.0
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001  # librdkafka's local codes
_AGAIN: Final = "It may have arrived: publish again with the same id."


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherConfig:
    """How events are put onto Kafka."""

    linger_ms: float = setting(
        "HOOKLINE_PUBLISHER_LINGER_MS", "0", "milliseconds to wait for more events per request; 0 is best for latency", number(0, 1_000)
    )
    delivery_timeout_s: float = setting(
        "HOOKLINE_PUBLISHER_DELIVERY_TIMEOUT_S",
        "120",
        "seconds that an event is tried before it counts as undelivered",
        number(1, 900),
    )
    queue_events: int = setting(
        "HOOKLINE_PUBLISHER_QUEUE_EVENTS", "100000", "events that may wait for Kafka in one process", integer(1, 10_000_000)
    )
    queue_kbytes: int = setting("HOOKLINE_PUBLISHER_QUEUE_KBYTES", "262144", "kilobytes of events that may wait", integer(1, 2_097_151))
    max_event_bytes: int = setting("HOOKLINE_MAX_EVENT_BYTES", "262144", "largest encoded event", integer(1_024, 1_000_000))

    def settings(self) -> dict[str, object]:
        """Return the producer's settings, by librdkafka's names with `_` for `.`."""
        return {
            "linger_ms": self.linger_ms,
            # A few events hardly shrink, whatever is tried: then zstd only costs, 7 µs an event here and as much at the broker.
            "compression_type": "zstd" if self.linger_ms >= _BULK_MS else "lz4",
            "delivery_timeout_ms": int(self.delivery_timeout_s * 1_000),
            "queue_buffering_max_messages": self.queue_events,
            "queue_buffering_max_kbytes": self.queue_kbytes,
            "message_max_bytes": 2 * 1024 * 1024,  # librdkafka counts headers and framing too; the event's own limit is ours
        }


@value()
class Published:
    """Where an event lies."""

    topic: str
    partition: int
    offset: int


class _Process:
    """Which process this is, without asking the system for each event."""

    def __init__(self) -> None:
        self.id = os.getpid()
        os.register_at_fork(after_in_child=self.asked)

    def asked(self) -> None:
        """Ask once more, in the child of a fork."""
        self.id = os.getpid()


_process: Final = _Process()
Outcome: TypeAlias = Published | BrokerError
Done: TypeAlias = Callable[[Outcome], None]


class Publisher:
    """Publishes from any thread of the process that started it.

    The registry must be started; it stays the caller's, unless the publisher came from `connect`.
    """

    def __init__(
        self,
        config: kafka.KafkaConfig,
        registry: SchemaRegistry,
        settings: PublisherConfig,
        make_producer: Callable[..., Producer] = kafka.producer,
    ) -> None:
        self._config = config
        self._settings = settings
        self._make = make_producer
        self._records = EventRecords(Codec(registry), Topics(config.topic_prefix), settings.max_event_bytes)
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._pid = 0
        self._rebuilding = threading.Lock()
        self._rebuilt_at = -_REBUILD_APART_S
        self._fatal = ""
        self._loss = lost.Loss()
        self._owned: SchemaRegistry | None = None

    @classmethod
    def connect(cls, bootstrap_servers: str | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Return a started publisher from the environment (or `environ`); close it, or use it in a `with` block.

        Raises `ConfigError`, `BrokerUnavailable` or `SchemaError`, each with its remedy.
        """
        publisher = cls.prepared(bootstrap_servers, environ)
        publisher.start()
        return publisher

    @classmethod
    def prepared(cls, bootstrap_servers: str | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Return the same not started yet, over a started registry that is its own; raises as `connect` does."""
        environ = dict(environment() if environ is None else environ)
        if bootstrap_servers:
            environ["KAFKA_BOOTSTRAP_SERVERS"] = bootstrap_servers
        registry = open_registry(environ)
        registry.start()
        publisher = cls(load(kafka.KafkaConfig, environ), registry, load(PublisherConfig, environ))
        publisher._owned = registry
        return publisher

    def start(self) -> None:
        """Open the producer, and serve its delivery reports in a thread; does not wait for a broker. Starting twice is fine."""
        if self.open():
            self._stopping.clear()
            self._thread = threading.Thread(target=self._serve, name="publisher", daemon=True)
            self._thread.start()

    def open(self) -> bool:
        """Open the producer alone, for a caller that calls `poll` often; return False when it is open already."""
        if self._producer is not None and self._pid == os.getpid():
            return False
        self._pid = os.getpid()
        self._producer = self._made()
        return True

    def poll(self) -> None:
        """Call `done` of the outcomes that are there, without waiting; what `done` raises comes out here."""
        if self._producer is not None:
            self._poll(self._producer, 0)

    def close(self, timeout_s: float = 30.0) -> None:
        """Wait for what is in flight, then close; raise `Undelivered` for what was not confirmed in time. Closing twice is fine."""
        producer, thread = self._producer, self._thread
        if producer is None or self._pid != os.getpid():
            return
        self._producer = None
        left = _flushed(producer, timeout_s)
        producer.purge()
        producer.flush(1)
        self._stopping.set()
        if thread is not None:
            thread.join(10)
        if self._owned is not None:
            self._owned.stop()
        if left:
            raise undelivered(left, timeout_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def publish(self, event: Event, *, timeout_s: float = 30.0, traceparent: str = "") -> Published:
        """Return once Kafka has the event on every in-sync replica.

        Raises `InputError` for a wrong event, `QueueFull` when there was no room in `timeout_s`, `Undelivered` when it
        was not confirmed in time (it may have arrived: publish again with the same id), `BrokerError`, `Closed`.
        """
        self._refuse_callbacks()
        deadline = time.monotonic() + timeout_s
        return _wait([self._produce_when_room(self._records.make(event, traceparent), deadline)], deadline, timeout_s)[0]

    def publish_many(self, events: Iterable[Event], *, timeout_s: float = 60.0) -> list[Published]:
        """Publish all and return where each lies, in their order; all are checked before the first goes out.

        Raises as `publish` does; of a wrong event the field is `events[3].data...`. After `Undelivered` publish all
        again with the same ids.
        """
        self._refuse_callbacks()
        deadline = time.monotonic() + timeout_s
        return _wait([self._produce_when_room(record, deadline) for record in self.prepare(events)], deadline, timeout_s)

    def send(self, event: Event, done: Done, traceparent: str = "") -> None:
        """Hand an event over without waiting; `done` is called once, from another thread, with the outcome.

        Raises as `publish` does but for `Undelivered`; then `done` is not called. `done` must not block or raise.
        """
        self.send_record(self._records.make(event, traceparent), done)

    def prepare(self, events: Iterable[Event]) -> list[EventRecord]:
        """Return the events' records for `send_record`; raise `InputError` with the field `events[3].data...` of the first wrong one."""
        return [self._checked(index, event) for index, event in enumerate(events)]

    def send_record(self, record: EventRecord, done: Done) -> None:
        """Hand a prepared event over; otherwise like `send`."""
        producer = self._open()
        try:
            _hand_over(producer, record, done)
        except KafkaException as error:
            if not error.args[0].fatal() or not self._rebuild(producer, error.args[0]):
                raise kafka.translate(error.args[0]) from error
            with kafka.translated():
                _hand_over(self._open(), record, done)
        except BufferError as error:
            raise kafka.translate(KafkaError(KafkaError._QUEUE_FULL)) from error  # noqa: SLF001  # librdkafka's local code

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until nothing is in flight; raise `Undelivered` with the number of events left after `timeout_s`."""
        self._refuse_callbacks()
        left = _flushed(self._open(), timeout_s)
        if left:
            raise undelivered(left, timeout_s)

    @property
    def waiting(self) -> int:
        """How many events Kafka has not confirmed yet; a report of the client that was not read yet counts too."""
        return len(self._producer) if self._producer is not None else 0

    def complaint(self) -> str:
        """Return why the producer can never work again, or an empty text: a probe for `/healthz`."""
        return self._fatal

    def _checked(self, index: int, event: Event) -> EventRecord:
        try:
            return self._records.make(event)
        except InputError as error:
            error.field = f"events[{index}].{error.field}" if error.field else f"events[{index}]"
            raise

    def _produce_when_room(self, record: EventRecord, deadline: float) -> Future[Published]:
        future: Future[Published] = Future()
        while True:
            try:
                self.send_record(record, lambda outcome: _resolve(future, outcome))
            except QueueFull:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_ROOM_S)
            else:
                return future

    def _open(self) -> Producer:
        if self._producer is None:
            raise Closed("The publisher is not open", remedy="Call start(), or use it in a `with` block.")
        if self._pid != _process.id:
            raise Closed("The publisher was started before this process was forked", remedy="Start one publisher in each process.")
        return self._producer

    def _refuse_callbacks(self) -> None:
        if threading.current_thread() is self._thread:
            raise InputError("publish and flush would wait for ever in a delivery callback", remedy="Use send(), or another thread.")

    def _rebuild(self, broken: Producer, error: KafkaError) -> bool:
        """Replace a producer that has failed for good; return False when that happened a short while ago already."""
        with self._rebuilding:
            if self._producer is not broken:
                return self._producer is not None
            if time.monotonic() - self._rebuilt_at < _REBUILD_APART_S:
                self._fatal = f"the Kafka producer failed twice: {error.str()}"
                return False
            _log.error("publisher.rebuilt", error=error.str())
            self._rebuilt_at = time.monotonic()
            self._producer = self._made()
            broken.purge()
            broken.flush(1)
            return True

    def _made(self) -> Producer:
        loss = lost.Loss()
        producer = self._make(self._config, **self._settings.settings(), **loss.settings())
        self._loss = loss
        return producer

    def _poll(self, producer: Producer, wait_s: float) -> None:
        producer.poll(wait_s)
        if self._loss.happened:
            self._replace(producer)

    def _replace(self, gone: Producer) -> None:
        """Go on with another producer for one that knows no broker any more, as often as that happens: it takes 20 s each time."""
        with self._rebuilding:
            if self._producer is gone:
                self._producer = self._made()
                gone.purge()
                gone.flush(1)

    def _serve(self) -> None:
        """Serve delivery reports until closed; what a callback raises is logged, for it must not end this thread."""
        while not self._stopping.is_set():
            producer = self._producer
            if producer is None:
                self._stopping.wait(_POLL_S)
                continue
            try:
                self._poll(producer, _POLL_S)
            except Exception as error:  # noqa: BLE001  # the process's delivery loop
                _log.error("publisher.callback_failed", error=f"{type(error).__name__}: {error}")


def bulk(settings: PublisherConfig) -> PublisherConfig:
    """Return settings for many events at once: a little more latency, far fewer requests."""
    return replace(settings, linger_ms=max(settings.linger_ms, _BULK_MS))


def _flushed(producer: Producer, timeout_s: float) -> int:
    """Return how many events are left after a flush, without the client's own reports, which it counts too."""
    if not producer.flush(timeout_s):
        return 0
    producer.poll(0)
    return len(producer)


def _hand_over(producer: Producer, record: EventRecord, done: Done) -> None:
    def report(error: KafkaError | None, message: Message) -> None:
        if error is None:
            done(Published(record.topic, message.partition() or 0, message.offset() or 0))
        elif error.code() in _PURGED or error.fatal():
            done(Undelivered(f"The producer was closed before Kafka confirmed the event: {error.str()}", remedy=_AGAIN))
        else:
            done(kafka.translate(error))

    producer.produce(record.topic, key=record.key, value=record.value, headers=dict(record.headers), on_delivery=report)


def _resolve(future: Future[Published], outcome: Outcome) -> None:
    if isinstance(outcome, HooklineError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _wait(futures: list[Future[Published]], deadline: float, timeout_s: float) -> list[Published]:
    found: list[Published] = []
    for future in futures:
        try:
            found.append(future.result(max(0.0, deadline - time.monotonic())))
        except FutureTimeout:
            left = sum(not other.done() for other in futures)
            raise undelivered(left, timeout_s) from None
    return found


def undelivered(left: int, timeout_s: float) -> Undelivered:
    """Return the error for events that were not confirmed in time."""
    return Undelivered(f"Kafka did not confirm {left:,} event{'s' if left != 1 else ''} in {timeout_s:g} s", remedy=_AGAIN)
