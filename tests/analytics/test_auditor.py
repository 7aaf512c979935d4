"""The audit that runs by itself finds what is there twice, what is missing, and sums that are off; and tells so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY

from hookline.analytics.auditor import Auditor
from hookline.analytics.client import ClickHouse
from hookline.kernel.lifecycle import Stop
from hookline.schemas.records import Attempt

pytestmark = pytest.mark.clickhouse

Rig = Any  # the fixture's class stands in conftest.py
Fill = Callable[[Sequence[Attempt]], None]
HOUR_US = 3_600_000_000
HARM = {
    "a sum of webhooks lost": "ALTER TABLE attempt_stats_hourly DELETE WHERE webhook_id = 'wh_1' SETTINGS mutations_sync = 1",
    "a sum of the store lost": "ALTER TABLE attempt_stats_hourly DELETE WHERE webhook_id = '' SETTINGS mutations_sync = 1",
    "rows lost": "ALTER TABLE attempts DELETE WHERE log_offset < 7 SETTINGS mutations_sync = 1",
}


def stopped() -> Stop:
    """Return a stop that is set already, so that nothing is looked at again."""
    stop = Stop()
    stop.set()
    return stop


def audits(result: str) -> float:
    """Return how many audits ended so."""
    return REGISTRY.get_sample_value("hookline_sink_audits_total", {"result": result}) or 0.0


@pytest.fixture
def now_us() -> int:
    """Return the time that is taken for now."""
    return time.time_ns() // 1_000


@pytest.fixture
def written(warehouse: ClickHouse, rig: Rig, fill: Fill, now_us: int) -> ClickHouse:
    """Give a warehouse with sixty rows of the last hours."""
    fill([rig.attempt(webhook_id=f"wh_{n % 3}", attempted_at_us=now_us - HOUR_US - n * 60_000_000) for n in range(60)])
    return warehouse


def test_what_adds_up_is_told_in_a_metric(written: ClickHouse, now_us: int) -> None:
    """All rows of whole hours are counted, and nothing differs."""
    before = audits("adds_up")
    found = Auditor(written, 1, now_us=lambda: now_us + HOUR_US).step(stopped())
    assert (found.rows, found.counted, found.summed, found.summed_whole, found.doubled, found.difference) == (60, 60, 60, 60, 0, 0)
    assert audits("adds_up") == before + 1
    assert REGISTRY.get_sample_value("hookline_sink_audit_difference_rows") == 0


@pytest.mark.parametrize("harm", HARM)
def test_what_is_off_is_found(written: ClickHouse, now_us: int, harm: str) -> None:
    """Whatever table is short, the audit differs, by so many rows."""
    before = audits("differs")
    written.execute(HARM[harm])
    found = Auditor(written, 1, now_us=lambda: now_us + HOUR_US).step(stopped())
    assert found.difference >= 7
    assert audits("differs") == before + 1
    assert REGISTRY.get_sample_value("hookline_sink_audit_difference_rows") == found.difference


def test_a_batch_that_is_there_twice_is_found_by_a_sample(written: ClickHouse, now_us: int) -> None:
    """Its rows and its sums are doubled, so that the sums agree; the offsets tell, also when only each sixth is looked at."""
    written.execute("INSERT INTO attempts SELECT * FROM attempts SETTINGS insert_deduplicate = 0")
    found = Auditor(written, 1, now_us=lambda: now_us + HOUR_US, sample=20).step(stopped())
    assert found.counted == found.summed == 120
    assert (found.every, found.doubled) == (6, 10)


def test_an_empty_log_adds_up(warehouse: ClickHouse) -> None:
    """Nothing is no difference."""
    found = Auditor(warehouse, 1).step(stopped())
    assert (found.rows, found.difference) == (0, 0)


def test_it_runs_until_the_stop_and_outlives_a_failure(written: ClickHouse) -> None:
    """Without its tables an audit fails and is counted; once they are back the next one works."""
    stop, before = Stop(), (audits("failed"), audits("adds_up"))

    class Once:
        """Fails once, then takes back the harm."""

        def rows(self, query: str, parameters: Any = None) -> Any:
            if audits("failed") == before[0]:
                return written.rows("SELECT * FROM nowhere")
            stop.set()
            return written.rows(query, parameters)

        def close(self) -> None:
            """Let the test's session live."""

    client: Any = Once()
    Auditor(client, 0.01).run(stop)
    assert (audits("failed"), audits("adds_up")) == (before[0] + 1, before[1] + 1)
