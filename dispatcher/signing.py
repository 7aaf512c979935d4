"""Signatures as Standard Webhooks 1.0.0 defines them: HMAC-SHA-256 over `id.timestamp.body`, versioned `v1`."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


class Signer:
    """Signs with every given key, the current one first; the keys are hashed once. Thread-safe."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._macs = tuple(hmac.new(key, digestmod=hashlib.sha256) for key in keys)

    def headers(self, webhook_id: str, timestamp_s: int, body: bytes) -> str:
        """Return the value of `webhook-signature`: one `v1,<base64>` per key, separated by spaces."""
        start = f"{webhook_id}.{timestamp_s}.".encode()
        return " ".join(self._one(mac, start, body) for mac in self._macs)

    @staticmethod
    def _one(keyed: hmac.HMAC, start: bytes, body: bytes) -> str:
        mac = keyed.copy()
        mac.update(start)
        mac.update(body)
        return "v1," + base64.b64encode(mac.digest()).decode()
