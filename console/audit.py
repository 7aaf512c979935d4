"""The audit: who changed what, when and from where, one record each on a topic that nothing is deleted from."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import asdict, dataclass
from typing import Final

from confluent_kafka import Message, Producer

from hookline.console import metrics
from hookline.console.http.models import Model
from hookline.kernel import kafka
from hookline.kernel.compacted import CompactedTopic
from hookline.kernel.errors import WireError
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

SUBJECT: Final = "hookline.AuditEntry"
_MISSING_TOPIC_MS: Final = 3_000  # a person waits for the answer; the client would look for a missing topic for 30 s
KEPT: Final = 20_000
"""So many of the newest entries can be listed; all of them stay on the topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change; `before` and `after` are digests of how the thing looked, empty where it was not there."""

    id: str
    at_us: int
    store_id: str
    actor: str
    action: str
    target: str = ""
    before: str = ""
    after: str = ""
    address: str = ""
    request_id: str = ""


class AuditLog:
    """Writes entries and follows those of all consoles; thread-safe."""

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, codec: Codec) -> None:
        self._config = config
        self._name = topics.audit
        self._codec = codec
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._topic = CompactedTopic(config, self._name, self._apply, newest=KEPT)
        self._producer: Producer | None = None

    def start(self) -> None:
        """Read the newest entries and follow; raise `BrokerError`."""
        self._producer = kafka.producer(self._config, linger_ms=0, topic_metadata_propagation_max_ms=_MISSING_TOPIC_MS)
        self._topic.start()

    def stop(self) -> None:
        """Stop following."""
        self._topic.stop()

    def write(self, entry: Entry) -> None:
        """Return once every in-sync replica has the entry; raise `BrokerError`."""
        value = self._codec.encode_record(SUBJECT, asdict(entry))
        producer = self._producer or kafka.producer(self._config, linger_ms=0, topic_metadata_propagation_max_ms=_MISSING_TOPIC_MS)
        kafka.produce_sync(producer, self._name, key=(entry.store_id or entry.id).encode(), value=value)
        metrics.AUDITED.inc()

    def of_store(self, store_id: str) -> list[Entry]:
        """Return the newest entries of a store (empty: of all), the oldest first, with all that were acknowledged before this call."""
        self._topic.catch_up()
        return [entry for entry in self._entries.copy() if store_id in {"", entry.store_id}]

    def _apply(self, message: Message) -> None:
        value = message.value()
        if not isinstance(value, bytes):
            raise WireError("A record of the audit topic has no value")
        subject, datum = self._codec.decode_record(value)
        if subject != SUBJECT:
            raise WireError(f"A record of the audit topic is a {subject}")
        self._entries.append(Entry(**datum))


def digest_of(thing: Model | None) -> str:
    """Return the SHA-256 of how a thing looks to callers, which holds no secret; empty for None."""
    return hashlib.sha256(thing.model_dump_json().encode()).hexdigest() if thing is not None else ""
