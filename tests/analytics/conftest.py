"""What the tests of the analytics side share: attempts, records as the sink gets them, a fresh ClickHouse per test."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hookline.analytics import migrate
from hookline.analytics.client import ClickHouse, open_client
from hookline.analytics.gateway import RemoteQueries
from hookline.analytics.queries import Audit, Queries, audit
from hookline.analytics.rows import columns
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import HooklineError, RegistryUnavailable, UnknownSchema
from hookline.kernel.kafka import KafkaConfig
from hookline.local.kafka_broker import free_port
from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.records import Attempt, Outcome, Trigger
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec


class Registry:
    """This build's schemas under fixed ids; `down` makes it refuse to look anything up, as a registry that is away."""

    def __init__(self) -> None:
        self._subjects = dict(enumerate(SCHEMAS, start=1))
        self.down = False

    def id_of(self, subject: str) -> int:
        """Return a subject's id."""
        return next(number for number, known in self._subjects.items() if known == subject)

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return a schema."""
        return dict(SCHEMAS[self.subject_of(number)])

    def subject_of(self, number: int) -> str:
        """Return an id's subject."""
        if self.down:
            raise RegistryUnavailable("The schema registry does not answer")
        if number not in self._subjects:
            raise UnknownSchema(f"There is no schema {number}")
        return self._subjects[number]


@dataclasses.dataclass
class Record:
    """A Kafka message as far as the sink looks at it."""

    raw: bytes | None
    place: int
    share: int = 0
    name: str = "attempts"

    def value(self) -> bytes | None:
        """Return the bytes."""
        return self.raw

    def key(self) -> bytes:
        """Return a webhook's id."""
        return b"wh_1"

    def topic(self) -> str:
        """Return the topic."""
        return self.name

    def partition(self) -> int:
        """Return the partition."""
        return self.share

    def offset(self) -> int:
        """Return the offset."""
        return self.place

    def timestamp(self) -> tuple[int, int]:
        """Return that it came just now."""
        return 1, int(time.time() * 1_000)

    def __len__(self) -> int:
        return len(self.raw or b"")


class Rig:
    """Makes attempts and the records they travel in; `registry` is the one that the codec asks."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.codec = Codec(self.registry)  # type: ignore[arg-type]  # the three methods that a codec calls
        self._made = 0

    def attempt(self, **given: Any) -> Attempt:
        """Return an attempt of store `shop`, delivered at once unless told otherwise; its ids are its own."""
        self._made += 1
        number = self._made
        base = Attempt(
            attempt_id=f"att_{number:08}", delivery_id=f"msg_{number:08}", store_id="shop", webhook_id="wh_1",
            event_id=f"evt_{number:08}", event_type="order.created", trigger=Trigger.EVENT, attempt=1,
            attempted_at_us=time.time_ns() // 1_000 - 60_000_000 + number, outcome=Outcome.DELIVERED, http_status=200,
            response_time_us=12_000, queue_wait_us=300, url="https://shop.example.com/hook", source_topic="hookline.events.orders",
            source_partition=1, source_offset=number, source_timestamp_ms=time.time_ns() // 1_000_000, dispatcher="d1",
        )  # fmt: skip
        return dataclasses.replace(base, **given)

    def records(self, attempts: Sequence[Attempt], *, first: int = 0, partition: int = 0) -> list[Any]:
        """Return attempts as records at offsets from `first` on."""
        return [Record(self.codec.encode_attempt(one), first + index, partition) for index, one in enumerate(attempts)]

    def record(self, raw: bytes | None, offset: int) -> Any:
        """Return bytes as a record."""
        return Record(raw, offset)

    def table(self, attempts: Sequence[Attempt], *, first: int = 0, partition: int = 0) -> pa.Table:
        """Return attempts as the rows that the sink inserts."""
        return columns(self.records(attempts, first=first, partition=partition), [dataclasses.asdict(one) for one in attempts])


@pytest.fixture
def rig() -> Rig:
    """Give the maker of attempts and records."""
    return Rig()


@pytest.fixture
def clickhouse_environ(tmp_path: Path) -> dict[str, str]:
    """Return the environment of an embedded ClickHouse in the test's own folder."""
    return {"HOOKLINE_STATE_DIR": str(tmp_path)}


@pytest.fixture
def empty_warehouse(clickhouse_environ: dict[str, str]) -> Iterator[ClickHouse]:
    """Yield a real ClickHouse without tables. One at a time: an engine has one folder per process."""
    client = open_client(clickhouse_environ)
    yield client
    client.close()


@pytest.fixture
def warehouse(empty_warehouse: ClickHouse) -> ClickHouse:
    """Return a real ClickHouse with this build's tables."""
    migrate.up(empty_warehouse, retention_days=30)
    return empty_warehouse


@pytest.fixture
def fill(warehouse: ClickHouse, rig: Rig) -> Callable[[Sequence[Attempt]], None]:
    """Give a function that puts attempts into the log, as the sink would, each call at offsets of its own."""
    filled = 0

    def insert(attempts: Sequence[Attempt]) -> None:
        nonlocal filled
        warehouse.insert("attempts", rig.table(attempts, first=filled), {"async_insert": 0})
        filled += len(attempts)

    return insert


# ---- processes ----


def wait_until(condition: Callable[[], object], timeout_s: float = 90.0, what: str = "the condition") -> None:
    """Wait until a condition holds; fail the test with its name when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not in {timeout_s:g} s: {what}")
        time.sleep(0.05)


@pytest.fixture
def until() -> Callable[..., None]:
    """Give tests the waiting function."""
    return wait_until


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a process that may be stopped, paused or dead already."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


class Server:
    """A ClickHouse server process over a folder that outlives it; see `clickhouse_server.py`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What goes into CLICKHOUSE_URL."""
        return f"http://127.0.0.1:{self._port}/default"

    def start(self) -> None:
        """Start, or start again, and wait until it listens."""
        command = [sys.executable, str(Path(__file__).with_name("clickhouse_server.py")), str(self._folder), str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listening\n"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; wait for the end after SIGKILL."""
        assert self._process is not None
        self._process.send_signal(number)
        if number is signal.SIGKILL:
            self._process.wait(10)
            self.close()

    def fault(self, mode: str, *, only: str = "") -> None:
        """Make it fail from now on; `ok` ends that."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/_fault?mode={mode}&only={only}", method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def inserts(self) -> int:
        """Return how many inserts it carried out."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/_inserts", timeout=10) as answer:
            return int(answer.read())

    def client(self) -> ClickHouse:
        """Return a session of it."""
        return open_client({"CLICKHOUSE_URL": self.url})

    def close(self) -> None:
        """Stop it."""
        if self._process is not None:
            end(self._process)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a running ClickHouse server with this build's tables."""
    made = Server(tmp_path / "served")
    made.start()
    client = made.client()
    migrate.up(client, retention_days=30)
    client.close()
    yield made
    made.close()


class SinkRun:
    """One `hookline sink` process."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.metrics_port, self.query_port, self.log = free_port(), free_port(), log
        self.environ = {
            **environ,
            "HOOKLINE_METRICS_PORT": str(self.metrics_port),
            "HOOKLINE_QUERY_PORT": str(self.query_port),
            "HOOKLINE_QUERY_TOKEN": "secret",
        }
        with log.open("wb") as file:
            command = [sys.executable, "-m", "hookline.cli.main", "sink"]
            self.process = subprocess.Popen(command, env=self.environ, stdout=file, stderr=file)

    @property
    def queries(self) -> Queries:
        """The way to its log."""
        return RemoteQueries(f"http://127.0.0.1:{self.query_port}", "secret")

    def page(self, path: str) -> tuple[int, str]:
        """Return status and text of a page of its own port; (0, reason) when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metric(self, name: str) -> float:
        """Return a metric, 0 when it is not there."""
        lines = [line for line in self.page("/metrics")[1].splitlines() if line.startswith(f"{name} ")]
        return float(lines[0].split()[1]) if lines else 0.0

    def complaint(self) -> str:
        """Return what keeps it from being ready, empty when it is; it must answer."""
        status, text = self.page("/readyz")
        return "" if status == 200 else " ".join(found for found in json.loads(text).values() if found != "ok") if status else "starting"

    def audit(self) -> Audit | None:
        """Return the audit of store `shop`, None while the process cannot be asked."""
        try:
            return audit(self.queries, "shop")
        except HooklineError:
            return None

    def events(self) -> list[dict[str, Any]]:
        """Return its log lines."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event."""
        return [line for line in self.events() if line.get("event") == event]


class Attempts:
    """The attempts topic of one test, and the sinks that read it."""

    def __init__(self, environ: dict[str, str], folder: Path, rig: Rig) -> None:
        self.environ = environ
        self.config = load(KafkaConfig, environ)
        self.topics = Topics(self.config.topic_prefix)
        self.runs: list[SinkRun] = []
        self._folder = folder
        self._rig = rig
        self._registry = EmbeddedRegistry(self.config)
        self._registry.start()
        self.codec = Codec(self._registry)
        self._client = kafka.producer(self.config)

    def create_topics(self) -> None:
        """Create the topics."""
        create(self.config, specs(self.topics, load(TopicsConfig, self.environ)), 1)

    def produce(self, count: int, webhooks: int = 12, **given: Any) -> list[Attempt]:
        """Put attempts of store `shop` on the topic, spread over webhooks; return them once Kafka has them all."""
        made = [self._rig.attempt(**{"webhook_id": f"wh_{index % webhooks}"} | given) for index in range(count)]
        for one in made:
            self.produce_raw(self.codec.encode_attempt(one), one.webhook_id)
        self.flush()
        return made

    def produce_raw(self, value: bytes | None, webhook_id: str = "wh_0") -> None:
        """Put bytes on the topic."""
        self._client.produce(self.topics.attempts, key=webhook_id.encode(), value=value)
        self._client.poll(0)

    def flush(self) -> None:
        """Wait until Kafka has all."""
        assert self._client.flush(30) == 0

    def rejected(self) -> list[bytes]:
        """Return what was put aside."""
        return [message.value() or b"" for message in kafka.scan(self.config, [self.topics.attempts_rejected])]

    def sink(self, **more: str) -> SinkRun:
        """Start a sink."""
        run = SinkRun({**self.environ, **more}, self._folder / f"sink.{len(self.runs)}.log")
        self.runs.append(run)
        return run

    def close(self) -> None:
        """Stop everything that was started."""
        for run in self.runs:
            end(run.process)
        self._registry.stop()


@pytest.fixture
def attempts(kafka_environ: dict[str, str], tmp_path: Path, rig: Rig) -> Iterator[Attempts]:
    """Yield an attempts topic of three partitions on the session's Kafka; sinks keep their log in the test's folder."""
    environ = {
        **os.environ,
        **kafka_environ,
        "HOOKLINE_STATE_DIR": str(tmp_path / "state"),
        "HOOKLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}",
        "HOOKLINE_SESSION_TIMEOUT_MS": "6000",
        "HOOKLINE_SINK_BATCH_WAIT_S": "0.2",
        "HOOKLINE_SINK_BACKOFF_MAX_S": "0.3",
    }
    made = Attempts(environ, tmp_path, rig)
    made.create_topics()
    yield made
    made.close()
