"""Disabling webhooks whose receivers said 410: beside the work, once, and not against a person's later word."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from hookline.dispatcher.matching import Directory
from hookline.kernel.errors import HooklineError
from hookline.kernel.log import logger
from hookline.webhooks.model import Webhook

_log = logger("disabling")


class Writer(Protocol):
    """Who writes a webhook's state."""

    def disable(self, webhook_id: str, reason: str) -> Webhook:
        """Disable; raise `HooklineError`."""


class Disabling:
    """Disables in a thread of its own; what fails is tried with the next 410 of the same webhook."""

    def __init__(self, directory: Directory, writer: Callable[[], Writer]) -> None:
        self._directory = directory
        self._make_writer = writer
        self._writer: Writer | None = None
        self._under_way: set[str] = set()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="disabling")

    def gone(self, webhook: Webhook, reason: str) -> None:
        """Disable the webhook as it was called; return at once. Many calls of one webhook may say 410 at the same time."""
        if webhook.id not in self._under_way:
            self._under_way.add(webhook.id)
            self._executor.submit(self._disable, webhook, reason)

    def stop(self) -> None:
        """Finish the one in hand."""
        self._executor.shutdown(cancel_futures=True)

    def _disable(self, called: Webhook, reason: str) -> None:
        try:
            if self._same(called):
                self._writer = self._writer or self._make_writer()
                self._writer.disable(called.id, reason)
                _log.info("webhook.disabled", webhook_id=called.id, reason=reason)
        except HooklineError as error:
            _log.warning("webhook.disable_failed", webhook_id=called.id, error=error.message)
        finally:
            self._under_way.discard(called.id)

    def _same(self, called: Webhook) -> bool:
        """Tell whether the webhook is still the one that was called: one with a new URL, or enabled anew, is not meant."""
        now = self._directory.get(called.id)
        return now is not None and (now.url, now.state_since_us) == (called.url, called.state_since_us)
