"""The real `hookline sink` on a real Kafka and the embedded ClickHouse: each attempt there once, whatever happens to the process."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from hookline.analytics.queries import Audit, LogFilter, delivery, log_page
from hookline.analytics.shares import intent
from hookline.analytics.sink import GROUP
from hookline.kernel import kafka
from hookline.local.kafka_broker import free_port
from tests.losing import LOSING

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.process]

Attempts = Any  # the fixtures' classes stand in conftest.py
Until = Callable[..., None]


def _whole(count: int) -> Audit:
    return Audit(rows=count, distinct=count, counted=count, summed=count, summed_whole=count)


def test_attempts_arrive_once_and_can_be_asked_for(attempts: Attempts, until: Until) -> None:
    """What is on Kafka before and after the start is in the log, in the sums, and answered over HTTP while rows arrive."""
    made = attempts.produce(500)
    sink = attempts.sink()
    until(lambda: sink.audit() == _whole(500), what="the rows from before the start")
    made += attempts.produce(300)
    until(lambda: sink.audit() == _whole(800), what="the rows from after the start")
    page = log_page(sink.queries, LogFilter(store_id="shop", limit=1_000))
    assert {row["attempt_id"] for row in page.rows} == {one.attempt_id for one in made}
    assert delivery(sink.queries, "shop", made[7].delivery_id)[0]["attempt_id"] == made[7].attempt_id
    assert sink.complaint() == ""
    rows, lag = "hookline_sink_rows_total", "hookline_sink_lag_records"
    until(lambda: (sink.metric(rows), sink.metric(lag)) == (800, 0), what="all rows counted and no lag")
    assert sink.metric(lag) == 0
    assert sink.metric(rows) == 800


@pytest.mark.timeout(400)
def test_sigkill_under_load_loses_and_doubles_nothing(attempts: Attempts, until: Until) -> None:
    """Killed eight times at random moments while attempts keep coming: rows = distinct = sums = attempts produced."""
    rng, total, replays = random.Random(5), 0, 0
    for _ in range(8):
        sink = attempts.sink(HOOKLINE_SINK_BATCH_ROWS="400", HOOKLINE_SESSION_TIMEOUT_MS="2500")
        total += len(attempts.produce(rng.randrange(1_500, 3_000)))
        until(lambda sink=sink: sink.metric("hookline_sink_batches_total") > 0, what="a first batch")
        total += len(attempts.produce(rng.randrange(1_500, 3_000)))
        time.sleep(rng.uniform(0.0, 0.15))
        sink.process.send_signal(signal.SIGKILL)
        sink.process.wait(10)
        replays += len(sink.said("sink.replayed"))
    last = attempts.sink()
    until(lambda: last.audit() == _whole(total), 120, what=f"{total} rows")
    replays += len(last.said("sink.replayed"))
    assert replays > 0, "no kill came between an intent and its end: the test proved nothing about them"


def _only_partition(attempts: Attempts) -> int:
    """Return the partition that one webhook's attempts lie in."""
    [found] = {message.partition() or 0 for message in kafka.scan(attempts.config, [attempts.topics.attempts])}
    return found


def _announce(attempts: Attempts, partition: int, first: int, last: int) -> None:
    """Commit an intent, as a sink does right before it inserts."""
    consumer = kafka.plain_consumer(attempts.config, group_id=f"{attempts.config.topic_prefix}.{GROUP}")
    consumer.commit(offsets=[TopicPartition(attempts.topics.attempts, partition, first, intent(last))], asynchronous=False)
    consumer.close()


def test_a_lost_client_is_replaced_while_the_process_goes_on(attempts: Attempts, until: Until) -> None:
    """Lost three times in the middle of its work: another one goes on where the offsets are, and each attempt is there once."""
    sink, total = attempts.sink(HOOKLINE_SINK_BATCH_ROWS="400", **LOSING), 0
    for number in range(1, 4):
        total += len(attempts.produce(2_000))
        until(lambda least=number: len(sink.said("sink.assigned")) >= least, what="partitions for each client")
        sink.process.send_signal(signal.SIGUSR1)
    total += len(attempts.produce(500))
    until(lambda: sink.audit() == _whole(total), 60, what=f"{total} rows")
    until(lambda: len(sink.said("sink.assigned")) == 4, what="partitions for the last client")
    assert sink.complaint() == ""
    sink.process.terminate()
    assert sink.process.wait(20) == 0
    assert len(sink.said("sink.assigned")) == 4


def test_an_announced_batch_is_written_exactly_as_announced(attempts: Attempts, until: Until) -> None:
    """An intent left behind by another is carried out first, with its own borders, then the rest."""
    attempts.produce(50, webhook_id="wh_0")
    partition = _only_partition(attempts)
    _announce(attempts, partition, 10, 29)
    sink = attempts.sink()
    until(lambda: sink.audit() == _whole(40), what="the rows from offset 10 on")
    [replay] = sink.said("sink.replayed")
    assert (replay["partition"], replay["first"], replay["last"]) == (partition, 10, 29)


def test_a_torn_batch_adds_only_what_is_missing(attempts: Attempts, until: Until) -> None:
    """Retention took the first records of an announced batch that had been inserted: the others are not doubled."""
    attempts.produce(50, webhook_id="wh_0")
    partition = _only_partition(attempts)
    first = attempts.sink()
    until(lambda: first.audit() == _whole(50), what="50 rows")
    first.process.send_signal(signal.SIGTERM)
    first.process.wait(30)
    _announce(attempts, partition, 0, 49)
    client = kafka.admin(attempts.config)
    [deleted] = client.delete_records([TopicPartition(attempts.topics.attempts, partition, 20)]).values()
    deleted.result(20)
    attempts.produce(5, webhook_id="wh_0")
    second = attempts.sink()
    until(lambda: second.said("sink.replayed") and second.audit() == _whole(55), what="five more rows")
    [gone] = second.said("sink.announced_records_gone")
    assert (gone["first"], gone["last"], gone["low"]) == (0, 49, 20)


def _taken_while_away(attempts: Attempts, until: Until, low: int) -> int:
    """Have a sink write 50 rows and stop, produce 30 more, and take away all below an offset; return their partition."""
    attempts.produce(50, webhook_id="wh_0")
    partition = _only_partition(attempts)
    first = attempts.sink()
    until(lambda: first.audit() == _whole(50), what="50 rows")
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(30) == 0
    attempts.produce(30, webhook_id="wh_0")
    client = kafka.admin(attempts.config)
    [deleted] = client.delete_records([TopicPartition(attempts.topics.attempts, partition, low)]).values()
    deleted.result(20)
    return partition


def test_what_retention_took_unread_is_counted(attempts: Attempts, until: Until) -> None:
    """A sink that comes back too late says how many attempts are gone; the others are in the log."""
    partition = _taken_while_away(attempts, until, 70)
    second = attempts.sink()
    until(lambda: second.audit() == _whole(60), what="those that were left")
    assert second.metric("hookline_sink_missed_records_total") == 20
    [gone] = second.said("sink.records_gone")
    assert (gone["partition"], gone["records"]) == (partition, 20)


def test_what_retention_took_wholly_is_counted_once(attempts: Attempts, until: Until) -> None:
    """No record is left to tell by, nor comes: the sink says how many are gone all the same, and the next one begins behind them."""
    _taken_while_away(attempts, until, 80)
    second = attempts.sink()
    until(lambda: second.metric("hookline_sink_missed_records_total") == 30, what="the loss counted")
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(30) == 0
    third = attempts.sink()
    attempts.produce(5, webhook_id="wh_0")
    until(lambda: third.audit() == _whole(55), what="new rows")
    assert third.metric("hookline_sink_missed_records_total") == 0
    assert len(second.said("sink.records_gone")) == 1


def test_sigterm_writes_what_is_held_and_leaves_nothing_announced(attempts: Attempts, until: Until) -> None:
    """It ends by itself with status 0; the next one has nothing to replay and nothing is missing."""
    sink = attempts.sink(HOOKLINE_SINK_BATCH_WAIT_S="60")
    until(lambda: sink.complaint() == "", what="ready")
    attempts.produce(900)
    time.sleep(1)
    sink.process.send_signal(signal.SIGTERM)
    assert sink.process.wait(30) == 0
    assert sink.said("sink.stopped")
    after = attempts.sink()
    until(lambda: after.audit() == _whole(900) and after.complaint() == "", what="900 rows and a partition")
    attempts.produce(10)
    until(lambda: after.audit() == _whole(910), what="new rows")
    assert after.said("sink.replayed") == []


def test_bad_records_are_put_aside_and_the_rest_goes_on(attempts: Attempts, until: Until) -> None:
    """Nonsense, a cut record, a tombstone and a value that does not fit are on the rejected topic, the good ones in the log."""
    attempts.produce(20)
    whole = attempts.codec.encode_attempt(attempts.produce(1)[0])
    bad = [b"nonsense", whole[:-2], None, attempts.codec.encode_attempt(attempts.produce(1, attempt=70_000)[0])]
    for value in bad[:3]:
        attempts.produce_raw(value)
    attempts.flush()
    attempts.produce(20)
    sink = attempts.sink()
    until(lambda: sink.audit() == _whole(41), what="the good rows")
    until(lambda: len(attempts.rejected()) == 4, what="the bad records")
    assert set(attempts.rejected()) == {value or b"" for value in bad}
    assert sink.complaint() == ""


def test_a_poison_flood_waits_and_says_so(attempts: Attempts, until: Until) -> None:
    """Above the limit nothing is put aside; /readyz tells where it began; with a higher limit it goes on."""
    for number in range(60):
        attempts.produce_raw(b"junk %d" % number)
    attempts.flush()
    attempts.produce(5, webhook_id="wh_0")
    sink = attempts.sink(HOOKLINE_SINK_MAX_REJECTED="50")
    until(lambda: "60 of 65 attempt records cannot be read" in sink.complaint(), what="the complaint")
    assert attempts.rejected() == []
    assert sink.page("/healthz")[0] == 200
    sink.process.send_signal(signal.SIGTERM)
    assert sink.process.wait(30) == 0
    patient = attempts.sink(HOOKLINE_SINK_MAX_REJECTED="60")
    until(lambda: patient.audit() == _whole(5), what="the good rows")
    assert len(attempts.rejected()) == 60


def test_a_missing_topic_is_waited_for_by_name(attempts: Attempts, until: Until) -> None:
    """The sink starts, says which topic lacks and the command, and works once it is there."""
    attempts.environ["HOOKLINE_TOPIC_PREFIX"] += "x"
    sink = attempts.sink()
    until(lambda: f"Topic {attempts.environ['HOOKLINE_TOPIC_PREFIX']}.attempts does not exist" in sink.complaint(), what="the complaint")
    assert any("hookline topics create" in line["remedy"] for line in sink.said("sink.waiting"))
    later = type(attempts)(attempts.environ, sink.log.parent, attempts._rig)
    later.create_topics()
    later.produce(30)
    until(lambda: sink.audit() == _whole(30), what="30 rows")
    later.close()


def test_a_kafka_that_is_away_is_waited_for_by_address(attempts: Attempts, until: Until) -> None:
    """Started before Kafka: not ready, alive, and the reason names Kafka; SIGTERM still ends it at once."""
    sink = attempts.sink(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    until(lambda: "Kafka" in sink.complaint(), what="the complaint")
    assert sink.page("/healthz")[0] == 200
    sink.process.send_signal(signal.SIGTERM)
    assert sink.process.wait(60) == 0


def test_a_folder_in_use_ends_the_second_process_with_the_remedy(attempts: Attempts, until: Until) -> None:
    """An engine takes one process per folder: the second says so in two lines, without a stack, and ends with status 1."""
    first = attempts.sink()
    until(lambda: first.complaint() == "", what="ready")
    second = attempts.sink()
    assert second.process.wait(60) == 1
    text = second.log.read_text()
    assert "is in use by another process" in text
    assert "HOOKLINE_QUERY_URL" in text
    assert "Traceback" not in text


def test_a_corrupt_folder_ends_the_process_with_the_remedy(attempts: Attempts, until: Until) -> None:
    """A damaged table definition is not silently left out: the process names the folder and what to do."""
    first = attempts.sink()
    attempts.produce(5)
    until(lambda: first.audit() == _whole(5), what="5 rows")
    first.process.send_signal(signal.SIGTERM)
    first.process.wait(30)
    state = first.log.parent / "state" / "clickhouse"
    damaged = next(path for path in state.glob("store/*/*/*.sql") if path.name == "attempts.sql")
    damaged.write_text("garbage")
    second = attempts.sink()
    assert second.process.wait(60) == 1
    text = second.log.read_text()
    assert f"The ClickHouse folder {state} cannot be opened" in text
    assert "what to do:" in text
    assert "Traceback" not in text


def test_leftovers_of_a_killed_process_are_cleared(attempts: Attempts, until: Until) -> None:
    """Every insert goes through a temporary file in the state folder; the next start removes what a kill left."""
    first = attempts.sink()
    until(lambda: first.complaint() == "", what="ready")
    folder = first.log.parent / "state" / "clickhouse.tmp"
    first.process.kill()
    first.process.wait(10)
    (folder / "left.raw").write_bytes(b"x" * 1_000)
    second = attempts.sink()
    attempts.produce(5)
    until(lambda: second.audit() == _whole(5), what="5 rows")
    assert not (folder / "left.raw").exists()
