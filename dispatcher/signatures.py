"""The headers of each call: built once per webhook, signed per attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hookline import __version__
from hookline.dispatcher.delivery import Delivery
from hookline.dispatcher.signing import Signer
from hookline.kernel.clock import Clock, to_us
from hookline.webhooks.model import Webhook
from hookline.webhooks.secrets import Vault, open_headers, signing_keys

USER_AGENT: Final = f"Hookline/{__version__}"
_FIXED: Final = (("content-type", "application/json"), ("user-agent", USER_AGENT))
_MASK: Final = "********"


@dataclass(frozen=True, slots=True)
class _Cached:
    webhook: Webhook
    until_us: int
    signer: Signer
    own: tuple[tuple[str, str], ...]


class Signatures:
    """Signers by webhook, made anew when the webhook changes or an old secret runs out."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._cache: dict[str, _Cached] = {}

    def headers(self, webhook: Webhook, delivery: Delivery) -> tuple[tuple[str, str], ...]:
        """Return all headers of this attempt, signed with a fresh timestamp; raise `HooklineError` when no key opens the secret."""
        now_us = to_us(self._clock.now())
        timestamp = now_us // 1_000_000
        waiting = delivery.waiting
        parts = self._parts(webhook, now_us)
        signature = parts.signer.headers(waiting.delivery_id, timestamp, delivery.body)
        trace = (("traceparent", waiting.traceparent),) if waiting.traceparent else ()
        return (
            *_FIXED,
            ("webhook-id", waiting.delivery_id),
            ("webhook-timestamp", str(timestamp)),
            ("webhook-signature", signature),
            ("hookline-attempt", str(waiting.attempt + 1)),
            ("hookline-webhook", webhook.id),
            *trace,
            *parts.own,
        )

    def forget(self, webhook_id: str) -> None:
        """Drop what is cached of a webhook that changed."""
        self._cache.pop(webhook_id, None)

    def _parts(self, webhook: Webhook, now_us: int) -> _Cached:
        cached = self._cache.get(webhook.id)
        if cached is not None and cached.webhook is webhook and now_us < cached.until_us:
            return cached
        signer = Signer(signing_keys(webhook, self._vault, self._clock.now()))
        ends = [s.expires_at_us for s in webhook.secrets if s.expires_at_us > now_us]
        made = _Cached(webhook, min(ends, default=2**63), signer, open_headers(webhook, self._vault))
        self._cache[webhook.id] = made
        return made


def shown(headers: tuple[tuple[str, str], ...], webhook: Webhook) -> str:
    """Return request headers as text for the log: no signature, and no value that the store chose (it may be a password)."""
    own = {header.name for header in webhook.headers}
    lines = (f"{name}: {_MASK if name in own else value}" for name, value in headers if name != "webhook-signature")
    return "\n".join(lines)
