"""The audit topic: who changed what, when and from where, one record each; nothing is deleted from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from hookline.kernel import kafka
from hookline.kernel.writer import Writer
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

SUBJECT: Final = "hookline.AuditEntry"
_MISSING_TOPIC_MS: Final = 3_000  # a person waits for the answer; the client would look for a missing topic for 30 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change; `before` and `after` are digests of how the thing looked, empty where it was not there or a dispatcher did it."""

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


class AuditWriter:
    """Writes entries; thread-safe. Connects when it is first needed, or told to."""

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, codec: Codec) -> None:
        self._name = topics.audit
        self._codec = codec
        self._writer = Writer(config, topic_metadata_propagation_max_ms=_MISSING_TOPIC_MS)

    def start(self) -> None:
        """Connect now, so that the first entry does not wait for it."""
        self._writer.open()

    def write(self, entry: Entry) -> None:
        """Return once every in-sync replica has the entry; raise `BrokerError`."""
        value = self._codec.encode_record(SUBJECT, asdict(entry))
        self._writer.write(self._name, key=(entry.store_id or entry.id).encode(), value=value)
