"""From records to deliveries: decode once, match, and hand each delivery on."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from confluent_kafka import Message
from prometheus_client import Counter

from hookline.dispatcher import metrics
from hookline.dispatcher.crash_marker import CrashMarker
from hookline.dispatcher.delivery import Delivery, Unit, first, source_of, traceparent
from hookline.dispatcher.faults import Faults
from hookline.dispatcher.intake import Intake
from hookline.dispatcher.letters import Reason
from hookline.dispatcher.matching import Matched, Matcher
from hookline.dispatcher.sending import Sending
from hookline.dispatcher.settlement import Settlement
from hookline.dispatcher.shares import Record
from hookline.kernel.errors import RegistryUnavailable, WireError
from hookline.kernel.kafka import headers_of
from hookline.kernel.log import logger
from hookline.schemas.payload import Rendered
from hookline.schemas.records import ErrorKind, Source, Waiting
from hookline.schemas.wire import Codec

_log = logger("reception")
Receiver: TypeAlias = Callable[[Unit], None]
_REGISTRY_AGAIN_S: Final = 1.0
_FIT_AGAIN_S: Final = 0.25
_SLICE: Final = 20
_FRAME: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptionParts:
    """What reception works with; `executor` is where it may wait for the schema registry; `wall` tells the brokers' time in seconds."""

    loop: asyncio.AbstractEventLoop
    codec: Codec
    matcher: Matcher
    sending: Sending
    settlement: Settlement
    marker: CrashMarker
    faults: Faults
    executor: Executor
    wall: Callable[[], float]


class Reception:
    """Receives batches from the intakes' threads; everything but the two entry points runs on the loop's thread."""

    def __init__(self, parts: ReceptionParts, poison_limit: int) -> None:
        self._parts = parts
        self._poison_limit = poison_limit
        self._looked_up: dict[bytes, list[tuple[Unit, Receiver]]] = {}
        self._counters: dict[str, Counter] = {}

    def events(self, intake: Intake, records: list[Record]) -> None:
        """Take fresh events; called from an intake's thread."""
        self._parts.loop.call_soon_threadsafe(self._batch, [Unit(intake, r) for r in records], self._event)

    def waiting(self, intake: Intake, records: list[Record]) -> None:
        """Take due retries or replays; called from an intake's thread."""
        self._parts.loop.call_soon_threadsafe(self._batch, [Unit(intake, r) for r in records], self._due)

    def _batch(self, units: list[Unit], take: Receiver) -> None:
        """Take a slice at a time, so that answers are served in between."""
        for unit in units[:_SLICE]:
            self._take(unit, take)
        if len(units) > _SLICE:
            self._parts.loop.call_soon(self._batch, units[_SLICE:], take)

    def _take(self, unit: Unit, take: Receiver) -> None:
        """Take one record; whatever goes wrong with it stops no other, and leaves its offset where it is."""
        share, marker = unit.record.share, self._parts.marker
        if not unit.fit:
            if not unit.lost:  # until the intake has polled nobody knows whose it is
                self._parts.loop.call_later(_FIT_AGAIN_S, self._take, unit, take)
            return
        try:
            if marker.mark(share.topic, share.partition, unit.record.offset):
                take(unit)
            else:
                self._poison(unit, WireError("This record was in hand three times when the process died"))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # the main loop of records; a panic in Rust is no `Exception`
            self._parts.faults.caught("reception", error)
        finally:
            marker.clear()

    # ---- fresh events ----

    def _event(self, unit: Unit) -> None:
        event = self._decoded(unit, self._event)
        if event is None:
            return
        source = source_of(unit)
        self._counter(source.topic).inc()
        matched = self._parts.matcher.match(event, source.timestamp_ms * 1_000)
        unit.left = len(matched.call) + len(matched.skip) + len(matched.dead)
        if unit.left == 0:
            unit.intake.done(unit.record)
            return
        self._deliver(unit, event, matched, source)

    def _counter(self, topic: str) -> Counter:
        counter = self._counters.get(topic)
        if counter is None:
            counter = self._counters[topic] = metrics.EVENTS.labels(topic.rpartition(".")[2])
        return counter

    def _deliver(self, unit: Unit, event: Rendered, matched: Matched, source: Source) -> None:
        settlement, value, trace = self._parts.settlement, _value(unit), _trace(unit.record.message)
        self._parts.marker.clear()  # what follows is not the record's own doing
        now_us, ready_at = int(self._parts.wall() * 1e6), source.timestamp_ms / 1_000

        def delivery(webhook_id: str) -> Delivery:
            return Delivery(first(event, source, webhook_id, now_us, trace), unit, value, event.body, ready_at)

        for skip in matched.skip:
            settlement.skipped(delivery(skip.webhook.id), skip.webhook, skip.kind, skip.detail)
        for webhook in matched.dead:
            settlement.dead_unsent(delivery(webhook.id), webhook, Reason.DISABLED, ErrorKind.DISABLED, webhook.state_reason)
        for webhook in matched.call:
            self._parts.sending.submit(delivery(webhook.id))

    # ---- retries and replays ----

    def _due(self, unit: Unit) -> None:
        try:
            waiting = Waiting.from_headers(headers_of(unit.record.message))
        except WireError as error:
            self._poison(unit, error)
            return
        remaining_s = waiting.not_before_us / 1e6 - self._parts.wall()
        unit.left = 1
        if remaining_s > 0:
            self._parts.settlement.wait_on(self._again(unit, waiting, b""), remaining_s)
            return
        if self._parts.sending.turned_away(self._again(unit, waiting, b"")):
            return
        event = self._decoded(unit, self._due)
        if event is not None:
            unit.left = 1
            delivery = self._again(unit, waiting, event.body)
            self._parts.marker.clear()
            self._parts.sending.submit(delivery)

    def _again(self, unit: Unit, waiting: Waiting, body: bytes) -> Delivery:
        at_ms = unit.record.message.timestamp()[1]
        due = max(at_ms / 1_000 + unit.intake.source.delay_s, waiting.not_before_us / 1e6)
        return Delivery(waiting=_sound(waiting, unit), unit=unit, value=_value(unit), body=body, ready_at=due)

    # ---- decoding ----

    def _decoded(self, unit: Unit, again: Receiver) -> Rendered | None:
        """Return the event, or None after seeing to it: raw bytes to the dead letters, or later when its schema is looked up."""
        value = _value(unit)
        if not self._parts.codec.prepared(value):
            self._look_up(value, unit, again)
            return None
        try:
            event = self._parts.codec.render(value)
        except WireError as error:
            self._poison(unit, error)
            return None
        unit.record.share.poison_run = 0
        return event

    def _look_up(self, value: bytes, unit: Unit, again: Receiver) -> None:
        """Ask the schema registry beside the loop, once for all records of the same schema; they wait meanwhile."""
        frame = value[:_FRAME]
        waiting = self._looked_up.setdefault(frame, [])
        waiting.append((unit, again))
        if len(waiting) == 1:
            self._ask(frame)

    def _ask(self, frame: bytes) -> None:
        asked = self._parts.loop.run_in_executor(self._parts.executor, self._parts.codec.prepare, frame)
        asked.add_done_callback(lambda done: self._answered(frame, done))

    def _answered(self, frame: bytes, done: asyncio.Future[None]) -> None:
        error = done.exception() if not done.cancelled() else asyncio.CancelledError()
        if isinstance(error, RegistryUnavailable):
            _log.warning("reception.waits_for_schema_registry", error=error.message)
            self._parts.loop.call_later(_REGISTRY_AGAIN_S, self._ask, frame)
            return
        for unit, again in self._looked_up.pop(frame, []):
            if isinstance(error, WireError):
                self._take(unit, partial(self._poison, error=error))
            elif error is None:
                self._take(unit, again)
        if error is not None and not isinstance(error, WireError | asyncio.CancelledError):
            self._parts.faults.caught("registry", error)

    def _poison(self, unit: Unit, error: WireError) -> None:
        """Dead-letter the raw bytes; after too many in a row hold the partition, so that a bad deploy empties no topic."""
        share = unit.record.share
        share.poison_run += 1
        if share.poison_run <= self._poison_limit:
            self._parts.settlement.poison(unit, error.message)
            return
        if not share.held:
            place = {"topic": share.topic, "partition": share.partition, "first_offset": unit.record.offset}
            _log.error("reception.partition_held", error=error.message, **place)
        unit.intake.hold(unit.record)


def _sound(waiting: Waiting, unit: Unit) -> Waiting:
    """Return the delivery with a place where its payload can be read, and no header that could not be sent.

    A test's only place is the replay record itself.
    """
    trace = traceparent(waiting.traceparent)
    if waiting.source.topic and trace == waiting.traceparent:
        return waiting
    return dataclasses.replace(waiting, source=waiting.source if waiting.source.topic else source_of(unit), traceparent=trace)


def _trace(message: Message) -> str:
    """Return the trace parent of an event's record, an empty text for none, as most have it: they are asked for no other header."""
    headers = message.headers()
    found = dict(headers).get("traceparent") if headers else None
    return traceparent(found if isinstance(found, str) else found.decode("ascii", "replace")) if found else ""


def _value(unit: Unit) -> bytes:
    value = unit.record.message.value()
    return value if isinstance(value, bytes) else b""
