"""A new build meets tables of the one before, while attempts go on arriving: it waits, says why, and loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from hookline.analytics import migrate

pytestmark = [pytest.mark.kafka, pytest.mark.process, pytest.mark.clickhouse]

Attempts = Any  # the fixtures' classes stand in conftest.py
Server = Any
Until = Callable[..., None]


def test_an_upgrade_under_traffic_loses_and_doubles_nothing(attempts: Attempts, server: Server, until: Until) -> None:
    """The sink of this build waits before the tables of the last one, by the migration's name; after `migrate up` all is there once."""
    client = server.client()
    [taken_back] = migrate.down(client, steps=1)
    produced, ended = [0], threading.Event()

    def produce() -> None:
        while not ended.is_set():
            produced[0] += len(attempts.produce(50))
            time.sleep(0.1)

    traffic = threading.Thread(target=produce)
    traffic.start()
    try:
        sink = attempts.sink(CLICKHOUSE_URL=server.url)
        until(lambda: taken_back.name in sink.complaint(), what="the migration named")
        assert client.rows("SELECT count() AS n FROM attempts")[0]["n"] == 0
        environ = {**os.environ, **attempts.environ, "CLICKHOUSE_URL": server.url}
        subprocess.run(
            [sys.executable, "-m", "hookline.cli.main", "migrate", "up"], env=environ, check=True, capture_output=True, timeout=120
        )
        until(lambda: client.rows("SELECT count() AS n FROM attempts")[0]["n"] > 0, what="the first rows")
        before = produced[0]
        until(lambda: produced[0] > before + 100, what="more traffic after the upgrade")
    finally:
        ended.set()
        traffic.join(60)
    until(lambda: client.rows("SELECT count() AS n FROM attempts")[0]["n"] >= produced[0], what="every attempt")
    [found] = client.rows("SELECT count() AS n, uniqExact(log_partition, log_offset) AS places, uniqExact(attempt_id) AS ids FROM attempts")
    assert (found["n"], found["places"], found["ids"]) == (produced[0],) * 3
    [sums] = client.rows("SELECT sum(records) AS n FROM attempt_stats_hourly WHERE webhook_id != ''")
    assert sums["n"] == client.rows("SELECT countIf(trigger != 'test') AS n FROM attempts")[0]["n"] > 0
    client.close()
