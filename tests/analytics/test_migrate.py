"""The tables come, go and come back; what is missing is named."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hookline.analytics import migrate
from hookline.analytics.client import ClickHouse
from hookline.analytics.migrate import Migration
from hookline.kernel.errors import WarehouseError

pytestmark = pytest.mark.clickhouse

MIGRATIONS = [pytest.param(index, id=f"{m.version:04}_{m.name}") for index, m in enumerate(migrate.known())]


def _shape(client: ClickHouse) -> dict[str, str]:
    """Return each table's definition."""
    query = "SELECT name, create_table_query AS q FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    return {row["name"]: row["q"] for row in client.rows(query) if row["name"] != "hookline_migrations"}


def _up_to(client: ClickHouse, count: int) -> None:
    migrate.up(client, retention_days=30)
    migrate.down(client, steps=len(migrate.known()) - count)


@pytest.mark.parametrize("index", MIGRATIONS)
def test_each_migration_goes_up_down_and_up_again(empty_warehouse: ClickHouse, index: int) -> None:
    """Down leaves the shape of before, up again the shape of after; each is recorded."""
    _up_to(empty_warehouse, index)
    before = _shape(empty_warehouse)
    migrate.up(empty_warehouse, retention_days=30)
    migrate.down(empty_warehouse, steps=len(migrate.known()) - index - 1)
    after = _shape(empty_warehouse)
    assert after != before
    assert [m.version for m in migrate.down(empty_warehouse, steps=1)] == [index + 1]
    assert _shape(empty_warehouse) == before
    assert next(m.version for m in migrate.up(empty_warehouse, retention_days=30)) == index + 1
    migrate.down(empty_warehouse, steps=len(migrate.known()) - index - 1)
    assert _shape(empty_warehouse) == after


@pytest.mark.parametrize("index", MIGRATIONS)
def test_each_migration_survives_a_failure_half_way(empty_warehouse: ClickHouse, index: int) -> None:
    """Statements that ran already may run again: a migration that was not recorded is applied once more."""
    migrate.up(empty_warehouse, retention_days=30)
    whole = _shape(empty_warehouse)
    migration = migrate.known()[index]
    empty_warehouse.execute(f"ALTER TABLE hookline_migrations DELETE WHERE version = {migration.version} SETTINGS mutations_sync = 1")
    assert migrate.up(empty_warehouse, retention_days=30) == [migration]
    assert _shape(empty_warehouse) == whole
    for statement in migration.statements("down"):
        empty_warehouse.execute(statement)
        empty_warehouse.execute(statement)


def test_up_twice_does_nothing_the_second_time(empty_warehouse: ClickHouse) -> None:
    """Idempotent, and the rows stay."""
    assert migrate.up(empty_warehouse, retention_days=30) == migrate.known()
    shape = _shape(empty_warehouse)
    assert migrate.up(empty_warehouse, retention_days=30) == []
    assert _shape(empty_warehouse) == shape


def test_status_tells_what_is_applied_and_changes_nothing(empty_warehouse: ClickHouse) -> None:
    """On an empty server nothing is applied, and asking makes no table."""
    assert [m.applied_at for m in migrate.status(empty_warehouse)] == ["" for _ in migrate.known()]
    assert empty_warehouse.rows("SHOW TABLES") == []
    _up_to(empty_warehouse, 2)
    assert [bool(m.applied_at) for m in migrate.status(empty_warehouse)] == [True, True, *[False] * (len(migrate.known()) - 2)]


def test_pending_migrations_are_named_with_the_command(empty_warehouse: ClickHouse) -> None:
    """The sentence that a sink waits with names each and says what to run; empty once all are there."""
    _up_to(empty_warehouse, 1)
    complaint = migrate.pending(empty_warehouse)
    assert all(f"{m.version:04}_{m.name}" in complaint for m in migrate.known()[1:])
    assert "0001" not in complaint
    assert "hookline migrate up" in complaint
    migrate.up(empty_warehouse, retention_days=30)
    assert migrate.pending(empty_warehouse) == ""


def test_the_retention_follows_the_setting(empty_warehouse: ClickHouse) -> None:
    """Each `up` sets how long rows stay, also on tables that are there."""
    for days in (30, 7):
        migrate.up(empty_warehouse, retention_days=days)
        shape = _shape(empty_warehouse)
        # ClickHouse writes the parameter with its type.
        assert all(re.search(rf"toIntervalDay\((_CAST\()?{days}\b", shape[table]) for table in ("attempts", "events"))


def test_every_target_of_the_sink_remembers_tokens(warehouse: ClickHouse) -> None:
    """Without its own deduplication window a table counts a batch that is sent again twice."""
    for table in ("attempts", "attempt_stats_hourly", "events"):
        assert "non_replicated_deduplication_window = 10000" in _shape(warehouse)[table]


def test_every_column_and_table_says_what_it_is(warehouse: ClickHouse) -> None:
    """No column is without a comment."""
    found = warehouse.rows(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = '' AND table NOT LIKE '%view'"
    )
    assert found == []


def test_a_failing_statement_names_its_migration(empty_warehouse: ClickHouse) -> None:
    """An operator learns which step it was and what ClickHouse said."""
    empty_warehouse.execute("CREATE TABLE attempts (nothing UInt8) ENGINE = Memory")
    with pytest.raises(WarehouseError, match=r"0002_attempt_stats \(up\) failed: ClickHouse refused"):
        migrate.up(empty_warehouse, retention_days=30)


def test_a_statement_ends_with_a_semicolon_at_the_end_of_a_line() -> None:
    """Comments are dropped, every file of both directions has statements."""
    known: list[Any] = migrate.known()
    assert [m.version for m in known] == list(range(1, len(known) + 1))
    for migration in known:
        for direction in ("up", "down"):
            statements = Migration(version=migration.version, name=migration.name).statements(direction)
            assert statements
            assert not any("--" in statement or statement.endswith(";") for statement in statements)
