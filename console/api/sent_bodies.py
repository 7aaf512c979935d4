"""The body of a delivery's calls, made again: Kafka keeps the event, and nobody keeps what a webhook's template made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from hookline.analytics.warehouse import Rows
from hookline.dispatcher.contents import Contents
from hookline.kernel.errors import TemplateError
from hookline.webhooks.model import Webhook

_SLACK_US: Final = 5_000_000
"""A dispatcher may know a change of a webhook so much later than the console."""
SourceName = Literal["as_sent", "as_now", "event"]


@dataclass(frozen=True, slots=True)
class SentBody:
    """A body and what it is: `as_sent` of every call, `as_now` what would be sent now, `event` the event with no template applied.

    `source` None: there is no body, and `missing` says why.
    """

    body: bytes | None
    source: SourceName | None
    missing: str = ""


def sent_body(webhook: Webhook | None, rows: Rows, usual: bytes) -> SentBody:
    """Return the body of a delivery, whose attempts are `rows`, the oldest first; `usual` is its event's usual body.

    `webhook` None: it was deleted. It is `as_sent` only where the webhook was not changed since before the first call.
    """
    if webhook is None:
        return SentBody(usual, "event")
    body = usual
    if webhook.template:
        try:
            body = Contents().of(webhook.template, usual).body
        except TemplateError:
            return SentBody(usual, "event")
    return SentBody(body, "as_sent" if _unchanged(webhook, rows) else "as_now")


def _unchanged(webhook: Webhook, rows: Rows) -> bool:
    called_us = min((row["attempted_at_us"] for row in rows if row["attempt"]), default=0)
    if not called_us:
        return False
    return webhook.version == 1 or webhook.updated_at_us + _SLACK_US < called_us
