"""Erasures as the tests play them."""

from __future__ import annotations

from hookline.schemas.erasures import Erasure


class Known:
    """Erasures without a topic."""

    def __init__(self, *erasures: Erasure) -> None:
        self.erasures = list(erasures)

    def all(self) -> list[Erasure]:
        """Return them."""
        return self.erasures

    def has(self, store_id: str, event_id: str) -> bool:
        """Look among them."""
        return any((one.store_id, one.event_id) == (store_id, event_id) for one in self.erasures)
