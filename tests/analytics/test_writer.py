"""A batch written again changes nothing, whatever happened to it the first time; bad rows are put aside alone."""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from hookline.analytics import migrate, recount, writer
from hookline.analytics.client import ClickHouse
from hookline.analytics.config import SinkConfig
from hookline.analytics.erased import ErasedRows
from hookline.analytics.migrate import Migration
from hookline.analytics.queries import ClickHouseQueries, audit, statistics
from hookline.analytics.warehouse import RowsRefused
from hookline.analytics.writer import BatchWriter
from hookline.kernel.config import load
from hookline.kernel.errors import WarehouseUnavailable, WireError
from hookline.schemas.records import ErrorKind, Outcome, Trigger
from tests.analytics.known import Known

pytestmark = pytest.mark.clickhouse

Rig = Any  # the fixture's class stands in conftest.py
HOUR_US = 3_600_000_000


class Aside:
    """The rejected topic: what was put aside, with its reason."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, str, str]] = []

    def write(self, _topic: str, *, key: bytes, value: bytes | None, headers: dict[str, bytes]) -> int:
        """Keep a record; stands where a `Writer` does."""
        assert key == b"wh_1"
        self.records.append((value, headers["hookline-reason"].decode(), headers["hookline-place"].decode()))
        return len(self.records)


@pytest.fixture
def aside() -> Aside:
    """Give the rejected topic."""
    return Aside()


@pytest.fixture
def make(rig: Rig, aside: Aside) -> Callable[..., BatchWriter]:
    """Give a function that makes a writer over a warehouse."""
    assert aside.records == []

    def made(client: Any, **settings: str) -> BatchWriter:
        config = load(SinkConfig, {f"HOOKLINE_SINK_{name.upper()}": value for name, value in settings.items()})
        nothing = ErasedRows(Known())
        return BatchWriter(client, rig.codec, aside, "attempts.rejected", config, nothing)  # type: ignore[arg-type]  # a writer of the tests

    return made


def _counts(client: ClickHouse) -> tuple[int, int, int]:
    """Return rows, distinct rows, and what the hourly sums say."""
    found = audit(ClickHouseQueries(client), "shop")
    assert found.counted == found.rows
    assert found.summed_whole == found.summed
    return found.rows, found.distinct, found.summed


def test_a_batch_sent_again_is_dropped_in_every_table(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter]) -> None:
    """Rows, sums and the event index are as after the first time."""
    messages = rig.records([rig.attempt() for _ in range(300)])
    sink = make(warehouse)
    for _ in range(3):
        sink.write("attempts", 0, messages)
    assert _counts(warehouse) == (300, 300, 300)
    assert warehouse.rows("SELECT count() AS n FROM events")[0]["n"] == 300


def test_a_batch_over_many_days_is_dropped_too(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter]) -> None:
    """A token counts for each of the parts that an insert makes."""
    now_us = time.time_ns() // 1_000
    messages = rig.records([rig.attempt(attempted_at_us=now_us - day * 24 * HOUR_US) for day in range(6) for _ in range(10)])
    for _ in range(2):
        make(warehouse).write("attempts", 0, messages)
    assert _counts(warehouse) == (60, 60, 60)


def test_equal_rows_at_other_offsets_are_rows(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter]) -> None:
    """Two batches with the same content are two batches: the log never drops what looks alike."""
    attempts = [rig.attempt() for _ in range(5)]
    make(warehouse).write("attempts", 0, rig.records(attempts))
    make(warehouse).write("attempts", 0, rig.records(attempts, first=5))
    make(warehouse).write("attempts", 1, rig.records(attempts, partition=1))
    assert _counts(warehouse) == (15, 15, 15)


def test_a_rewritten_batch_that_was_complete_stays_as_it_is(
    warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter], aside: Aside
) -> None:
    """Replaying an intent whose insert had succeeded adds nothing anywhere."""
    messages = rig.records([rig.attempt(), rig.attempt(trigger=Trigger.TEST), rig.attempt(attempt=0, outcome=Outcome.SKIPPED)])
    make(warehouse).write("attempts", 0, messages)
    make(warehouse).rewrite("attempts", 0, messages)
    found = audit(ClickHouseQueries(warehouse), "shop")
    assert (found.rows, found.distinct, found.counted, found.summed) == (3, 3, 2, 2)
    assert aside.records == []


@pytest.mark.parametrize("lost", ["attempts", "attempt_stats_hourly", "whole", "events", "all"])
def test_a_batch_whose_token_outlived_its_rows_is_made_whole(
    warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter], lost: str
) -> None:
    """A process killed between token and rows leaves a table short; the replay fills exactly the gap."""
    before = rig.records([rig.attempt() for _ in range(20)])
    batch = rig.records([rig.attempt(attempt=1 + index % 2) for index in range(40)], first=20)
    other = rig.records([rig.attempt(webhook_id="wh_2") for _ in range(7)], partition=1)
    for partition, messages in ((0, before), (0, batch), (1, other)):
        make(warehouse).write("attempts", partition, messages)
    sums = warehouse.rows(_SUMS)
    for table in ("attempts", "attempt_stats_hourly", "events") if lost == "all" else (lost,):
        name = "attempt_stats_hourly" if table == "whole" else table
        warehouse.execute(f"ALTER TABLE {name} DELETE WHERE {_of_the_batch(table)} SETTINGS mutations_sync = 1")
    make(warehouse).rewrite("attempts", 0, batch)
    assert _counts(warehouse) == (67, 67, 67)
    assert warehouse.rows(_SUMS) == sums
    assert warehouse.rows("SELECT uniqExact(event_id) AS n FROM events")[0]["n"] == 67
    make(warehouse).rewrite("attempts", 0, batch)
    assert _counts(warehouse) == (67, 67, 67)


_SUMS = """
SELECT webhook_id, hour, sum(attempts) AS a, sum(deliveries) AS d, sumMap(by_status) AS s,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(response_time) AS r
FROM attempt_stats_hourly GROUP BY webhook_id, hour ORDER BY webhook_id, hour
"""


def _of_the_batch(table: str) -> str:
    return {
        "attempts": "log_partition = 0 AND log_offset > 19",
        "attempt_stats_hourly": "log_partition = 0",
        "whole": "log_partition = 0 AND webhook_id = ''",
        "events": "source_offset BETWEEN 21 AND 60",
    }[table]


def test_a_recount_gives_what_the_view_gives(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter]) -> None:
    """Every column of sums made anew from rows of every kind equals the view's own, twice in a row."""
    kinds: list[dict[str, Any]] = [
        {},
        {"attempt": 2, "outcome": Outcome.RETRYING, "http_status": 503, "error_kind": ErrorKind.HTTP_STATUS},
        {"attempt": 8, "outcome": Outcome.DEAD, "http_status": 0, "error_kind": ErrorKind.TIMEOUT, "event_type": "order.paid"},
        {"attempt": 0, "outcome": Outcome.SKIPPED, "error_kind": ErrorKind.PAUSED, "http_status": 0},
        {"attempt": 0, "outcome": Outcome.DEAD, "error_kind": ErrorKind.EXPIRED, "http_status": 0},
        {"trigger": Trigger.REPLAY},
        {"trigger": Trigger.RESEND, "outcome": Outcome.DEAD, "http_status": 500, "error_kind": ErrorKind.HTTP_STATUS},
        {"trigger": Trigger.TEST},
    ]
    attempts = [rig.attempt(**kind, response_time_us=index * 100) for index in range(40) for kind in kinds]
    make(warehouse).write("attempts", 0, rig.records(attempts))
    columns = [row["name"] for row in warehouse.rows("SELECT name FROM system.columns WHERE table = 'attempt_stats_hourly'")]
    everything = f"SELECT {', '.join(map(_readable, columns))} FROM attempt_stats_hourly FINAL ORDER BY hour, webhook_id"
    expected = warehouse.rows(everything)
    since_us, until_us = min(a.attempted_at_us for a in attempts), max(a.attempted_at_us for a in attempts)
    for _ in range(2):
        warehouse.execute("INSERT INTO attempt_stats_hourly SELECT * FROM attempt_stats_hourly SETTINGS insert_deduplicate = 0")
        assert recount.recount(warehouse, 0, since_us, until_us)
        assert warehouse.rows(everything) == expected
    assert not recount.recount(warehouse, 0, since_us, until_us)


def _readable(column: str) -> str:
    return f"finalizeAggregation({column}) AS {column}" if column in {"response_time", "queue_wait"} else column


def test_the_recount_names_the_views_columns_in_its_order() -> None:
    """The statement inserts by position, so it must be the view's SELECT to the letter but for its conditions."""
    view = Migration(version=4, name="store_sums").statements("up")[0]
    selected, grouped = view[view.index("SELECT") : view.index("FROM attempts")], view[view.index("GROUP BY") :]
    assert selected in recount._COUNT
    assert grouped in recount._COUNT


def test_what_was_summed_before_stores_were_is_summed_for_them(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter]) -> None:
    """The migration makes the sums of whole stores of those of their webhooks, also when it is applied twice; later rows join them."""
    migrate.down(warehouse, steps=len(migrate.known()) - 3)
    now_us = time.time_ns() // 1_000
    old = [rig.attempt(webhook_id=f"wh_{n % 3}", attempted_at_us=now_us - n % 4 * HOUR_US, response_time_us=n * 100) for n in range(60)]
    make(warehouse).write("attempts", 0, rig.records(old))
    expected = [statistics(ClickHouseQueries(warehouse), "shop", webhook_id=f"wh_{n}").attempts for n in range(3)]
    migrate.up(warehouse, retention_days=30)
    for statement in Migration(version=4, name="store_sums").statements("up"):
        warehouse.execute(statement)
    assert _counts(warehouse) == (60, 60, 60)
    make(warehouse).write("attempts", 0, rig.records([rig.attempt(webhook_id="wh_0")], first=60))
    assert _counts(warehouse) == (61, 61, 61)
    assert statistics(ClickHouseQueries(warehouse), "shop").attempts == sum(expected) + 1


def test_old_hours_are_never_counted_anew(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter]) -> None:
    """Sums outlive rows: where rows may have expired, a difference says nothing."""
    old = [rig.attempt(attempted_at_us=time.time_ns() // 1_000 - 40 * HOUR_US) for _ in range(3)]
    messages = rig.records(old)
    make(warehouse).write("attempts", 0, messages)
    warehouse.execute("ALTER TABLE attempts DELETE WHERE 1 SETTINGS mutations_sync = 1")
    assert not recount.recount(warehouse, 0, old[0].attempted_at_us, old[-1].attempted_at_us)
    assert warehouse.rows("SELECT sum(records) AS n FROM attempt_stats_hourly WHERE webhook_id = ''")[0]["n"] == 3


def test_an_unreadable_record_is_put_aside_with_its_place_and_reason(
    warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter], aside: Aside
) -> None:
    """Its neighbours become rows; the bytes, where they lay and why they are no row are kept."""
    messages = rig.records([rig.attempt(), rig.attempt()])
    messages.insert(1, rig.record(b"\x01nonsense", 9))
    make(warehouse).write("attempts", 0, messages)
    assert _counts(warehouse) == (2, 2, 2)
    [(value, reason, place)] = aside.records
    assert (value, place) == (b"\x01nonsense", "attempts/0/9")
    assert "0x01" in reason


def test_a_flood_of_unreadable_records_waits_for_a_person(
    warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter], aside: Aside
) -> None:
    """Above the limit nothing is put aside and nothing written; the error names the first and the setting."""
    messages = [*rig.records([rig.attempt()]), *(rig.record(b"junk", 10 + index) for index in range(4))]
    with pytest.raises(WireError, match=r"4 of 5 .* attempts/0/10") as caught:
        make(warehouse, max_rejected="3").write("attempts", 0, messages)
    assert "HOOKLINE_SINK_MAX_REJECTED" in caught.value.remedy
    assert aside.records == []
    assert _counts(warehouse) == (0, 0, 0)
    make(warehouse, max_rejected="4").write("attempts", 0, messages)
    assert (len(aside.records), _counts(warehouse)[0]) == (4, 1)


class Picky:
    """A ClickHouse that refuses rows with one of these offsets, as it would a value that it cannot store."""

    def __init__(self, client: ClickHouse, refused: set[int]) -> None:
        self._client = client
        self._refused = refused
        self.tokens: list[str] = []

    def insert(self, table: str, columns: pa.Table, settings: dict[str, str | int]) -> None:
        """Insert unless a refused row is among them."""
        if self._refused & set(columns["log_offset"].to_pylist()):
            raise RowsRefused("ClickHouse refused a row: Code: 321")
        self.tokens.append(str(settings["insert_deduplication_token"]))
        self._client.insert(table, columns, settings)

    def rows(self, query: str, parameters: Any = None) -> Any:
        """Ask the real one."""
        return self._client.rows(query, parameters)

    def execute(self, statement: str, parameters: Any = None) -> None:
        """Ask the real one."""
        self._client.execute(statement, parameters)


@pytest.mark.parametrize("refused", [{0}, {49}, {7, 8}, {3, 30, 31}])
def test_a_refused_row_is_found_by_halving(
    warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter], aside: Aside, refused: set[int]
) -> None:
    """Every other row of the batch is inserted once, also when the batch is sent again."""
    messages = rig.records([rig.attempt() for _ in range(50)])
    picky = Picky(warehouse, refused)
    make(picky).write("attempts", 0, messages)
    rows = 50 - len(refused)
    assert _counts(warehouse) == (rows, rows, rows)
    assert {place for _, _, place in aside.records} == {f"attempts/0/{offset}" for offset in refused}
    tokens = set(picky.tokens)
    make(picky).rewrite("attempts", 0, messages)
    assert _counts(warehouse) == (rows, rows, rows)
    assert {token for token in picky.tokens if ":repair" not in token} == tokens, "the halves have the same tokens every time"


def test_an_answer_that_broke_off_is_no_empty_table(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter]) -> None:
    """A batch that is there is not inserted again because the question for its rows was answered by nothing."""
    messages = rig.records([rig.attempt() for _ in range(20)])
    make(warehouse).write("attempts", 0, messages)
    broken = Picky(warehouse, set())
    broken.rows = lambda query, parameters=None: [] if parameters else warehouse.rows(query)  # type: ignore[method-assign]
    with pytest.raises(WarehouseUnavailable, match="broke off"):
        make(broken).rewrite("attempts", 0, messages)
    make(warehouse).rewrite("attempts", 0, messages)
    assert _counts(warehouse) == (20, 20, 20)


def test_a_batch_of_refused_rows_only_ends(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter], aside: Aside) -> None:
    """All are put aside, nothing loops."""
    make(Picky(warehouse, {0, 1, 2})).write("attempts", 0, rig.records([rig.attempt() for _ in range(3)]))
    assert len(aside.records) == 3


@pytest.mark.parametrize(
    "given",
    [
        {"response_body": b"\x00\xff" * 8_192, "response_headers": "x" * 8_192},
        {"error_detail": "ends with \x00 and ä€😀", "url": "https://" + "a" * 2_000},
        {"next_retry_at_us": 0},
        {"attempted_at_us": 4_102_444_800_000_000 - 1},
        {"response_time_us": 2**62, "queue_wait_us": -1, "source_offset": 2**62},
        {"event_type": "", "webhook_id": "", "source_topic": ""},
    ],
)
def test_unusual_values_are_stored_as_they_are(
    warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter], given: dict[str, Any]
) -> None:
    """Binary bodies, empty texts, the ends of time and of numbers go in and come out."""
    make(warehouse).write("attempts", 0, rig.records([rig.attempt(**given)]))
    [row] = warehouse.rows(f"SELECT {', '.join(map(_selected, given))} FROM attempts")
    assert row == {name: value if isinstance(value, int | str) else value.hex().upper() for name, value in given.items()}


def _selected(field: str) -> str:
    if field.endswith("_at_us"):
        return f"toUnixTimestamp64Micro({field[:-3]}) AS {field}"
    return f"hex({field}) AS {field}" if field == "response_body" else field


def test_a_column_that_was_added_live_is_left_empty(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter]) -> None:
    """Inserts name their columns: a newer table takes an older sink's rows."""
    warehouse.execute("ALTER TABLE attempts ADD COLUMN region String DEFAULT 'eu' FIRST")
    make(warehouse).write("attempts", 0, rig.records([rig.attempt()]))
    assert warehouse.rows("SELECT region, store_id FROM attempts") == [{"region": "eu", "store_id": "shop"}]


def test_a_column_that_was_dropped_live_is_named(warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter], aside: Aside) -> None:
    """The sink waits with an error that says which and what to do; no row is blamed for it."""
    warehouse.execute("ALTER TABLE attempts DROP COLUMN job_id")
    with pytest.raises(Exception, match="job_id") as caught:
        make(warehouse).write("attempts", 0, rig.records([rig.attempt()]))
    assert type(caught.value).__name__ in {"WarehouseError", "WarehouseUnavailable"}
    assert aside.records == []


def test_settings_a_server_does_not_know_are_left_out(rig: Rig, make: Callable[..., BatchWriter]) -> None:
    """An older ClickHouse gets only what it knows; one without deduplication of inserts is refused with the version to use."""

    class Old:
        def __init__(self, known: Sequence[str]) -> None:
            self.known, self.settings = known, dict[str, Any]()

        def rows(self, _query: str) -> Any:
            return [{"name": name} for name in self.known]

        def insert(self, _table: str, _columns: Any, settings: dict[str, Any]) -> None:
            self.settings = settings

    old = Old(["async_insert", "insert_deduplicate"])
    make(old).write("attempts", 0, rig.records([rig.attempt()]))
    assert set(old.settings) == {"async_insert", "insert_deduplicate", "insert_deduplication_token"}
    with pytest.raises(Exception, match=r"Use ClickHouse 24\.8"):
        make(Old(["async_insert"])).write("attempts", 0, rig.records([rig.attempt()]))


def test_a_failure_to_put_aside_writes_nothing(
    warehouse: ClickHouse, rig: Rig, make: Callable[..., BatchWriter], aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad record must not be forgotten: the batch is tried again as a whole."""

    def away(*_: Any, **__: Any) -> int:
        raise WarehouseUnavailable("away")

    monkeypatch.setattr(aside, "write", away)
    messages = [*rig.records([rig.attempt()]), rig.record(b"junk", 4)]
    with pytest.raises(WarehouseUnavailable):
        make(warehouse).write("attempts", 0, messages)
    assert _counts(warehouse) == (0, 0, 0)


def test_every_setting_that_decides_deduplication_is_sent() -> None:
    """Servers differ in their defaults, so none is relied on."""
    assert {"async_insert", "insert_deduplicate", "deduplicate_insert", "deduplicate_blocks_in_dependent_materialized_views"} <= set(
        writer._SETTINGS
    )
    assert "insert_deduplication_token" in inspect.getsource(BatchWriter)


def test_a_rewrite_of_nothing_but_bad_records_is_quiet(
    warehouse: ClickHouse, make: Callable[..., BatchWriter], rig: Rig, aside: Aside
) -> None:
    """A batch without a row has nothing to compare."""
    make(warehouse).rewrite("attempts", 0, [rig.record(b"junk", 1)])
    assert len(aside.records) == 1
    assert dataclasses.is_dataclass(audit(ClickHouseQueries(warehouse), "shop"))
