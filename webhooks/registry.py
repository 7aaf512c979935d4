"""All webhooks, in memory, followed from their compacted topic; looking one up costs the same however many there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from hookline.kernel.compacted import CompactedTopic
from hookline.kernel.errors import WireError
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.log import logger
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from hookline.webhooks.model import SUBJECT, Webhook

_log = logger("webhooks")
_NONE: Final[tuple[Webhook, ...]] = ()
_COUNTED: Final = 1_000


class WebhookRegistry:
    """Readers on any thread see whole webhooks: every entry is replaced, never changed, by the one following thread.

    A record counts only when its version is greater than the known one, so that of two writers who started from the
    same version the first in the log wins, for every reader alike. A deleted webhook stays deleted: ids are never given
    twice. The moment a webhook counts from is no later than the brokers' stamp on its record, where they stamp it: the clock
    of who wrote it may be wrong. A corrupt record keeps the last good value.

    `memory` is a file that remembers how far the topic reached, so that
    a topic which lost records is refused at start; None: no memory.
    """

    def __init__(self, config: KafkaConfig, topics: Topics, codec: Codec, memory: Path | None = None) -> None:
        self._codec = codec
        self._by_id: dict[str, Webhook] = {}
        self._by_type: dict[tuple[str, str], tuple[Webhook, ...]] = {}
        self._by_store: dict[str, tuple[str, ...]] = {}
        self._buried: set[str] = set()
        self._told = False
        self._unsettled: dict[str, None] = {}
        self._counted: dict[str, None] = {}
        self._callbacks: list[Callable[[str], None]] = []
        self._topic = CompactedTopic(config, topics.webhooks, self._apply, memory=memory)

    def start(self) -> None:
        """Read everything, then follow; raise `BrokerError`."""
        self._topic.start()

    def stop(self) -> None:
        """Stop following; what was read stays."""
        self._topic.stop()

    @property
    def ready(self) -> bool:
        """Whether everything that was there at the start is known."""
        return self._topic.ready

    @property
    def size(self) -> int:
        """How many webhooks there are."""
        return len(self._by_id)

    @property
    def faults(self) -> int:
        """How many corrupt records were passed over."""
        return self._topic.faults

    def get(self, webhook_id: str) -> Webhook | None:
        """Return a webhook, None when there is none."""
        return self._by_id.get(webhook_id)

    def deleted(self, webhook_id: str) -> bool:
        """Tell whether a webhook is known to have been deleted; one whose deletion Kafka has forgotten (after a week) is not."""
        return webhook_id in self._buried

    def unsettled(self) -> list[str]:
        """Return the webhooks whose last record does not count: compaction would keep that one, and lose the one that does."""
        return list(self._unsettled)

    def matching(self, store_id: str, event_type: str) -> tuple[Webhook, ...]:
        """Return the store's webhooks of an event type, in any state, in the order of their making."""
        return self._by_type.get((store_id, event_type), _NONE)

    def of_store(self, store_id: str) -> list[Webhook]:
        """Return all webhooks of a store."""
        return [self._by_id[webhook_id] for webhook_id in self._by_store.get(store_id, ()) if webhook_id in self._by_id]

    def all(self) -> list[Webhook]:
        """Return every webhook."""
        return list(self._by_id.values())

    def catch_up(self, timeout_s: float) -> bool:
        """Apply all that was acknowledged before this call; one round trip. False: too slow."""
        return self._topic.catch_up(timeout_s)

    def wait_for(self, offset: int, timeout_s: float) -> bool:
        """Wait until all records below an offset are applied."""
        return self._topic.wait_for(offset, timeout_s)

    def counted(self, write_id: str) -> bool:
        """Tell whether a write, one of the last thousand, became the state of its webhook."""
        return write_id in self._counted

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Have `callback(webhook id)` called, on the following thread, after each change."""
        self._callbacks.append(callback)

    # ---- the following thread ----

    def _apply(self, message: Message) -> None:
        webhook_id = _text(message.key())
        self._tell_of_stamp(message)
        value = message.value()
        before = self._by_id.get(webhook_id)
        after = _stamped(self._decoded(webhook_id, value), message) if value is not None else None
        if after is not None and (webhook_id in self._buried or (before is not None and after.version <= before.version)):
            self._passed_over(before, after)
            return
        self._unsettled.pop(webhook_id, None)
        if after is None:
            self._by_id.pop(webhook_id, None)
            self._buried.add(webhook_id)
        else:
            self._by_id[webhook_id] = after
            self._count(after.write_id)
        self._reindex(before, after)
        for callback in self._callbacks:
            callback(webhook_id)

    def _count(self, write_id: str) -> None:
        self._counted[write_id] = None
        if len(self._counted) > _COUNTED:
            del self._counted[next(iter(self._counted))]

    def _tell_of_stamp(self, message: Message) -> None:
        """Say once that new records have their writers' time: by a clock that is ahead a webhook may miss events."""
        if message.timestamp()[0] != TIMESTAMP_LOG_APPEND_TIME and self.ready and not self._told:
            self._told = True
            _log.warning("webhooks.not_stamped", topic=message.topic(), remedy="Run `hookline topics apply`.")

    def _passed_over(self, before: Webhook | None, after: Webhook) -> None:
        """Note whether a record that changes nothing leaves the log as it should end: with what counts, written again."""
        if before is not None and after.write_id == before.write_id:
            self._unsettled.pop(after.id, None)
        else:
            self._unsettled[after.id] = None

    def _decoded(self, webhook_id: str, value: bytes | str) -> Webhook:
        subject, datum = self._codec.decode_record(value if isinstance(value, bytes) else value.encode())
        if subject != SUBJECT or datum["id"] != webhook_id:
            raise WireError(f"The record under {webhook_id!r} is not that webhook")
        return Webhook.from_datum(datum)

    def _reindex(self, before: Webhook | None, after: Webhook | None) -> None:
        old = {(before.store_id, name) for name in before.event_types} if before is not None else set()
        new = {(after.store_id, name) for name in after.event_types} if after is not None else set()
        for key in old | new:
            kept = tuple(w for w in self._by_type.get(key, _NONE) if before is None or w.id != before.id)
            if after is not None and key in new:
                kept = tuple(sorted((*kept, after), key=lambda w: (w.created_at_us, w.id)))
            if kept:
                self._by_type[key] = kept
            else:
                self._by_type.pop(key, None)
        self._restore(before, after)

    def _restore(self, before: Webhook | None, after: Webhook | None) -> None:
        """Keep the ids by store."""
        if before is None and after is not None:
            self._by_store[after.store_id] = (*self._by_store.get(after.store_id, ()), after.id)
        if before is not None and after is None:
            left = tuple(i for i in self._by_store.get(before.store_id, ()) if i != before.id)
            if left:
                self._by_store[before.store_id] = left
            else:
                self._by_store.pop(before.store_id, None)


def _stamped(webhook: Webhook, message: Message) -> Webhook:
    """Return a webhook as created no later than the brokers had its record: by the writer's clock alone it could miss events."""
    kind, at_ms = message.timestamp()
    at_us = at_ms * 1_000
    if kind != TIMESTAMP_LOG_APPEND_TIME or webhook.created_at_us <= at_us:
        return webhook
    return replace(webhook, created_at_us=at_us)


def _text(key: bytes | str | None) -> str:
    if not key:
        raise WireError("A record of the webhooks topic has no key")
    return key.decode() if isinstance(key, bytes) else key
