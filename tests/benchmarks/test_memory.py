"""The memory case: what is measured is a dispatcher that has called its webhooks, not one that has only heard of them."""

from __future__ import annotations

import pytest

from benchmarks import dispatcher
from hookline.local.kafka_broker import EmbeddedBroker

pytestmark = [pytest.mark.process, pytest.mark.kafka, pytest.mark.timeout(120)]


def test_each_webhook_was_called_once_before_calls_hang(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several parts, the last one smaller; the webhooks that hang come on top."""
    counted: list[dict[str, int]] = []
    monkeypatch.setattr(dispatcher, "reconcile", lambda **counts: counted.append(counts))
    monkeypatch.setattr(dispatcher, "_PART", 25)
    found = dispatcher.measure_memory(60, 10, broker)
    assert counted == [{"webhooks": 60, "calls": 60, "different_deliveries": 60}]
    assert (found["webhooks"], found["in_flight"]) == (60, 10)
    assert min(found[name] for name in ("idle_rss_mb", "called_rss_mb", "rss_mb")) > 0
