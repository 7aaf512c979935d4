"""The sink against a ClickHouse server: it waits while the server is away, says so, and each attempt is there once afterwards."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from hookline.analytics import migrate
from hookline.analytics.queries import Audit

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.process]

Attempts = Any  # the fixtures' classes stand in conftest.py
Server = Any
Until = Callable[..., None]


def _whole(count: int) -> Audit:
    return Audit(rows=count, distinct=count, counted=count, summed=count, summed_whole=count)


@pytest.fixture
def served(attempts: Attempts, server: Server) -> Attempts:
    """Give the attempts topic with sinks that write to the server."""
    attempts.environ |= {"CLICKHOUSE_URL": server.url, "HOOKLINE_CLICKHOUSE_TIMEOUT_S": "2"}
    return attempts


def test_a_server_that_is_away_at_the_start_is_waited_for(served: Attempts, server: Server, until: Until) -> None:
    """Not ready, with its address and why; alive; then it works."""
    server.close()
    served.produce(50)
    sink = served.sink()
    until(lambda: "Connection refused" in sink.complaint(), what="the complaint")
    assert sink.page("/healthz")[0] == 200
    server.start()
    until(lambda: sink.audit() == _whole(50), what="50 rows")
    until(lambda: sink.complaint() == "", what="ready")


def test_missing_tables_are_waited_for_by_name(served: Attempts, server: Server, until: Until) -> None:
    """A server that nobody migrated: the complaint names the migrations and the command; the sink changes no server by itself."""
    client = server.client()
    migrate.down(client, steps=2)
    missing = ", ".join(f"{m.version:04}_{m.name}" for m in migrate.known()[-2:])
    sink = served.sink()
    until(lambda: f"{missing}: run `hookline migrate up`" in sink.complaint(), what="the complaint")
    served.produce(10)
    migrate.up(client, retention_days=30)
    until(lambda: sink.audit() == _whole(10), what="10 rows")
    client.close()


@pytest.mark.parametrize(
    ("mode", "complaint"),
    [
        ("refuse:252", "Code: 252"),  # too many parts; test_client.py has the other codes
        ("mute", "closed connection"),
        ("hang", "timed out"),
    ],
)
def test_a_failing_server_is_tried_again_until_it_works(served: Attempts, server: Server, until: Until, mode: str, complaint: str) -> None:
    """Nothing is skipped, put aside or doubled, also where the insert was done and only its answer lost; the group is kept."""
    sink = served.sink()
    served.produce(200)
    until(lambda: sink.audit() == _whole(200), what="rows before the fault")
    server.fault(mode, only="insert")
    served.produce(300)
    until(lambda: complaint in sink.complaint(), what="the complaint")
    served.produce(100)
    time.sleep(1)
    assert sink.page("/healthz")[0] == 200
    server.fault("ok")
    until(lambda: sink.audit() == _whole(600), what="all rows")
    until(lambda: sink.complaint() == "", what="ready")
    assert served.rejected() == []
    assert len(sink.said("sink.assigned")) == 1
    assert sink.said("sink.working")


def test_a_server_killed_under_load_loses_and_doubles_nothing(served: Attempts, server: Server, until: Until) -> None:
    """Killed and started again, five times, while attempts keep coming: the sink stays, and every sum is right."""
    rng, total = random.Random(11), 0
    sink = served.sink(HOOKLINE_SINK_BATCH_ROWS="300")
    until(lambda: sink.complaint() == "", what="ready")
    for _ in range(5):
        total += len(served.produce(rng.randrange(500, 1_500)))
        time.sleep(rng.uniform(0.0, 0.6))
        server.signal(signal.SIGKILL)
        total += len(served.produce(200))
        server.start()
    until(lambda: sink.audit() == _whole(total), 120, what=f"{total} rows")
    assert len(sink.said("sink.assigned")) == 1
    assert sink.process.poll() is None


def test_a_server_that_stands_still_costs_no_place_in_the_group(served: Attempts, server: Server, until: Until) -> None:
    """Longer than the session timeout: the sink keeps polling, holds a bounded number of records, and catches up."""
    sink = served.sink(HOOKLINE_SESSION_TIMEOUT_MS="6000", HOOKLINE_SINK_BATCH_ROWS="100")
    until(lambda: sink.complaint() == "", what="ready")
    server.signal(signal.SIGSTOP)
    served.produce(3_000)
    time.sleep(10)
    assert sink.page("/healthz")[0] == 200
    assert "timed out" in sink.complaint()
    server.signal(signal.SIGCONT)
    until(lambda: sink.audit() == _whole(3_000), what="3,000 rows")
    assert len(sink.said("sink.assigned")) == 1


def test_sigterm_ends_a_sink_that_waits_for_the_server(served: Attempts, server: Server, until: Until) -> None:
    """It does not wait for ever: what was announced is the next one's to write."""
    sink = served.sink()
    until(lambda: sink.complaint() == "", what="ready")
    server.fault("refuse:241", only="insert")
    served.produce(300)
    until(lambda: "241" in sink.complaint(), what="the complaint")
    sink.process.send_signal(signal.SIGTERM)
    assert sink.process.wait(40) == 0
    server.fault("ok")
    after = served.sink()
    until(lambda: after.audit() == _whole(300), what="300 rows")
    assert after.said("sink.replayed")


@pytest.mark.timeout(300)
def test_two_sinks_share_and_take_over(served: Attempts, until: Until) -> None:
    """Under load a second joins, one leaves, one is killed, one comes back: each attempt is there once."""
    total = 0

    def load() -> None:
        nonlocal total
        total += len(served.produce(1_200))

    settings = {"HOOKLINE_SINK_BATCH_ROWS": "200", "HOOKLINE_SESSION_TIMEOUT_MS": "2500"}
    first = served.sink(**settings)
    load()
    second = served.sink(**settings)
    until(lambda: second.said("sink.assigned"), what="the second has partitions")
    load()
    first.process.send_signal(signal.SIGTERM)
    load()
    assert first.process.wait(40) == 0
    third = served.sink(**settings)
    load()
    until(lambda: third.said("sink.assigned"), what="the third has partitions")
    load()
    second.process.kill()
    load()
    until(lambda: third.audit() == _whole(total), 120, what=f"{total} rows")


@pytest.mark.timeout(300)
def test_a_sink_that_stood_still_does_no_harm_when_it_wakes(served: Attempts, until: Until) -> None:
    """Stopped in the middle of its work for longer than its session, then let go on while another has its partitions."""
    settings = {"HOOKLINE_SINK_BATCH_ROWS": "100", "HOOKLINE_SESSION_TIMEOUT_MS": "2500"}
    zombie = served.sink(**settings)
    until(lambda: zombie.complaint() == "", what="ready")
    served.produce(2_500)
    until(lambda: zombie.metric("hookline_sink_batches_total") > 0, what="a first batch")
    zombie.process.send_signal(signal.SIGSTOP)
    other = served.sink(**settings)
    served.produce(500)
    until(lambda: other.audit() == _whole(3_000), what="the other has written all")
    zombie.process.send_signal(signal.SIGCONT)
    served.produce(500)
    until(lambda: other.audit() == _whole(3_500), what="nothing doubled")
    until(lambda: zombie.complaint() == "", what="the woken one is well again")
    served.produce(500)
    until(lambda: other.audit() == _whole(4_000), what="both go on")


def test_a_sink_without_a_partition_is_ready(served: Attempts, until: Until) -> None:
    """With more sinks than partitions one stands by: that is no trouble."""
    sinks = [served.sink() for _ in range(4)]
    for sink in sinks:
        until(lambda sink=sink: sink.complaint() == "", what="ready")
    served.produce(90)
    until(lambda: sinks[0].audit() == _whole(90), what="90 rows")
