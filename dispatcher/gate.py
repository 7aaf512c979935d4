"""What must not be called now, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.dispatcher.delivery import Delivery
from hookline.dispatcher.letters import Reason
from hookline.schemas.records import ErrorKind, Trigger
from hookline.webhooks.model import State, Webhook

if TYPE_CHECKING:
    from hookline.dispatcher.sending import SendingParts

_LEAST_LIFE_S: Final = 86_400.0
# By name in this module: a member that is looked up in its class takes 0.26 µs.
_TEST: Final = Trigger.TEST
_DISABLED: Final = State.DISABLED
_PAUSED: Final = State.PAUSED


class Gate:
    """Settles deliveries that must not, or cannot, be called now. Lives on the loop's thread."""

    def __init__(self, parts: SendingParts, max_held_s: float) -> None:
        self._parts = parts
        self._settlement = parts.settlement
        self._max_held_s = max_held_s

    def wanted(self, delivery: Delivery) -> Webhook | None:
        """Return the webhook as it is now, or settle the delivery when it must not be called now."""
        webhook = self._parts.directory.get(delivery.waiting.webhook_id)
        if self._parts.erased(delivery.waiting.store_id, delivery.waiting.event_id):
            self._settlement.cancelled(delivery, "the event was erased")
            return None
        if webhook is None or webhook.store_id != delivery.waiting.store_id:
            self._without(delivery, webhook)
            return None
        if delivery.waiting.trigger is _TEST:
            return webhook
        if webhook.state is _DISABLED:
            detail = webhook.state_reason or "the webhook is disabled"
            self._settlement.dead_unsent(delivery, webhook, Reason.DISABLED, ErrorKind.DISABLED, detail)
            return None
        if webhook.state is _PAUSED:
            self._hold(delivery, webhook)
            return None
        return webhook

    def _without(self, delivery: Delivery, other: Webhook | None) -> None:
        """Settle what has no webhook (`other`: one of another store): deleted ends it, unknown does not.

        That a webhook is not known may be our fault: its record cannot be read by this build, or is not there yet. So it waits
        for one that knows it, for a day, and is a dead letter then.
        """
        deleted = other is not None or self._parts.directory.deleted(delivery.waiting.webhook_id)
        if deleted or delivery.waiting.trigger is _TEST:
            self._settlement.cancelled(delivery, "the webhook was deleted" if deleted else "the webhook is not known")
        elif self._age_s(delivery) > _LEAST_LIFE_S:
            self._expire(delivery, None, "its webhook has not been known for a day")
        else:
            self._settlement.park(delivery, "unknown")

    def _hold(self, delivery: Delivery, webhook: Webhook) -> None:
        """Park what a paused webhook gets, until it has waited too long."""
        if self._age_s(delivery) > self._max_held_s:
            self._expire(delivery, webhook, "the webhook stayed paused too long")
        else:
            self._settlement.park(delivery, "paused", webhook)

    def park(self, delivery: Delivery, webhook: Webhook) -> None:
        """Park what its lane has no room for, but no longer than the schedule lasts, and a day at least.

        Without an end the deliveries to a receiver that never comes back would go round for ever, and grow.
        """
        limit_s = max(self._parts.policies.of(webhook).span_s, _LEAST_LIFE_S)
        if self._age_s(delivery) > limit_s:
            self._expire(delivery, webhook, f"its receiver failed, or was too slow, for {limit_s / 3_600:.0f} h")
        else:
            self._settlement.park(delivery, "lane")

    def _expire(self, delivery: Delivery, webhook: Webhook | None, why: str) -> None:
        self._settlement.dead_unsent(delivery, webhook, Reason.EXPIRED, ErrorKind.EXPIRED, why)

    def _age_s(self, delivery: Delivery) -> float:
        return self._parts.wall() - delivery.waiting.first_at_us / 1e6
