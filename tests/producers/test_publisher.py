"""The publisher for threads: what it returns is on Kafka, and each way to fail has its own error."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from hookline.kernel.errors import BrokerError, Closed, InputError, PayloadTooLarge, QueueFull, Undelivered, UnknownEventType
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.kafka import producer as real_producer
from hookline.producers.publisher import Outcome, Published, Publisher, bulk
from tests.producers.fakes import SETTINGS, event, mock_producer, publisher, stock

pytestmark = pytest.mark.unit


class Recorder:
    """A producer that sends nothing and counts what it was given."""

    def __init__(self) -> None:
        self.produced = 0

    def produce(self, *_: object, **__: object) -> None:
        """Count."""
        self.produced += 1

    def poll(self, timeout: float) -> int:
        """Have nothing to serve, after a while."""
        threading.Event().wait(min(timeout, 0.05))
        return 0

    def flush(self, _: float = 0) -> int:
        """Have nothing left."""
        return 0

    def purge(self) -> None:
        """Have nothing to drop."""

    def __len__(self) -> int:
        return 0


class Broken(Recorder):
    """A producer that has failed for good."""

    def produce(self, *_: object, **__: object) -> None:
        """Fail as librdkafka does after a fatal error."""
        raise KafkaException(KafkaError(KafkaError.INVALID_PRODUCER_EPOCH, "fenced", fatal=True))


@pytest.fixture
def mocked() -> Iterator[Publisher]:
    """Yield a publisher on a mock broker."""
    with publisher() as found:
        yield found


@pytest.fixture
def alone() -> Iterator[Publisher]:
    """Yield a publisher whose broker is not there."""
    found = publisher(real_producer)
    found.start()
    yield found
    with suppress(Undelivered):
        found.close(0)


def test_publish_returns_where_the_event_lies(mocked: Publisher) -> None:
    """The place is topic, partition and offset as Kafka confirmed them."""
    found = [mocked.publish(event()) for _ in range(3)]
    assert {place.topic for place in found} == {"hookline.events.products"}
    assert len({(place.partition, place.offset) for place in found}) == 3


def test_publish_many_keeps_the_order(mocked: Publisher) -> None:
    """Events of one entity lie in one partition, in the order they were given."""
    found = mocked.publish_many(event() for _ in range(50))
    assert len({place.partition for place in found}) == 1
    assert [place.offset for place in found] == sorted(place.offset for place in found)


def test_publish_many_checks_all_before_the_first_goes_out(mocked: Publisher) -> None:
    """One wrong event stops the whole list, and the error says which."""
    with pytest.raises(InputError) as caught:
        mocked.publish_many([event(), event(data={**stock(), "delta": "x"}), event()])
    assert caught.value.field == "events[1].data.delta"


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (event(type="order.creatd"), UnknownEventType),
        (event(data={**stock(), "delta": 2**63}), InputError),
        (event(data={**stock(), "delta": float("nan")}), InputError),
        (event(data={**stock(), "title": "\ud800"}), InputError),
        (event(occurred_at=datetime(2026, 3, 14)), InputError),  # noqa: DTZ001  # naive on purpose
        (event(data={**stock(), "title": "x" * 300_000}), PayloadTooLarge),
        ("an event", InputError),
    ],
)
@pytest.mark.parametrize("way", ["publish", "publish_many", "send"])
def test_a_wrong_event_never_reaches_kafka(wrong: Any, kind: type[InputError], way: str) -> None:
    """The typed error comes from the call itself, before librdkafka is asked anything."""
    recorder = Recorder()
    with publisher(lambda *_, **__: recorder) as found:  # type: ignore[arg-type]
        calls: dict[str, Callable[[], object]] = {
            "publish": lambda: found.publish(wrong),
            "publish_many": lambda: found.publish_many([event(), wrong]),
            "send": lambda: found.send(wrong, lambda _: None),
        }
        with pytest.raises(kind):
            calls[way]()
    assert recorder.produced == 0


def test_a_full_queue_is_an_error_after_the_deadline(alone: Publisher) -> None:
    """`send` says so at once, `publish` when there was no room in its time."""
    for _ in range(1_000):
        alone.send(event(), lambda _: None)
    with pytest.raises(QueueFull, match="queue is full"):
        alone.send(event(), lambda _: None)
    with pytest.raises(QueueFull):
        alone.publish(event(), timeout_s=0.05)


def test_what_is_not_confirmed_in_time_is_undelivered(alone: Publisher) -> None:
    """The error says that the event may have arrived, and to use the same id again."""
    with pytest.raises(Undelivered, match=r"did not confirm 1 event in 0.1 s.*same id"):
        alone.publish(event(), timeout_s=0.1)
    with pytest.raises(Undelivered, match="did not confirm 3 events"):
        alone.publish_many([event() for _ in range(3)], timeout_s=0.1)


def test_flush_that_leaves_events_says_how_many(alone: Publisher) -> None:
    """A timeout of flush is an error with the number, not a number to be overlooked."""
    for _ in range(2):
        alone.send(event(), lambda _: None)
    with pytest.raises(Undelivered, match="2 events"):
        alone.flush(0.05)


def test_a_report_of_the_client_is_no_event() -> None:
    """Statistics that come while a flush ends are in the client's count; nobody is told of an event that there never was."""

    class Reporting(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.reports = 1

        def flush(self, _: float = 0) -> int:
            return self.reports

        def poll(self, _: float = 0) -> int:
            self.reports = 0
            return 1

        def __len__(self) -> int:
            return self.reports

    found = publisher(lambda *_, **__: Reporting())  # type: ignore[arg-type]
    found.open()
    found.flush(0.01)
    found.close(0.01)


def test_close_that_leaves_events_tells_their_callbacks() -> None:
    """Each event that was given up is reported as undelivered, and close raises."""
    found = publisher(real_producer)
    found.start()
    outcomes: list[Outcome] = []
    for _ in range(3):
        found.send(event(), outcomes.append)
    with pytest.raises(Undelivered, match="3 events"):
        found.close(0.05)
    assert [type(outcome) for outcome in outcomes] == [Undelivered] * 3
    found.close()


def test_the_delivery_timeout_is_an_outcome() -> None:
    """An event that Kafka never took is undelivered after the configured time, without anybody waiting for it."""
    with publisher(real_producer, delivery_timeout_s=1) as found:
        done = threading.Event()
        outcomes: list[Outcome] = []

        def tell(outcome: Outcome) -> None:
            outcomes.append(outcome)
            done.set()

        found.send(event(), tell)
        assert done.wait(30)
        assert isinstance(outcomes[0], Undelivered)


def test_before_start_and_after_close_it_is_closed() -> None:
    """Both say so instead of hanging; closing twice is fine; it can be started again."""
    found = publisher()
    for _ in range(2):
        with pytest.raises(Closed, match="not open"):
            found.publish(event())
        found.start()
        found.start()
        assert found.publish(event()).topic == "hookline.events.products"
        found.close()
        found.close()
    with pytest.raises(Closed):
        found.flush()


def test_publish_in_a_callback_is_refused(mocked: Publisher) -> None:
    """It would wait for the thread it runs in; `send` is allowed there."""
    caught: list[BaseException] = []
    second: list[Outcome] = []
    done = threading.Event()

    def again(outcome: Outcome) -> None:
        second.append(outcome)
        done.set()

    def tell(_: Outcome) -> None:
        for call in (lambda: mocked.publish(event()), lambda: mocked.publish_many([event()]), mocked.flush):
            try:
                call()
            except InputError as error:
                caught.append(error)
        mocked.send(event(), again)

    mocked.send(event(), tell)
    assert done.wait(30)
    assert len(caught) == 3
    assert isinstance(second[0], Published)


def test_a_callback_that_raises_stops_nobody(mocked: Publisher) -> None:
    """Its error is logged; later events are confirmed."""

    def fail(_: Outcome) -> None:
        raise RuntimeError("a fault of the caller")

    mocked.send(event(), fail)
    assert [mocked.publish(event()).topic for _ in range(3)] == ["hookline.events.products"] * 3


def test_a_producer_that_failed_for_good_is_replaced_once() -> None:
    """The event goes out through a new one; nothing is wrong with the process."""
    made: list[Any] = []

    def make(config: KafkaConfig, **extra: object) -> Any:
        made.append(mock_producer(config, **extra) if made else Broken())
        return made[-1]

    with publisher(make) as found:
        assert found.publish(event()).topic == "hookline.events.products"
        assert len(made) == 2
        assert found.complaint() == ""


def test_a_producer_that_is_lost_is_replaced() -> None:
    """Nobody has to publish for that: its statistics tell it, in the thread that serves it."""
    made: list[Any] = []

    class Lost(Recorder):
        def __init__(self, hear: Callable[[str], None]) -> None:
            super().__init__()
            self._hear = hear

        def poll(self, _: float = 0) -> int:
            self._hear('{"brokers":{":0/internal":{"source":"internal"}}}')
            return 0

    def make(config: KafkaConfig, **extra: Any) -> Any:
        made.append(mock_producer(config, **extra) if made else Lost(extra["stats_cb"]))
        return made[-1]

    with publisher(make) as found:
        deadline = time.monotonic() + 30
        while len(made) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found.publish(event()).topic == "hookline.events.products"
        assert (len(made), found.complaint()) == (2, "")


def test_a_producer_that_is_lost_again_is_replaced_again() -> None:
    """A cluster that names nobody for long loses one after the other."""
    hears: list[Callable[[str], None]] = []

    def make(config: KafkaConfig, **extra: Any) -> Any:
        hears.append(extra["stats_cb"])
        return mock_producer(config, **{name: value for name, value in extra.items() if name not in {"stats_cb", "statistics_interval_ms"}})

    with publisher(make) as found:
        for number in range(1, 4):
            for _ in range(2):
                hears[-1]('{"brokers":{":0/internal":{"source":"internal"}}}')
            deadline = time.monotonic() + 30
            while len(hears) == number and time.monotonic() < deadline:
                time.sleep(0.01)
        assert found.publish(event()).topic == "hookline.events.products"
        assert (len(hears), found.complaint()) == (4, "")


def test_a_producer_that_fails_again_at_once_is_a_complaint() -> None:
    """The second failure within a minute is raised, and the process is unfit."""
    with publisher(lambda *_, **__: Broken()) as found:  # type: ignore[arg-type]
        with pytest.raises(BrokerError):
            found.publish(event())
        with pytest.raises(BrokerError):
            found.publish(event())
        assert "failed twice" in found.complaint()


FORKING = """
import os, sys
from tests.producers.fakes import event, publisher
from hookline.kernel.errors import Closed
with publisher() as found:
    found.publish(event())
    pid = os.fork()
    if not pid:
        try:
            found.publish(event())
        except Closed as error:
            print(error, flush=True)
            found.close()
            os._exit(7)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 7 << 8
    found.publish(event())
print("parent went on")
"""


@pytest.mark.process
def test_after_a_fork_the_child_is_refused_and_the_parent_goes_on() -> None:
    """The threads of librdkafka do not live in the child, where its queue would never move."""
    command = [sys.executable, "-W", "ignore", "-c", FORKING]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr
    assert "before this process was forked" in run.stdout
    assert run.stdout.endswith("parent went on\n")


def test_bulk_settings_only_wait_longer() -> None:
    """A configured wait that is longer already is kept."""
    assert bulk(SETTINGS).linger_ms == 5
    assert bulk(replace(SETTINGS, linger_ms=20)).linger_ms == 20
    assert replace(bulk(SETTINGS), linger_ms=0) == SETTINGS
    assert (SETTINGS.settings()["compression_type"], bulk(SETTINGS).settings()["compression_type"]) == ("lz4", "zstd")
