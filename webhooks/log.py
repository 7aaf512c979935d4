"""Writing webhooks onto their topic: every change is one record, read back after, and the log decides which one counts.

A compacted topic has no compare-and-set. What it has is one order of records that every reader sees: a record counts
when its version is greater than the known one, so of two writers who began with the same version the first wins.
Compaction keeps the *last* record of a key, so whoever loses writes the winner's record again behind its own.
"""

from __future__ import annotations

from typing import Final

from hookline.kernel import kafka
from hookline.kernel.errors import BrokerUnavailable, Stale
from hookline.kernel.writer import Writer
from hookline.schemas.wire import Codec
from hookline.webhooks.model import SUBJECT, Webhook
from hookline.webhooks.registry import WebhookRegistry

_READ_BACK_S: Final = 10.0


class WebhookLog:
    """The end of the webhooks topic where records are written; use from one thread at a time."""

    def __init__(self, config: kafka.KafkaConfig, topic: str, registry: WebhookRegistry, codec: Codec) -> None:
        self._topic = topic
        self._registry = registry
        self._codec = codec
        self._writer = Writer(config)

    def catch_up(self) -> None:
        """Know all that any writer had acknowledged before this call; raise `BrokerError`.

        What another writer left half done is finished: one that lost, and died before it wrote the winner's record again,
        would leave its own as the last of the key. Compaction gives an hour for that (`min.compaction.lag.ms`).
        """
        if not self._registry.catch_up(_READ_BACK_S):
            raise BrokerUnavailable("The webhooks topic does not answer", remedy="Check the broker.")
        for webhook_id in self._registry.unsettled():
            self._settle(webhook_id)

    def write(self, webhook: Webhook) -> None:
        """Write a version and read it back; raise `Stale` when another writer's came first or it was deleted meanwhile."""
        self._produce(webhook)
        if not self._registry.counted(webhook.write_id):
            self._settle(webhook.id)
            raise stale(webhook.id)

    def bury(self, webhook_id: str) -> None:
        """Delete a webhook for good."""
        self._read_back(self._writer.write(self._topic, key=webhook_id.encode(), value=None))

    def _settle(self, webhook_id: str) -> None:
        """Write what counts behind the record that does not, and again if it changes meanwhile."""
        written: Webhook | None = None
        while (winner := self._registry.get(webhook_id)) is not None and winner is not written:
            self._produce(winner)
            written = winner
        if winner is None:
            self.bury(webhook_id)

    def _produce(self, webhook: Webhook) -> None:
        value = self._codec.encode_record(SUBJECT, webhook.to_datum())
        self._read_back(self._writer.write(self._topic, key=webhook.id.encode(), value=value))

    def _read_back(self, offset: int) -> None:
        if not self._registry.wait_for(offset + 1, _READ_BACK_S):
            raise BrokerUnavailable("The change was written but could not be read back in time", remedy="Look whether it took effect.")


def stale(webhook_id: str) -> Stale:
    """Return the error for a change that came too late."""
    return Stale(f"{webhook_id} was changed by somebody else meanwhile", remedy="Read it again and repeat the change.")
