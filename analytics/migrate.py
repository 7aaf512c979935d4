"""Numbered, reversible migrations: `migrations/NNNN_name.up.sql` and `.down.sql`, applied in order, recorded in the database.

A statement ends with `;` at the end of a line, and can run again after a failure half way. The record is a log: the last
row of a number says whether it is applied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from hookline.analytics.config import RetentionConfig
from hookline.analytics.warehouse import Warehouse, only
from hookline.kernel.config import load
from hookline.kernel.errors import WarehouseError
from hookline.schemas.topics import TopicsConfig

FOLDER: Final = Path(__file__).parent / "migrations"
_NAME: Final = re.compile(r"(\d{4})_(\w+)\.up\.sql")
_LOG: Final = """
CREATE TABLE IF NOT EXISTS hookline_migrations (
    version UInt32 COMMENT 'Number of the migration',
    name String COMMENT 'Its name',
    applied Bool COMMENT 'Whether this row records up or down',
    at DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When'
) ENGINE = MergeTree ORDER BY (version, at) COMMENT 'Which migrations were applied and taken back'
"""
_APPLIED: Final = "SELECT version, argMax(m.applied, m.at) AS applied, max(m.at) AS at FROM hookline_migrations AS m GROUP BY version"
_LOG_EXISTS: Final = "SELECT count() AS n FROM system.tables WHERE database = currentDatabase() AND name = 'hookline_migrations'"
_RECORD: Final = """
INSERT INTO hookline_migrations (version, name, applied) SETTINGS async_insert = 0
VALUES ({version:UInt32}, {name:String}, {applied:Bool})
"""
# Only the definition changes; expired parts go with the next merges.
_RETENTION: Final = (
    """
    ALTER TABLE attempts MODIFY TTL toDateTime(attempted_at) + toIntervalDay({retention_days:UInt32})
    SETTINGS materialize_ttl_after_modify = 0
    """,
    """
    ALTER TABLE events MODIFY TTL toDateTime(source_timestamp) + toIntervalDay({retention_days:UInt32})
    SETTINGS materialize_ttl_after_modify = 0
    """,
)
# What receivers answered may be personal, and is large: it may go before its row does.
_ANSWERS: Final = (
    """
    ALTER TABLE attempts MODIFY COLUMN response_body TTL toDateTime(attempted_at) + toIntervalDay({answer_days:UInt32})
    SETTINGS materialize_ttl_after_modify = 0
    """,
    """
    ALTER TABLE attempts MODIFY COLUMN response_headers TTL toDateTime(attempted_at) + toIntervalDay({answer_days:UInt32})
    SETTINGS materialize_ttl_after_modify = 0
    """,
)
_ANSWER_DAYS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the database's shape; `applied_at` is empty when it is not applied."""

    version: int
    name: str
    applied_at: str = ""

    def statements(self, direction: str) -> list[str]:
        """Return the statements of `up` or `down`, comments dropped."""
        text = (FOLDER / f"{self.version:04}_{self.name}.{direction}.sql").read_text()
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
        return [part.strip() for part in re.split(r";\s*$", code, flags=re.MULTILINE) if part.strip()]


def known() -> list[Migration]:
    """Return the migrations of this build, in order."""
    found = (_NAME.fullmatch(path.name) for path in sorted(FOLDER.glob("*.up.sql")))
    return [Migration(version=int(match[1]), name=match[2]) for match in found if match]


def status(client: Warehouse) -> list[Migration]:
    """Return the migrations of this build with when they were applied; changes nothing."""
    applied = _applied(client)
    return [Migration(version=m.version, name=m.name, applied_at=applied.get(m.version, "")) for m in known()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For how many days rows of the log are kept, and the answers in them."""

    log_days: int
    answer_days: int

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Return what is configured; raise `ConfigError`."""
        mine, topics = load(RetentionConfig, environ), load(TopicsConfig, environ)
        return cls(log_days=mine.log_days or topics.retention_days, answer_days=mine.answer_days)


def up(client: Warehouse, *, retention_days: int, answer_days: int = _ANSWER_DAYS) -> list[Migration]:
    """Apply what is missing, set the retention, return what was applied; raise `WarehouseError` naming a step that failed."""
    client.execute(_LOG)
    missing = [migration for migration in status(client) if not migration.applied_at]
    for migration in missing:
        _run(client, migration, "up", retention_days)
    for statement in _RETENTION:
        client.execute(statement, {"retention_days": retention_days})
    for statement in _ANSWERS:
        client.execute(statement, {"answer_days": answer_days})
    return missing


def up_as_configured(client: Warehouse, environ: Mapping[str, str]) -> list[Migration]:
    """Do as `up` does, with the retention of the environment."""
    kept = Retention.read(environ)
    return up(client, retention_days=kept.log_days, answer_days=kept.answer_days)


def down(client: Warehouse, *, steps: int) -> list[Migration]:
    """Take back the last `steps` applied migrations, newest first, with the data they hold; return them."""
    client.execute(_LOG)
    applied = [migration for migration in reversed(status(client)) if migration.applied_at][:steps]
    for migration in applied:
        _run(client, migration, "down", 0)
    return applied


def pending(client: Warehouse) -> str:
    """Return an empty text when the database has this build's shape, else one sentence that says what is missing."""
    missing = [f"{m.version:04}_{m.name}" for m in status(client) if not m.applied_at]
    return f"ClickHouse lacks the migrations {', '.join(missing)}: run `hookline migrate up`" if missing else ""


def _applied(client: Warehouse) -> dict[int, str]:
    if not only(client.rows(_LOG_EXISTS))["n"]:
        return {}
    return {row["version"]: str(row["at"]) for row in client.rows(_APPLIED) if row["applied"]}


def _run(client: Warehouse, migration: Migration, direction: str, retention_days: int) -> None:
    for statement in migration.statements(direction):
        try:
            client.execute(statement, {"retention_days": retention_days} if "{retention_days:" in statement else None)
        except WarehouseError as error:
            message = f"Migration {migration.version:04}_{migration.name} ({direction}) failed: {error.message}"
            raise type(error)(message, remedy=error.remedy) from error
    client.execute(_RECORD, {"version": migration.version, "name": migration.name, "applied": int(direction == "up")})
