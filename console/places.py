"""Records read back from their places on Kafka: payloads of deliveries, dead letters."""

from __future__ import annotations

from typing import Final, NamedTuple

from confluent_kafka import Message

from hookline.kernel import kafka
from hookline.kernel.errors import BrokerUnavailable, NotFound, WireError
from hookline.schemas import payload
from hookline.schemas.erasures import Erased
from hookline.schemas.events import Event
from hookline.schemas.wire import Codec


class Coordinates(NamedTuple):
    """Where a record lies. A tuple, since many are kept and compared."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Return `topic:partition:offset`."""
        return f"{self.topic}:{self.partition}:{self.offset}"


PATIENCE_S: Final = 2.0
"""So long Kafka may be silent while a person waits; a job waits longer."""


class Places:
    """Reads single records; thread-safe: each read has a consumer of its own, 10 ms on one machine."""

    def __init__(self, config: kafka.KafkaConfig, codec: Codec, erased: Erased) -> None:
        self._config = config
        self._codec = codec
        self._erased = erased

    def read(self, place: Coordinates, patience_s: float = 10.0) -> Message | None:
        """Return the record at exactly this place, None when it is not there (any more); raise `BrokerError`."""
        return kafka.read_at(self._config, *place, timeout_s=patience_s) if place.topic else None

    def value(self, place: Coordinates, patience_s: float = 10.0) -> bytes:
        """Return the bytes of the event at this place; raise `NotFound` when they are gone, `BrokerError`."""
        message = self.read(place, patience_s)
        value = message.value() if message is not None else None
        if not isinstance(value, bytes):
            raise NotFound("The payload is no longer on Kafka", field="id", remedy="It is older than events are kept: publish it again.")
        return value

    def event(self, place: Coordinates) -> Event:
        """Return the event at this place to somebody who waits; raise `NotFound` (gone, or erased), `WireError`, `BrokerError`."""
        return self.shown(self.value(place, PATIENCE_S))

    def shown(self, value: bytes) -> Event:
        """Return the event of a record for a person to see; raise `NotFound` when it was erased, `WireError`."""
        event = self._codec.decode(value)
        self._erased.refuse(event.store_id, event.id)
        return event

    def is_erased(self, event: Event) -> bool:
        """Tell whether an event that was shown before may not be shown any more."""
        try:
            self._erased.refuse(event.store_id, event.id)
        except NotFound:
            return True
        return False

    def body(self, place: Coordinates) -> tuple[bytes | None, str]:
        """Return the usual body of the event at this place, or None and why there is none: the attempts can be shown all the same."""
        try:
            return payload.body(self.event(place)), ""
        except (NotFound, WireError) as error:
            return None, error.message
        except BrokerUnavailable:
            return None, "Kafka, where the event lies, does not answer at the moment"
