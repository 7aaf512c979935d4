"""The port to ClickHouse; light to import, so that commands that only ask a running sink start fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from hookline.kernel.errors import WarehouseError, WarehouseUnavailable

if TYPE_CHECKING:
    import pyarrow as pa

Parameters: TypeAlias = Mapping[str, str | int]
Rows: TypeAlias = list[dict[str, Any]]


def only(rows: Rows) -> dict[str, Any]:
    """Return the row of a question that always has one.

    Raises `WarehouseUnavailable` when there is none: to clickhouse-connect an answer that broke off before its first
    block is an empty one, and must not be taken for "nothing is there".
    """
    if not rows:
        raise WarehouseUnavailable("ClickHouse's answer broke off", remedy="Check the network and that ClickHouse runs.")
    return rows[0]


class RowsRefused(WarehouseError):
    """ClickHouse said that a row of the insert is wrong, not that it could not take it now."""

    code = "rows_refused"


class Warehouse(Protocol):
    """One session of ClickHouse; for one thread at a time. All methods raise `WarehouseError` or `WarehouseUnavailable`."""

    def execute(self, statement: str, parameters: Parameters | None = None) -> None:
        """Run a statement that answers nothing."""

    def rows(self, query: str, parameters: Parameters | None = None) -> Rows:
        """Return the rows of a query as maps by column."""

    def insert(self, table: str, columns: pa.Table, settings: Mapping[str, str | int]) -> None:
        """Insert named columns in one block; raise `RowsRefused` when a row is at fault."""

    def another(self) -> Warehouse:
        """Return a new session of the same server or folder, for another thread."""

    def close(self) -> None:
        """End the session; the first session of an embedded folder frees it."""
