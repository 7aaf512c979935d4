"""What follows an attempt, as records on Kafka: the attempt itself, and the retry or the dead letter."""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from confluent_kafka import Message

from hookline.dispatcher import metrics
from hookline.dispatcher.config import DispatchConfig
from hookline.dispatcher.delivery import Delivery, Unit, source_of
from hookline.dispatcher.ledger import Entry, Ledger
from hookline.dispatcher.letters import DeadLetter, Reason
from hookline.dispatcher.outcome import LONGEST_S, tier_for
from hookline.dispatcher.transport.contract import Failure, Reply, Result
from hookline.kernel.kafka import Headers, headers_of
from hookline.kernel.log import logger
from hookline.kernel.values import value
from hookline.schemas.records import ErrorKind, Outcome, Trigger, Waiting
from hookline.schemas.topics import CATEGORIES, Topics, duration_s
from hookline.schemas.wire import ATTEMPT_FIELDS, Codec
from hookline.webhooks.model import Webhook

_log = logger("delivery")
_DETAIL: Final = 256
# Once, and not for each delivery: members of an enum are found slowly, and `labels` looks for a counter under a lock.
_DELIVERED: Final = Outcome.DELIVERED
_NO_FAULT: Final = (ErrorKind.NONE, "")
_TAKEN: Final = metrics.ATTEMPTS.labels(Outcome.DELIVERED, ErrorKind.NONE)
# A record that is as large as Kafka takes would grow beyond that by the headers of its dead letter.
_MOST_VALUE: Final = 2 * 1024 * 1024 - 64 * 1024
_MOST_KEY: Final = 1_024
_MOST_HEADERS: Final = 16 * 1024


@value(kw_only=True)
class Sent:
    """One finished attempt: its result, when it was sent, and what was sent (headers without secrets)."""

    result: Result
    at_us: int
    url: str
    request_headers: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SettlementParts:
    """What settlement works with; `name` is the dispatcher's, `wall` tells the brokers' time in seconds: due times are by that."""

    ledger: Ledger
    codec: Codec
    topics: Topics
    config: DispatchConfig
    tiers: tuple[str, ...]
    name: str
    wall: Callable[[], float]


class Settlement:
    """Turns what happened to a delivery into ledger entries; the delivery's record settles when they are durable.

    A call that ends after its partition was lost leaves its attempt, which was made; what follows is for the next owner
    to decide, who has the record too.
    """

    def __init__(self, parts: SettlementParts) -> None:
        self._wall = parts.wall
        self._ledger = parts.ledger
        self._codec = parts.codec
        self._topics = parts.topics
        self._attempts = parts.topics.attempts
        self._config = parts.config
        self._tiers = parts.tiers
        self._name = parts.name
        self._told = _log.is_enabled_for(logging.DEBUG)

    def delivered(self, delivery: Delivery, sent: Sent) -> None:
        """Record that the receiver took it."""
        self._write(delivery, [self._attempt(delivery, _DELIVERED, sent)])

    def retry(self, delivery: Delivery, sent: Sent, delay_s: float) -> None:
        """Wait in the longest tier that is not longer than the delay, then (again if need be) until it is due."""
        now_us = int(self._wall() * 1e6)
        tier = tier_for(delay_s, self._tiers)
        not_before_us = now_us + int(delay_s * 1e6)
        kind, detail = _fault(sent.result)
        waiting = dataclasses.replace(
            delivery.waiting,
            attempt=delivery.waiting.attempt + 1,
            parked=0,
            not_before_us=not_before_us if delay_s > duration_s(tier) else 0,
            reason=kind,
            detail=detail,
            last_status=_status(sent.result),
        )
        entries = [self._attempt(delivery, Outcome.RETRYING, sent, next_retry_at_us=not_before_us)]
        if not delivery.unit.theirs:
            entries.append(self._waiting_entry(self._topics.retry(tier), delivery, waiting))
        self._write(delivery, entries)

    def dead(self, delivery: Delivery, reason: Reason, sent: Sent) -> None:
        """Give up after an attempt: a dead letter that an admin may replay; a test only leaves its attempt."""
        attempt = self._attempt(delivery, Outcome.DEAD, sent)
        kind, detail = _fault(sent.result)
        waiting = dataclasses.replace(
            delivery.waiting, attempt=delivery.waiting.attempt + 1, reason=kind, detail=detail, last_status=_status(sent.result)
        )
        if delivery.waiting.trigger is Trigger.TEST or delivery.unit.theirs:
            self._write(delivery, [attempt])
        else:
            self._write(delivery, [attempt, self._letter(delivery, reason, detail, waiting)])

    def dead_unsent(self, delivery: Delivery, webhook: Webhook | None, reason: Reason, kind: ErrorKind, detail: str) -> None:
        """Give up without an attempt (disabled meanwhile, waited too long)."""
        record = self._note(delivery, webhook, Outcome.DEAD, kind, detail)
        self._write(delivery, [record, self._letter(delivery, reason, detail, delivery.waiting)])

    def cancelled(self, delivery: Delivery, why: str) -> None:
        """Record that nothing is delivered, now or later: the webhook was deleted, or the event erased."""
        self._write(delivery, [self._note(delivery, None, Outcome.SKIPPED, ErrorKind.CANCELLED, why)])

    def skipped(self, delivery: Delivery, webhook: Webhook, kind: ErrorKind, detail: str) -> None:
        """Leave a record that says why this webhook does not get this event."""
        self._write(delivery, [self._note(delivery, webhook, Outcome.SKIPPED, kind, detail)])

    def park(self, delivery: Delivery, reason: str, webhook: Webhook | None = None) -> None:
        """Put a delivery aside without counting an attempt; each time in a row it waits in a longer tier.

        With `webhook`, a record explains the wait, once.
        """
        tiers = self._config.park_tiers
        entries = [self._parked(delivery, tiers[min(delivery.waiting.parked, len(tiers) - 1)])]
        if webhook is not None and delivery.waiting.parked == 0:
            entries.append(
                self._note(delivery, webhook, Outcome.SKIPPED, ErrorKind.PAUSED, "the webhook is paused: held until it is resumed")
            )
        metrics.PARKED.labels(reason).inc()
        self._write(delivery, entries)

    def defer(self, delivery: Delivery) -> None:
        """Put a delivery aside for the shortest tier, because its receiver is busy."""
        metrics.PARKED.labels("busy").inc()
        self._write(delivery, [self._parked(delivery, self._tiers[0])])

    def wait_on(self, delivery: Delivery, remaining_s: float) -> None:
        """Wait further: the tier's delay is over, the delivery's own time is not.

        Nothing waits on purpose for more than a day, or the longest delay of the schedule: what a wrong clock wrote is
        cut to that.
        """
        remaining_s = min(remaining_s, max(LONGEST_S, *self._config.schedule_s))
        waiting = dataclasses.replace(delivery.waiting, not_before_us=int((self._wall() + remaining_s) * 1e6))
        self._write(delivery, [self._waiting_entry(self._topics.retry(tier_for(remaining_s, self._tiers)), delivery, waiting)])

    def poison(self, unit: Unit, error: str) -> None:
        """Keep the raw bytes of a record that cannot be decoded in the dead letters of its category."""
        topic = unit.record.share.topic
        category = topic.rpartition(".")[2]
        target = self._topics.dead_letters(category if category in CATEGORIES else CATEGORIES[0])
        letter = DeadLetter.of(Reason.POISON, error, source_of(unit))
        message = unit.record.message
        original = _originals(message)
        metrics.DEAD.labels(Reason.POISON).inc()
        _log.error("record.poison", topic=topic, partition=unit.record.share.partition, offset=unit.record.offset, error=error)
        unit.left = 1
        value = _bytes(message.value())
        if len(value) > _MOST_VALUE:
            original["dlq.cut"] = str(len(value)).encode()
        entry = _letter_of(target, _bytes(message.key())[:_MOST_KEY], value[:_MOST_VALUE], {**original, **letter.to_headers()})
        self._ledger.write([entry], unit.settle_one)

    # ---- entries ----

    def _write(self, delivery: Delivery, entries: list[Entry]) -> None:
        self._ledger.write(entries, delivery.durable)

    def _parked(self, delivery: Delivery, tier: str) -> Entry:
        waiting = dataclasses.replace(delivery.waiting, parked=delivery.waiting.parked + 1)
        return self._waiting_entry(self._topics.retry(tier), delivery, waiting)

    def _waiting_entry(self, topic: str, delivery: Delivery, waiting: Waiting) -> Entry:
        return Entry(topic, waiting.webhook_id.encode(), delivery.value, waiting.to_headers(), partial(self._unfit, delivery, waiting))

    def _unfit(self, delivery: Delivery, waiting: Waiting) -> list[Entry]:
        """Return what takes the place of a retry that is too large for Kafka: the delivery ends, as poison does."""
        detail = f"Kafka takes no retry of {len(delivery.value)} bytes"
        letter = self._letter(delivery, Reason.POISON, detail, waiting)
        return [
            self._note(delivery, None, Outcome.DEAD, ErrorKind.POISON, detail),
            _letter_of(letter.topic, letter.key, letter.value, _as_poison(letter.headers)),
        ]

    def _letter(self, delivery: Delivery, reason: Reason, error: str, waiting: Waiting) -> Entry:
        letter = DeadLetter.of(reason, error, waiting.source, waiting)
        category = (
            self._topics.category_of(waiting.source.topic) if waiting.source.topic.rpartition(".")[2] in CATEGORIES else CATEGORIES[0]
        )
        metrics.DEAD.labels(reason).inc()
        return _letter_of(self._topics.dead_letters(category), waiting.webhook_id.encode(), delivery.value, letter.to_headers())

    def _attempt(self, delivery: Delivery, outcome: Outcome, sent: Sent, next_retry_at_us: int = 0) -> Entry:
        waited_us = sent.at_us - int(delivery.ready_at * 1e6)
        return self._record(delivery, outcome, sent, delivery.waiting.attempt + 1, max(waited_us, 0), next_retry_at_us)

    def _note(self, delivery: Delivery, webhook: Webhook | None, outcome: Outcome, kind: ErrorKind, detail: str) -> Entry:
        """Return a record that says why no attempt was made."""
        url = webhook.url if webhook is not None else ""
        sent = Sent(result=Failure(kind, detail, 0.0), at_us=time.time_ns() // 1_000, url=url, request_headers="")
        return self._record(delivery, outcome, sent, 0, 0, 0)

    def _record(self, delivery: Delivery, outcome: Outcome, sent: Sent, attempt: int, queue_wait_us: int, next_retry_at_us: int) -> Entry:
        """Return the record of an `Attempt`, written from the values of its fields in their order, without the object."""
        waiting, result = delivery.waiting, sent.result
        source = waiting.source
        kind, detail = _fault(result)
        headers, body = (result.headers, result.body) if isinstance(result, Reply) else ("", b"")
        values = (
            # Unique, not secret: no system call for each.
            "att_" + random.getrandbits(96).to_bytes(12, "big").hex(),
            waiting.delivery_id,
            waiting.store_id,
            waiting.webhook_id,
            waiting.event_id,
            waiting.event_type,
            waiting.trigger,
            attempt,
            sent.at_us,
            outcome,
            result.status,
            kind,
            detail,
            int(result.elapsed_s * 1e6),
            queue_wait_us,
            next_retry_at_us,
            sent.url,
            sent.request_headers,
            headers,
            body,
            source.topic,
            source.partition,
            source.offset,
            source.timestamp_ms,
            self._name,
            waiting.job_id,
        )
        if outcome is _DELIVERED:
            _TAKEN.inc()
        else:
            metrics.ATTEMPTS.labels(outcome, kind).inc()
        if outcome is not _DELIVERED or self._told:
            _tell(dict(zip(ATTEMPT_FIELDS, values, strict=True)))
        return Entry(self._attempts, waiting.webhook_id.encode(), self._codec.encode_attempt_values(values), {})


def _tell(record: dict[str, Any]) -> None:
    """Log the one canonical line of an attempt; failures at INFO, the rest at DEBUG; no payload, secret or URL."""
    line = _log.debug if record["outcome"] is _DELIVERED else _log.info
    names = ("outcome", "delivery_id", "webhook_id", "store_id", "event_type", "attempt", "http_status", "error_kind")
    line(
        "delivery.attempted",
        **{name: record[name] for name in names},
        response_ms=round(record["response_time_us"] / 1_000, 1),
    )


def _fault(result: Result) -> tuple[ErrorKind, str]:
    if isinstance(result, Reply):
        ok = 200 <= result.status < 300  # noqa: PLR2004  # the class of success
        return _NO_FAULT if ok else (ErrorKind.HTTP_STATUS, f"answered {result.status}")
    return result.kind, result.detail[:_DETAIL]


def _status(result: Result) -> int:
    return result.status


def _originals(message: Message) -> Headers:
    """Return the headers that a record came with, as far as 16 KiB reach."""
    kept: Headers = {}
    room = _MOST_HEADERS
    for name, text in headers_of(message).items():
        room -= len(name) + len(text)
        if room >= 0:
            kept[f"original.{name}"] = text
    return kept


def _letter_of(topic: str, key: bytes, value: bytes, headers: Headers) -> Entry:
    """Return a dead letter that is cut by half as often as Kafka finds it too large; what is cut is poison."""
    size = headers.get("dlq.cut", str(len(value)).encode())
    return Entry(
        topic, key, value, headers, lambda: [_letter_of(topic, key, value[: len(value) // 2], {**_as_poison(headers), "dlq.cut": size})]
    )


def _as_poison(headers: Headers) -> Headers:
    """Return the headers of a letter that is no delivery any more: nobody can read or replay it, and only the operator sees it."""
    named = {name if name.startswith(("dlq.", "original.")) else f"original.{name}": text for name, text in headers.items()}
    return {**named, "dlq.reason": Reason.POISON.encode()}


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return str(value).encode() if value is not None else b""
