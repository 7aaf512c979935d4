"""The dead letters as they lie on Kafka, followed into memory, so that they can be listed, filtered and counted at once."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import Final, TypeAlias

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from hookline.console.http.problems import Code, Refused
from hookline.console.letters_shelf import Letter, Replayed, Shelf
from hookline.console.places import Coordinates
from hookline.dispatcher.letters import DeadLetter
from hookline.kernel import kafka, lost
from hookline.kernel.errors import BrokerError, BrokerUnavailable, WireError
from hookline.kernel.log import logger
from hookline.schemas.topics import Topics

_log = logger("letters")
KEPT: Final = 250_000
"""So many of the newest are known, 400 bytes each; all of them stay on their topics until retention takes them."""
LETTER: Final = "hookline-dead-letter"
JOB: Final = "hookline-job-id"
WEBHOOK: Final = "hookline-webhook-id"
EVENT: Final = "hookline-event-id"
_BATCH: Final = 1_000
_POLL_S: Final = 0.1
_AGAIN_S: Final = 1.0
_SWEEP_S: Final = 60.0
_COME_BACK_S: Final = 2
Share: TypeAlias = tuple[str, int]
"""A topic and one of its partitions."""


class Letters:
    """Follows the dead-letter topics, and the replays topic for what was replayed; read from any thread.

    Reading begins with `start` and goes on in a thread; until it has come to the end for the first time, questions are refused.
    """

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, kept: int = KEPT) -> None:
        self._config = config
        self._topics = topics
        self._shelf = Shelf(kept)
        self._positions: dict[Share, int] = {}
        self._moved = threading.Condition()
        self._stopping = threading.Event()
        self._ready = False
        self._asking = threading.Lock()
        self._asker: Consumer | None = None
        self._thread = threading.Thread(target=self._run, name="follow dead letters", daemon=True)

    def start(self) -> None:
        """Begin to read; return at once."""
        self._asker = kafka.plain_consumer(self._config)
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10)
        if self._asker is not None:
            with self._asking, suppress(KafkaException, RuntimeError):
                self._asker.close()

    @property
    def shelf(self) -> Shelf:
        """The letters; raise `Refused` (503) while those that were there at the start are still being read."""
        if not self._ready:
            raise Refused(Code.OVERLOADED, "The dead letters are still being read", headers={"Retry-After": str(_COME_BACK_S)})
        return self._shelf

    def catch_up(self, timeout_s: float = 10.0) -> bool:
        """Know all letters and replays that were acknowledged before this call; False: that took too long. Raises `BrokerError`."""
        with self._asking:
            if self._asker is None or self._stopping.is_set():
                return False
            try:
                ends = {share: kafka.end_offset(self._asker, *share) for share in _shares(self._asker, self._names())}
            except BrokerError:
                self._asker = kafka.instead_of(self._asker, self._config)
                raise
        with self._moved:
            return self._moved.wait_for(lambda: all(self._positions.get(share, 0) >= end for share, end in ends.items()), timeout_s)

    def up_to_date(self) -> Shelf:
        """Return the letters with all that was acknowledged before this call; raise `BrokerError` when that takes too long."""
        if not self.catch_up():
            raise BrokerUnavailable("The dead letters could not be read to their end in time", remedy="Check the broker's load; try again.")
        return self._shelf

    def ends(self) -> dict[str, int]:
        """Return how far each partition of the dead letters is known: `topic:partition` to the offset after the last letter."""
        known = self._positions.copy()
        return {f"{topic}:{partition}": end for (topic, partition), end in known.items() if topic != self._topics.replays}

    def may_lie_at(self, place: Coordinates) -> bool:
        """Tell whether a place is on a partition of the dead letters."""
        return place.topic in self._topics.all_dead_letters() and (place.topic, place.partition) in self._positions

    # ---- the following thread ----

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._live()
            except (BrokerError, KafkaException, RuntimeError) as error:
                _log.warning("letters.waits", error=str(error))
                self._stopping.wait(_AGAIN_S)

    def _live(self) -> None:
        """Follow with one client, until the stop, or until it is lost."""
        loss = lost.Loss()
        consumer = kafka.plain_consumer(self._config, fetch_wait_max_ms=50, **loss.settings())
        try:
            while not self._stopping.is_set() and not loss.happened:
                self._follow(consumer, loss)
        finally:
            with suppress(KafkaException, RuntimeError):
                consumer.close()

    def _follow(self, consumer: Consumer, loss: lost.Loss) -> None:
        """Read on from where the thread stands, until the stop, a loss, or a time to look for new partitions and old letters."""
        ends = self._assign(consumer)
        until = time.monotonic() + _SWEEP_S
        while not self._stopping.is_set() and not loss.happened and (not self._ready or time.monotonic() < until):
            for message in kafka.fetch(consumer, _BATCH, _POLL_S):
                self._take(message)
            self._move(consumer)
            if not self._ready:
                self._ready = all(self._positions[share] >= end for share, end in ends.items())

    def _assign(self, consumer: Consumer) -> dict[Share, int]:
        """Assign all partitions, each from where it was read to, or from where what is kept may begin; return their ends."""
        marks = {share: kafka.watermarks(consumer, *share) for share in _shares(consumer, self._names())}
        if not marks:
            raise BrokerError("The dead-letter topics do not exist", remedy="Create the topics with `hookline topics create`.")
        for (topic, partition), (low, high) in marks.items():
            most = self._shelf.kept * (2 if topic == self._topics.replays else 1)
            first = self._positions.get((topic, partition), max(low, high - most))
            self._positions[topic, partition] = max(first, low)
            self._shelf.forget(topic, partition, low)
        consumer.assign([TopicPartition(*share, self._positions[share]) for share in marks])
        return {share: high for share, (_, high) in marks.items()}

    def _move(self, consumer: Consumer) -> None:
        with self._moved:
            for place in consumer.position([TopicPartition(*share) for share in self._positions]):
                share = place.topic, place.partition
                self._positions[share] = max(self._positions[share], place.offset)
            self._moved.notify_all()

    def _take(self, message: Message) -> None:
        if message.topic() == self._topics.replays:
            self._mark(message)
        else:
            letter = letter_of(message)
            if letter is not None:
                self._shelf.add(letter)

    def _mark(self, message: Message) -> None:
        """Note what a record of the replays topic makes again: a letter that it names, or a delivery."""
        headers = {name: value.decode("utf-8", "replace") for name, value in kafka.headers_of(message).items()}
        replayed = Replayed(message.timestamp()[1] * 1_000, headers.get(JOB, ""))
        place = place_in(headers.get(LETTER, ""))
        if place is not None:
            self._shelf.mark(place, replayed)
        elif WEBHOOK in headers and EVENT in headers:
            self._shelf.mark_delivery(headers[WEBHOOK], headers[EVENT], replayed)

    def _names(self) -> list[str]:
        return [*self._topics.all_dead_letters(), self._topics.replays]


def letter_of(message: Message) -> Letter | None:
    """Return the letter of a record, None when it is none. Texts that many letters share are kept once."""
    try:
        found = DeadLetter.from_headers(kafka.headers_of(message))
    except WireError:
        return None
    intern, waiting, original = sys.intern, found.waiting, found.original
    return Letter(
        place=Coordinates(intern(message.topic() or ""), message.partition() or 0, message.offset() or 0),
        at_us=found.at_us,
        reason=found.reason,
        error=intern(found.error),
        original=Coordinates(intern(original.topic), original.partition, original.offset),
        store_id=intern(waiting.store_id) if waiting else "",
        webhook_id=intern(waiting.webhook_id) if waiting else "",
        event_id=waiting.event_id if waiting else "",
        event_type=intern(waiting.event_type) if waiting else "",
        attempts=waiting.attempt if waiting else 0,
        last_status=waiting.last_status if waiting else 0,
    )


def place_in(text: str) -> Coordinates | None:
    """Return the place that `topic:partition:offset` names, None for any other text."""
    topic, _, rest = text.partition(":")
    partition, _, offset = rest.partition(":")
    numbers = (partition, offset)
    if not topic or not all(number.isascii() and number.isdigit() and len(number) <= len(str(2**63)) for number in numbers):
        return None
    return Coordinates(sys.intern(topic), int(partition), int(offset))


def _shares(client: Consumer, topics: list[str]) -> list[Share]:
    return [(topic, partition) for topic in topics for partition in range(kafka.partitions_of(client, topic))]
