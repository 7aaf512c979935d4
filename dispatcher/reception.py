"""From records to deliveries: decode once, match, and hand each delivery on."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from hookline.dispatcher import metrics
from hookline.dispatcher.config import DispatchConfig
from hookline.dispatcher.crash_marker import CrashMarker
from hookline.dispatcher.delivery import Delivery, Unit, first, source_of
from hookline.dispatcher.intake import Intake, Record
from hookline.dispatcher.letters import Reason
from hookline.dispatcher.matching import Matched, Matcher
from hookline.dispatcher.sending import Sending
from hookline.dispatcher.settlement import Settlement
from hookline.kernel.errors import RegistryUnavailable, WireError
from hookline.kernel.kafka import headers_of
from hookline.kernel.log import logger
from hookline.schemas import payload
from hookline.schemas.events import Event
from hookline.schemas.records import ErrorKind, Waiting
from hookline.schemas.wire import Codec

_log = logger("reception")
Receiver: TypeAlias = Callable[[Unit], None]
_REGISTRY_AGAIN_S: Final = 1.0
_SLICE: Final = 100


class Reception:
    """Receives batches from the intakes' threads; everything but the two entry points runs on the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        codec: Codec,
        matcher: Matcher,
        sending: Sending,
        settlement: Settlement,
        config: DispatchConfig,
        marker: CrashMarker,
    ) -> None:
        self._loop = loop
        self._codec = codec
        self._matcher = matcher
        self._sending = sending
        self._settlement = settlement
        self._config = config
        self._marker = marker

    def events(self, intake: Intake, records: list[Record]) -> None:
        """Take fresh events; called from an intake's thread."""
        self._loop.call_soon_threadsafe(self._batch, [Unit(intake, r) for r in records], self._event)

    def waiting(self, intake: Intake, records: list[Record]) -> None:
        """Take due retries or replays; called from an intake's thread."""
        self._loop.call_soon_threadsafe(self._batch, [Unit(intake, r) for r in records], self._due)

    def _batch(self, units: list[Unit], take: Receiver) -> None:
        """Take a slice at a time, so that answers are served in between."""
        for unit in units[:_SLICE]:
            if unit.record.share.open:
                take(unit)
        if len(units) > _SLICE:
            self._loop.call_soon(self._batch, units[_SLICE:], take)

    # ---- fresh events ----

    def _event(self, unit: Unit) -> None:
        event = self._decoded(unit, self._event)
        if event is None:
            return
        share, message = unit.record.share, unit.record.message
        metrics.EVENTS.labels(share.topic.rpartition(".")[2]).inc()
        published_ms = message.timestamp()[1]
        matched = self._matcher.match(event, published_ms * 1_000)
        unit.left = len(matched.call) + len(matched.skip) + len(matched.dead)
        if unit.left == 0:
            unit.intake.done(unit.record)
            return
        self._deliver(unit, event, matched, published_ms / 1_000)

    def _deliver(self, unit: Unit, event: Event, matched: Matched, ready_at: float) -> None:
        value = _value(unit)
        traceparent = headers_of(unit.record.message).get("traceparent", b"").decode("ascii", "replace")
        body = payload.body(event) if matched.call else b""

        def delivery(webhook_id: str) -> Delivery:
            waiting = first(
                unit, store_id=event.store_id, event_id=event.id, event_type=event.type, webhook_id=webhook_id, traceparent=traceparent
            )
            return Delivery(waiting=waiting, unit=unit, value=value, body=body, ready_at=ready_at)

        for skip in matched.skip:
            self._settlement.skipped(delivery(skip.webhook.id), skip.webhook, skip.kind, skip.detail)
        for webhook in matched.dead:
            self._settlement.dead_unsent(delivery(webhook.id), webhook, Reason.DISABLED, ErrorKind.DISABLED, webhook.state_reason)
        for webhook in matched.call:
            self._sending.submit(delivery(webhook.id))

    # ---- retries and replays ----

    def _due(self, unit: Unit) -> None:
        try:
            waiting = Waiting.from_headers(headers_of(unit.record.message))
        except WireError as error:
            self._poison(unit, error)
            return
        remaining_s = waiting.not_before_us / 1e6 - time.time()
        unit.left = 1
        if remaining_s > 0:
            self._settlement.wait_on(self._again(unit, waiting, b""), remaining_s)
            return
        event = self._decoded(unit, self._due)
        if event is not None:
            unit.left = 1
            self._sending.submit(self._again(unit, waiting, payload.body(event)))

    def _again(self, unit: Unit, waiting: Waiting, body: bytes) -> Delivery:
        at_ms = unit.record.message.timestamp()[1]
        due = max(at_ms / 1_000 + unit.intake.source.delay_s, waiting.not_before_us / 1e6)
        return Delivery(waiting=_anchored(waiting, unit), unit=unit, value=_value(unit), body=body, ready_at=due)

    # ---- decoding ----

    def _decoded(self, unit: Unit, again: Receiver) -> Event | None:
        """Return the event, or None after seeing to it: raw bytes to the dead letters, or later when the registry is away."""
        share = unit.record.share
        if not self._marker.mark(share.topic, share.partition, unit.record.offset):
            self._poison(unit, WireError("Decoding this record ended the process three times"))
            return None
        try:
            event = self._codec.decode(_value(unit))
        except RegistryUnavailable as error:
            _log.warning("reception.waits_for_schema_registry", error=error.message)
            self._loop.call_later(_REGISTRY_AGAIN_S, again, unit)
            return None
        except WireError as error:
            self._poison(unit, error)
            return None
        finally:
            self._marker.clear()
        share.poison_run = 0
        return event

    def _poison(self, unit: Unit, error: WireError) -> None:
        """Dead-letter the raw bytes; after too many in a row hold the partition, so that a bad deploy empties no topic."""
        share = unit.record.share
        share.poison_run += 1
        if share.poison_run > self._config.poison_limit:
            if not share.held:
                _log.error(
                    "reception.partition_held",
                    topic=share.topic,
                    partition=share.partition,
                    first_offset=unit.record.offset,
                    error=error.message,
                )
                metrics.HELD.inc()
            unit.intake.hold(share)
            return
        self._settlement.poison(unit, error.message)


def _anchored(waiting: Waiting, unit: Unit) -> Waiting:
    """Return the delivery with a place where its payload can be read; a test's only place is the replay record itself."""
    return waiting if waiting.source.topic else dataclasses.replace(waiting, source=source_of(unit))


def _value(unit: Unit) -> bytes:
    value = unit.record.message.value()
    return value if isinstance(value, bytes) else b""
