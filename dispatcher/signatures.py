"""The headers of each call: built once per webhook, signed per attempt."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Final

from hookline import __version__
from hookline.dispatcher.delivery import Delivery
from hookline.dispatcher.signing import Signer
from hookline.dispatcher.transport.contract import MAX_BODY, Reply, Request, Result
from hookline.kernel.clock import QuickClock
from hookline.kernel.recent import Recent
from hookline.webhooks.certificates import Identity, open_identity
from hookline.webhooks.model import Webhook
from hookline.webhooks.secrets import Vault, open_headers, signing_keys
from hookline.webhooks.templates import Content

USER_AGENT: Final = f"Hookline/{__version__}"
_FIXED: Final = (("content-type", "application/json"), ("user-agent", USER_AGENT))
_SENT_FIRST: Final = "".join([f"{name}: {text}\r\n" for name, text in _FIXED])
_SHOWN_FIRST: Final = "".join([f"{name}: {text}\n" for name, text in _FIXED])
_SIGNATURE_AT: Final = 4
_MASK: Final = "********"
_LEAST_MASKED: Final = 6
_VERSION: Final = len("v1,")
_MOST_KEYS: Final = 40_000
"""Webhooks whose keys are kept open, half of them at least: 0.8 KiB each. To open those of another takes some 13 µs."""


@dataclass(frozen=True, slots=True)
class _Cached:
    webhook: Webhook
    until_s: float
    signer: Signer
    own: tuple[tuple[str, str], ...]
    identity: Identity | None


class Signatures:
    """Signers and client certificates by webhook, made anew when the webhook changes or an old secret runs out.

    Of the webhooks that were called last, `most` are kept at most, half of them at least. Used on the event loop's thread; any thread
    may `forget`.
    """

    def __init__(self, vault: Vault, clock: QuickClock, most: int = _MOST_KEYS) -> None:
        self._vault = vault
        self._clock = clock
        self._cache: Recent[str, _Cached] = Recent(most)

    def request(
        self, webhook: Webhook, delivery: Delivery, traceparent: str | None = None, content: Content | None = None
    ) -> tuple[Request, str]:
        """Return the signed request of this attempt, and its headers as the log shows them; see `headers`."""
        headers = self.headers(webhook, delivery, traceparent, content)
        body = delivery.body if content is None else content.body
        lines, text = _usual(headers) if content is None and not webhook.headers else (b"", "")
        identity = self.identity(webhook) if webhook.client_certificate is not None else None
        return Request(webhook.url, headers, body, webhook.timeout_s, webhook.id, identity, lines), text or shown(headers, webhook)

    def headers(
        self, webhook: Webhook, delivery: Delivery, traceparent: str | None = None, content: Content | None = None
    ) -> tuple[tuple[str, str], ...]:
        """Return all headers of this attempt, signed with a fresh timestamp; raise `HooklineError` when no key opens the secret.

        `traceparent` None: the delivery's own. `content` None: the usual body; what is sent is what is signed.
        """
        now_s = self._clock.time()
        timestamp = int(now_s)
        waiting = delivery.waiting
        parts = self._parts(webhook, now_s)
        fixed, body, needed = (_FIXED, delivery.body, ()) if content is None else (_fixed(content), content.body, content.headers)
        signature = parts.signer.headers(waiting.delivery_id, timestamp, body)
        parent = waiting.traceparent if traceparent is None else traceparent
        trace = (("traceparent", parent),) if parent else ()
        return (
            *fixed,
            ("webhook-id", waiting.delivery_id),
            ("webhook-timestamp", str(timestamp)),
            ("webhook-signature", signature),
            ("hookline-attempt", str(waiting.attempt + 1)),
            ("hookline-webhook", webhook.id),
            *trace,
            *needed,
            *parts.own,
        )

    def identity(self, webhook: Webhook) -> Identity | None:
        """Return the client certificate that the webhook presents, None for none; raise `HooklineError` as `headers` does."""
        return self._parts(webhook, self._clock.time()).identity if webhook.client_certificate is not None else None

    def forget(self, webhook_id: str) -> None:
        """Drop what is cached of a webhook that changed."""
        self._cache.forget(webhook_id)

    def _parts(self, webhook: Webhook, now_s: float) -> _Cached:
        cached = self._cache.get(webhook.id)
        if cached is not None and cached.webhook is webhook and now_s < cached.until_s:
            return cached
        signer = Signer(signing_keys(webhook, self._vault, self._clock.now()))
        ends = [s.expires_at_us / 1e6 for s in webhook.secrets if s.expires_at_us > now_s * 1e6]
        own, identity = open_headers(webhook, self._vault), open_identity(webhook, self._vault)
        made = _Cached(webhook, min(ends, default=math.inf), signer, own, identity)
        self._cache.put(webhook.id, made)
        return made


def _fixed(content: Content) -> tuple[tuple[str, str], ...]:
    return (("content-type", content.content_type), ("user-agent", USER_AGENT))


def _usual(headers: tuple[tuple[str, str], ...]) -> tuple[bytes, str]:
    """Return what `header_lines` and `shown` make of a call's headers, in a third of the time, where the store chose none of them.

    Both are empty where an id, which came from Kafka, may not be sent as it is: the transport says so.
    """
    _type, _agent, (_, id_), (_, at), (_, signature), (_, attempt), (_, webhook_id), *trace = headers
    parent = trace[0][1] if trace else ""
    foreign = id_ + webhook_id + parent
    if not (foreign.isascii() and foreign.isprintable()):
        return b"", ""
    sent_trace, shown_trace = (f"traceparent: {parent}\r\n", f"\ntraceparent: {parent}") if parent else ("", "")
    sent = (
        f"{_SENT_FIRST}webhook-id: {id_}\r\nwebhook-timestamp: {at}\r\nwebhook-signature: {signature}\r\n"
        f"hookline-attempt: {attempt}\r\nhookline-webhook: {webhook_id}\r\n{sent_trace}"
    )
    text = (
        f"{_SHOWN_FIRST}webhook-id: {id_}\nwebhook-timestamp: {at}\n"
        f"hookline-attempt: {attempt}\nhookline-webhook: {webhook_id}{shown_trace}"
    )
    return sent.encode("ascii"), text


def shown(headers: tuple[tuple[str, str], ...], webhook: Webhook) -> str:
    """Return request headers as text for the log: no signature, and no value that the store chose (it may be a password)."""
    own = {header.name for header in webhook.headers}
    return "\n".join([f"{name}: {_MASK if name in own else value}" for name, value in headers if name != "webhook-signature"])


def without_echoes(result: Result, headers: tuple[tuple[str, str], ...], webhook: Webhook) -> Result:
    """Return what came of a call without its signatures and the values of the store's own headers, which some receivers repeat in answers.

    A value of several words (`Bearer abc`) is masked word by word too, and as JSON writers put it, with slashes escaped or not. Words of
    less than 6 characters are no passwords, and a value that was changed otherwise (encoded, cut) is not recognised.
    """
    signed = headers[_SIGNATURE_AT][1]
    if not webhook.headers and not _may_repeat(result, signed):
        return result
    hidden = [form for text in _unshown(headers, signed, webhook) for form in _forms(text)]
    if not isinstance(result, Reply):
        return replace(result, detail=_masked(result.detail, hidden)) if any(text in result.detail for text in hidden) else result
    spelled = [code for text in hidden for code in _codes(text)]
    head, body = result.headers, result.body
    if not any(text in head for text in hidden) and not any(code in body for code in spelled):
        return result
    for code in spelled:
        body = body.replace(code, _MASK.encode())
    return replace(result, headers=_masked(head, hidden), body=body[:MAX_BODY])


def _may_repeat(result: Result, signed: str) -> bool:
    """Tell whether a closer look may find a signature: in the hot path, for answers that hardly ever have one."""
    if not isinstance(result, Reply):
        return True
    head, body = result.headers, result.body
    if "\\/" in head or b"\\/" in body:
        return True
    for piece in signed.split():
        digest = piece[_VERSION:]
        if digest in head or (len(body) >= len(digest) and digest.encode() in body):
            return True
    return False


def _unshown(headers: tuple[tuple[str, str], ...], signed: str, webhook: Webhook) -> list[str]:
    """Return the texts that no record may hold, the longest first: digests without their `v1,`, values, words of values."""
    own = {header.name for header in webhook.headers}
    values = {value for name, value in headers if name in own}
    words = {word for value in values for word in value.split()}
    texts = {*(piece[_VERSION:] for piece in signed.split()), *values, *words}
    return sorted((text for text in texts if len(text) >= _LEAST_MASKED), key=len, reverse=True)


def _forms(text: str) -> tuple[str, ...]:
    """Return it as it is, and as JSON has it: quotes escaped, what is not ASCII or not, slashes or not."""
    found = dict.fromkeys((text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]))
    return (*found, *(form.replace("/", "\\/") for form in found if "/" in form))


def _codes(text: str) -> tuple[bytes, ...]:
    return (text.encode(),) if text.isascii() else (text.encode("latin-1"), text.encode())


def _masked(shown_text: str, hidden: list[str]) -> str:
    for text in hidden:
        shown_text = shown_text.replace(text, _MASK)
    return shown_text
