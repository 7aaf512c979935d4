"""An event as the Kafka record it becomes: checked, encoded, keyed and measured before Kafka hears of it."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

from hookline.kernel.errors import InputError, PayloadTooLarge
from hookline.kernel.kafka import Headers
from hookline.schemas.catalogue import event_type
from hookline.schemas.events import Event
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

CONTENT_TYPE: Final = b"application/vnd.confluent.avro"
TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}\Z")


class EventRecord(NamedTuple):
    """One record for an event topic; the key `store_id:entity_id` keeps the events of one thing in one partition."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


class EventRecords:
    """Makes records of events; pure but for the codec's cache, thread-safe."""

    def __init__(self, codec: Codec, topics: Topics, max_bytes: int) -> None:
        self._codec = codec
        self._topics = topics
        self._max_bytes = max_bytes

    def make(self, event: Event, traceparent: str = "") -> EventRecord:
        """Return the event's record; `traceparent` empty means none.

        Raises `InputError` with the path of what is wrong (`UnknownEventType`, `PayloadTooLarge` among them), and
        `SchemaError` when this build's schema of the type is not registered.
        """
        if not isinstance(event, Event):
            raise InputError(f"publish takes an Event, not {type(event).__name__}", remedy="Build it with hookline.schemas.events.Event.")
        if traceparent and not TRACEPARENT.match(traceparent):
            raise InputError("traceparent is not a W3C trace context", field="traceparent", remedy="Leave it out or pass it on unchanged.")
        kind, value = event_type(event.type), self._codec.encode_checked(event)
        if len(value) > self._max_bytes:
            raise PayloadTooLarge(
                f"The event has {len(value):,} bytes encoded, the limit is {self._max_bytes:,}",
                remedy="Send ids in place of long texts, or raise HOOKLINE_MAX_EVENT_BYTES.",
            )
        headers = {"content-type": CONTENT_TYPE, "traceparent": traceparent.encode()} if traceparent else {"content-type": CONTENT_TYPE}
        key = f"{event.store_id}:{kind.entity_of(event.data)}".encode()
        return EventRecord(check_topic(self._topics.events(kind.category)), key, value, headers)


@cache
def check_topic(name: str) -> str:
    """Return a topic's name that Kafka would take; raise `InputError`, since librdkafka itself checks nothing."""
    if not _TOPIC.match(name):
        raise InputError(
            f"{name[:100]!r} is no topic name", field="topic", remedy="HOOKLINE_TOPIC_PREFIX may hold letters, digits, dot, _ and -."
        )
    return name
