"""The audit as the console has it: written, and followed so that it can be listed."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Final

from confluent_kafka import Message

from hookline.console import metrics
from hookline.console.http.models import Model
from hookline.kernel import kafka
from hookline.kernel.compacted import CompactedTopic
from hookline.kernel.errors import WireError
from hookline.schemas.audit import SUBJECT, AuditWriter, Entry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

KEPT: Final = 20_000
"""So many of the newest entries can be listed; all of them stay on the topic."""


class AuditLog:
    """Writes entries and follows those of all consoles; thread-safe."""

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, codec: Codec) -> None:
        self._codec = codec
        self._writer = AuditWriter(config, topics, codec)
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._topic = CompactedTopic(config, topics.audit, self._apply, newest=KEPT)

    def start(self) -> None:
        """Read the newest entries and follow; raise `BrokerError`."""
        self._writer.start()
        self._topic.start()

    def stop(self) -> None:
        """Stop following."""
        self._topic.stop()

    def write(self, entry: Entry) -> None:
        """Return once every in-sync replica has the entry; raise `BrokerError`."""
        self._writer.write(entry)
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
