"""Disabling webhooks whose receivers said 410: beside the work, once, and not against a person's later word."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from hookline.dispatcher.matching import Directory
from hookline.kernel.errors import HooklineError, Stale
from hookline.kernel.log import logger
from hookline.webhooks.model import State, Webhook

_log = logger("disabling")


ACTOR: Final = "dispatcher"
ACTION: Final = "webhook.disable-gone"
"""What the audit calls it: who did it, and why."""
_TRIES: Final = 3


class Writer(Protocol):
    """Who writes a webhook's state."""

    def disable(self, webhook_id: str, reason: str, expected_version: int | None = None) -> Webhook:
        """Disable; raise `Stale` when it has another version by now, `HooklineError`."""


class Disabling:
    """Disables in a thread of its own; what fails is tried with the next 410 of the same webhook."""

    def __init__(self, directory: Directory, writer: Callable[[], Writer], note: Callable[[Webhook], None]) -> None:
        """`note` puts the disabling onto the audit, or raises `HooklineError`."""
        self._directory = directory
        self._make_writer = writer
        self._note = note
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
            if disabled := self._written(called, reason):
                _log.info("webhook.disabled", webhook_id=called.id, reason=reason)
                self._noted(disabled)
        except HooklineError as error:
            _log.warning("webhook.disable_failed", webhook_id=called.id, error=error.message)
        finally:
            self._under_way.discard(called.id)

    def _written(self, called: Webhook, reason: str) -> Webhook | None:
        """Disable it on top of the version that was looked at, so that of many dispatchers one does; None: it was not to be done."""
        self._writer = self._writer or self._make_writer()
        for left in reversed(range(_TRIES)):
            now = self._directory.get(called.id)
            if now is None or now.state is State.DISABLED or not _same(now, called):
                return None
            try:
                return self._writer.disable(called.id, reason, now.version)
            except Stale:  # a person renamed it, or another dispatcher was first: the directory knows by now
                if not left:
                    raise
        return None

    def _noted(self, disabled: Webhook) -> None:
        try:
            self._note(disabled)
        except HooklineError as error:
            _log.error("audit.failed", action=ACTION, webhook_id=disabled.id, error=error.message)


def _same(now: Webhook, called: Webhook) -> bool:
    """Tell whether the webhook is still the one that was called: one with a new URL, or enabled anew, is not meant."""
    return (now.url, now.state_since_us) == (called.url, called.state_since_us)
