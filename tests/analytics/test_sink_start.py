"""The sink's start while ClickHouse comes and goes: each step waits for it, none ends the process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hookline.analytics import process as module
from hookline.analytics.config import QueryConfig
from hookline.analytics.gateway import Gateway
from hookline.analytics.process import SinkProcess
from hookline.kernel.config import load
from hookline.kernel.errors import WarehouseUnavailable
from hookline.kernel.lifecycle import Stop

pytestmark = pytest.mark.unit


class Away:
    """A warehouse that gives no further session the first time."""

    def __init__(self) -> None:
        self.asked = 0

    def another(self) -> Away:
        """Give a session from the second time on."""
        self.asked += 1
        if self.asked == 1:
            raise WarehouseUnavailable("connection refused")
        return self

    def close(self) -> None:
        """Have nothing to close."""


class Part:
    """Stands for the sink and what runs beside it; what it is asked to run ends with a stop."""

    stalled = trouble = ""

    def __init__(self, *_: object) -> None:
        """Take anything."""

    def run(self, stop: Stop) -> None:
        """Be done at once."""
        stop.set()

    def start(self) -> None:
        """Have nothing to read."""

    def stop(self) -> None:
        """Have nothing to leave."""


def test_a_clickhouse_that_is_killed_during_the_start_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It answered a moment ago and does not now: the process asks again."""
    for name in ("Sink", "Erasures", "Redaction", "Auditor", "Codec"):
        monkeypatch.setattr(module, name, Part)
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "HOOKLINE_STATE_DIR": str(tmp_path), "HOOKLINE_METRICS_PORT": "0"}
    warehouse: Any = Away()
    registry: Any = None
    SinkProcess(environ)._sink(warehouse, registry, Stop())
    assert warehouse.asked == 3


def test_a_gateway_without_sessions_leaves_the_port() -> None:
    """So that the next try finds it free."""
    config = load(QueryConfig, {"HOOKLINE_QUERY_TOKEN": os.urandom(16).hex(), "HOOKLINE_QUERY_PORT": "0"})
    warehouse: Any = Away()
    gateway = Gateway(config, warehouse)
    with pytest.raises(WarehouseUnavailable):
        gateway.start()
    assert gateway._server is None
    gateway.start()
    assert gateway.port > 0
    gateway.stop()
