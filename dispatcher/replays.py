"""Deliveries made again on a person's word: a test before going live, a resend, a replay of dead letters.

All of them go through the replays topic, to any dispatcher, with the same `webhook-id` as before, to the webhook's
current URL, signed with its current secret.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Message

from hookline.dispatcher.letters import DeadLetter, Reason
from hookline.kernel import kafka
from hookline.kernel.errors import NotFound, WireError
from hookline.kernel.writer import Writer
from hookline.schemas.erasures import Erased, Nothing
from hookline.schemas.events import Event
from hookline.schemas.records import Source, Trigger, Waiting, delivery_id
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from hookline.webhooks.model import Webhook

_LETTER: Final = "hookline-dead-letter"
_DELIVERY: Final = "hookline-delivery-id"
_FROM_LIST: Final = "Take it from `hookline dead-letters list`."
_SHOWN: Final = 200
_DIGITS: Final = (9, 18)  # of a partition, and of an offset: what Kafka's integers hold
_NOWHERE: Final = Source(topic="", partition=0, offset=0, timestamp_ms=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLetter:
    """A dead letter where it lies, its raw bytes, and whether it was replayed already."""

    place: str
    letter: DeadLetter
    value: bytes
    replayed: bool

    @property
    def webhook_id(self) -> str:
        """The webhook it is for; empty for poison."""
        return self.letter.waiting.webhook_id if self.letter.waiting is not None else ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was replayed: the places of letters, and when deliveries were last made again by who named no letter, in microseconds."""

    places: frozenset[str]
    deliveries: Mapping[str, int]

    def has(self, place: str, letter: DeadLetter) -> bool:
        """Tell whether a letter was replayed, or its delivery made again since it was given up."""
        delivery = letter.waiting.delivery_id if letter.waiting is not None else ""
        return place in self.places or self.deliveries.get(delivery, 0) >= letter.at_us


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters: empty and None mean all."""

    store_id: str = ""
    webhook_id: str = ""
    category: str = ""
    reason: str = ""
    event_type: str = ""
    delivery_id: str = ""
    replayed: bool | None = None

    def takes(self, found: FoundLetter) -> bool:
        """Tell whether a letter is one of them."""
        waiting = found.letter.waiting
        wanted = ((self.reason, str(found.letter.reason)), (self.category, found.place.split(":")[0].rpartition(".")[2]))
        fields = ("store_id", "webhook_id", "event_type", "delivery_id")
        mine = tuple((getattr(self, name), getattr(waiting, name) if waiting is not None else "") for name in fields)
        return all(not want or want == has for want, has in (*wanted, *mine)) and self.replayed in {None, found.replayed}


class DeadLetters:
    """Reads the dead-letter topics as they are now."""

    def __init__(self, config: kafka.KafkaConfig, topics: Topics) -> None:
        self._config = config
        self._topics = topics

    def find(self, wanted: LetterFilter) -> Iterator[FoundLetter]:
        """Yield the letters that the filter takes, oldest first within a partition; raise `BrokerUnavailable`."""
        replayed = self._replayed()
        topics = [self._topics.dead_letters(wanted.category)] if wanted.category else self._topics.all_dead_letters()
        for message in kafka.scan(self._config, topics):
            found = _letter(message, replayed)
            if found is not None and wanted.takes(found):
                yield found

    def get(self, place: str) -> FoundLetter:
        """Return the letter at `topic:partition:offset`; raise `NotFound`."""
        topic, partition, offset = self._parsed(place)
        message = None
        if partition < self._partitions(topic):
            message = kafka.read_at(self._config, topic, partition, offset)
        found = _letter(message, self._replayed()) if message is not None else None
        if found is None:
            raise NotFound(f"There is no dead letter at {place}", field="id", remedy=_FROM_LIST)
        return found

    def _parsed(self, place: str) -> tuple[str, int, int]:
        topic, *numbers = place.split(":")
        if topic not in self._topics.all_dead_letters() or len(numbers) != len(_DIGITS) or not all(map(_is_number, numbers, _DIGITS)):
            raise NotFound(f"{place[:_SHOWN]!r} is no dead letter's place", field="id", remedy=_FROM_LIST)
        return topic, int(numbers[0]), int(numbers[1])

    def _partitions(self, topic: str) -> int:
        return kafka.partitions_of(kafka.admin(self._config), topic)

    def _replayed(self) -> Replayed:
        """Return what was replayed: the replays topic remembers as long as the letters last."""
        places, deliveries = set(), {}
        for message in kafka.scan(self._config, [self._topics.replays]):
            headers = {name: value.decode("utf-8", "replace") for name, value in kafka.headers_of(message).items()}
            if place := headers.get(_LETTER):
                places.add(place)
            elif delivery := headers.get(_DELIVERY):
                deliveries[delivery] = message.timestamp()[1] * 1_000
        return Replayed(frozenset(places), deliveries)


class Replays:
    """Writes deliveries to make again; each call returns when Kafka has the record. Use from one thread.

    `erased` knows the events that must not be sent again; None is for those who send only what they have just made.
    """

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, codec: Codec, erased: Erased | None = None) -> None:
        self._erased: Erased = erased or Nothing()
        self._config = config
        self._topics = topics
        self._codec = codec
        self._writer = Writer(config, message_max_bytes=2 * 1024 * 1024)

    def test(self, webhook: Webhook, event: Event) -> str:
        """Have one signed call made to a webhook, whatever its state and event types; return the delivery id.

        A test is tried once: no retry, no dead letter.
        """
        waiting = Waiting(
            delivery_id=delivery_id(event.store_id, event.id, webhook.id),
            webhook_id=webhook.id,
            store_id=webhook.store_id,
            event_id=event.id,
            event_type=event.type,
            source=_NOWHERE,
            trigger=Trigger.TEST,
            first_at_us=time.time_ns() // 1_000,
        )
        self._produce(waiting, self._codec.encode(event))
        return waiting.delivery_id

    def resend(self, waiting: Waiting) -> None:
        """Have a delivery made again with its full retry schedule; raise `NotFound` when its payload has passed retention or was erased."""
        source = waiting.source
        message = kafka.read_at(self._config, source.topic, source.partition, source.offset)
        value = message.value() if message is not None else None
        if not isinstance(value, bytes):
            raise NotFound(
                f"The payload of {waiting.delivery_id} is no longer on Kafka",
                field="id",
                remedy="It is older than HOOKLINE_RETENTION_DAYS: publish the event again.",
            )
        self._produce(_afresh(waiting, Trigger.RESEND), value)

    def replay(self, found: FoundLetter, job_id: str) -> None:
        """Have a dead letter delivered again with its full retry schedule; raise `WireError` for poison, which has no webhook."""
        if found.letter.waiting is None:
            raise WireError(f"{found.place} is poison: it was never a delivery", remedy="Mend the producer, then publish the event again.")
        self._produce(_afresh(found.letter.waiting, Trigger.REPLAY, job_id), found.value, letter=found.place)

    def repeat(self, waiting: Waiting, value: bytes, job_id: str) -> None:
        """Have any delivery made again with its full retry schedule, as part of a job; `value` are the event's bytes."""
        self._produce(_afresh(waiting, Trigger.REPLAY, job_id), value)

    def _produce(self, waiting: Waiting, value: bytes, letter: str = "") -> None:
        self._erased.refuse(waiting.store_id, waiting.event_id)
        headers = waiting.to_headers() | ({_LETTER: letter.encode()} if letter else {})
        self._writer.write(self._topics.replays, key=waiting.webhook_id.encode(), value=value, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast and how many: `rate` letters a second, at most `most`."""

    rate: float
    most: int


def replay_all(replays: Replays, letters: Iterator[FoundLetter], pace: Pace, job_id: str, told: Callable[[int], None]) -> int:
    """Replay letters at a pace, telling the count after each; return how many. Poison is passed over."""
    made = 0
    started = time.monotonic()
    for found in letters:
        if made >= pace.most:
            break
        if found.letter.reason is Reason.POISON:
            continue
        replays.replay(found, job_id)
        made += 1
        told(made)
        time.sleep(max(0.0, started + made / pace.rate - time.monotonic()))
    return made


def _afresh(waiting: Waiting, trigger: Trigger, job_id: str = "") -> Waiting:
    return dataclasses.replace(
        waiting,
        trigger=trigger,
        job_id=job_id,
        attempt=0,
        parked=0,
        not_before_us=0,
        reason="",
        detail="",
        last_status=0,
        replays=waiting.replays + 1,
        first_at_us=time.time_ns() // 1_000,
    )


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits


def _letter(message: Message, replayed: Replayed) -> FoundLetter | None:
    try:
        letter = DeadLetter.from_headers(kafka.headers_of(message))
    except WireError:
        return None
    place = f"{message.topic()}:{message.partition()}:{message.offset()}"
    value = message.value()
    return FoundLetter(place=place, letter=letter, value=value if isinstance(value, bytes) else b"", replayed=replayed.has(place, letter))
