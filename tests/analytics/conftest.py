"""What the tests of the analytics side share: attempts, records as the sink gets them, a fresh ClickHouse per test."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hookline.analytics import migrate
from hookline.analytics.client import ClickHouse, open_client
from hookline.analytics.rows import columns
from hookline.kernel.errors import RegistryUnavailable, UnknownSchema
from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.records import Attempt, Outcome, Trigger
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


@pytest.fixture
def until() -> Callable[..., None]:
    """Give tests a function that waits until a condition holds, and fails the test with its name when it does not in time."""

    def wait(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "the condition") -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not in {timeout_s:g} s: {what}")
            time.sleep(0.05)

    return wait
