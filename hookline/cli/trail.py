"""What the command line changes, put onto the audit as the console does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hookline.cli.output import say
from hookline.console.api.webhook_models import view
from hookline.console.audit import AuditLog, digest_of
from hookline.kernel.clock import SystemClock, to_us
from hookline.kernel.errors import BrokerError
from hookline.kernel.kafka import KafkaConfig
from hookline.producers.api_keys import ApiKey, ApiKeyConfig, ApiKeys, ApiKeyWriter
from hookline.schemas.audit import Entry
from hookline.schemas.events import new_id
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec
from hookline.webhooks.model import Webhook
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import Vault
from hookline.webhooks.store import OVERLAP_S, NewWebhook, Webhooks
from hookline.webhooks.urls import UrlPolicy

ACTOR: Final = "command-line"


@dataclass(frozen=True, slots=True)
class Trail:
    """Writes entries of the command line; each call returns when Kafka has the entry."""

    log: AuditLog

    @classmethod
    def over(cls, config: KafkaConfig, topics: Topics, codec: Codec) -> Trail:
        """Return the trail on a cluster."""
        return cls(AuditLog(config, topics, codec))

    def write(self, action: str, store_id: str, target: str, before: str = "", after: str = "") -> None:
        """Put one change onto the audit; `before` and `after` are digests. Raises `BrokerError`."""
        at_us = to_us(SystemClock().now())
        self.log.write(
            Entry(id=new_id("aud"), at_us=at_us, store_id=store_id, actor=ACTOR, action=action, target=target, before=before, after=after)
        )

    def note(self, action: str, store_id: str, target: str, before: str = "", after: str = "") -> None:
        """Do the same after a change, and only warn where it fails: a key or secret that is shown once must still be shown."""
        try:
            self.write(action, store_id, target, before, after)
        except BrokerError as error:
            say(f"warning: {target} is changed, but the audit has no line of it: {error.message}. See `hookline topics plan`.")

    def webhook(self, action: str, before: Webhook | None, after: Webhook | None) -> None:
        """Put a webhook's change onto the audit; None: it was not, or is no longer, there. The same version twice is no change."""
        known = after or before
        unchanged = before is not None and after is not None and before.version == after.version
        if known is not None and not unchanged:
            self.note(action, known.store_id, known.id, _digest(before), _digest(after))


def _digest(webhook: Webhook | None) -> str:
    return digest_of(view(webhook)) if webhook is not None else ""


class NotedWebhooks(Webhooks):
    """`Webhooks` whose changes are on the audit; takes what `Webhooks` takes."""

    def __init__(  # the parts, wired once
        self, config: KafkaConfig, topics: Topics, registry: WebhookRegistry, vault: Vault, codec: Codec, policy: UrlPolicy
    ) -> None:
        super().__init__(config, topics, registry, vault, codec, policy, SystemClock())
        self._trail = Trail.over(config, topics, codec)

    def create(self, new: NewWebhook) -> tuple[Webhook, str]:
        """Create, and note it."""
        made, secret = super().create(new)
        self._trail.webhook("webhook.create", None, made)
        return made, secret

    def update(self, webhook_id: str, changes: Mapping[str, Any], expected_version: int | None = None) -> Webhook:
        """Update, and note it."""
        before, after = self.get(webhook_id), super().update(webhook_id, changes, expected_version)
        self._trail.webhook("webhook.update", before, after)
        return after

    def pause(self, webhook_id: str, expected_version: int | None = None) -> Webhook:
        """Pause, and note it."""
        before, after = self.get(webhook_id), super().pause(webhook_id, expected_version)
        self._trail.webhook("webhook.pause", before, after)
        return after

    def resume(self, webhook_id: str, expected_version: int | None = None) -> Webhook:
        """Resume, and note it."""
        before, after = self.get(webhook_id), super().resume(webhook_id, expected_version)
        self._trail.webhook("webhook.resume", before, after)
        return after

    def enable(self, webhook_id: str, expected_version: int | None = None) -> Webhook:
        """Enable, and note it."""
        before, after = self.get(webhook_id), super().enable(webhook_id, expected_version)
        self._trail.webhook("webhook.enable", before, after)
        return after

    def disable(self, webhook_id: str, reason: str, expected_version: int | None = None) -> Webhook:
        """Disable, and note it."""
        before, after = self.get(webhook_id), super().disable(webhook_id, reason, expected_version)
        self._trail.webhook("webhook.disable", before, after)
        return after

    def rotate_secret(self, webhook_id: str, secret: str = "", overlap_s: float = OVERLAP_S, expected_version: int | None = None) -> str:
        """Rotate, and note it."""
        before, shown = self.get(webhook_id), super().rotate_secret(webhook_id, secret, overlap_s, expected_version)
        self._trail.webhook("webhook.rotate-secret", before, self.get(webhook_id))
        return shown

    def delete(self, webhook_id: str) -> None:
        """Delete, and note it."""
        before = self.get(webhook_id)
        super().delete(webhook_id)
        self._trail.webhook("webhook.delete", before, None)


class NotedKeys(ApiKeyWriter):
    """`ApiKeyWriter` whose changes are on the audit."""

    def __init__(self, config: KafkaConfig, codec: Codec, secret: ApiKeyConfig, keys: ApiKeys) -> None:
        super().__init__(config, codec, secret, keys, SystemClock())
        self._trail = Trail.over(config, Topics(config.topic_prefix), codec)

    def create(self, store_id: str, scopes: tuple[str, ...], *, name: str = "", lives_s: float = 0) -> tuple[ApiKey, str]:
        """Create, and note it."""
        made, text = super().create(store_id, scopes, name=name, lives_s=lives_s)
        self._trail.note("api-key.create", made.store_id, made.id)
        return made, text

    def revoke(self, key_id: str, *, store_id: str = "") -> ApiKey:
        """Revoke, and note it."""
        revoked = super().revoke(key_id, store_id=store_id)
        self._trail.note("api-key.revoke", revoked.store_id, revoked.id)
        return revoked
