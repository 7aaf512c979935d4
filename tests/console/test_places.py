"""Bodies read back from Kafka, and what is said where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.console.places import Coordinates, Places
from hookline.kernel.errors import BrokerUnavailable

pytestmark = pytest.mark.unit


class Silent(Places):
    """Reads from a Kafka that does not answer."""

    def __init__(self) -> None:
        nothing: Any = None
        super().__init__(nothing, nothing, nothing)

    def read(self, place: Coordinates, patience_s: float = 10.0) -> None:
        """Wait in vain."""
        raise BrokerUnavailable(f"Kafka 10.0.0.1:9092 does not answer for {patience_s} s: {place}")


def test_a_delivery_is_shown_while_kafka_is_silent() -> None:
    """Its attempts are in ClickHouse; only the body is missing, and why names no broker."""
    body, why = Silent().body(Coordinates("t", 0, 1))
    assert body is None
    assert "does not answer at the moment" in why
    assert "10.0.0.1" not in why
