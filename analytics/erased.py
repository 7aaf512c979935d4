"""Taking what receivers answered to erased events out of rows before they are inserted, however long ago the erasure was.

The attempts topic holds those answers until its retention takes them: a log that is written again from it must not bring them back.
"""

from __future__ import annotations

from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from hookline.analytics.redaction import MARK
from hookline.schemas.erasures import Erasure

_ANSWERS: Final = ("response_body", "response_headers", "error_detail")


class Known(Protocol):
    """Who knows what was erased; an erasure is never taken back."""

    def all(self) -> list[Erasure]:
        """Return every erasure."""

    def has(self, store_id: str, event_id: str) -> bool:
        """Tell whether an event was erased."""


class ErasedRows:
    """Redacts rows of table `attempts` as `Redaction` does in ClickHouse; for one thread."""

    def __init__(self, erasures: Known) -> None:
        self._erasures = erasures
        self._ids = pa.array([], pa.large_string())

    def redacted(self, table: pa.Table) -> pa.Table:
        """Return the rows, those of erased events with the mark for each answer that is not empty."""
        erased = self._erased(table)
        if erased is None:
            return table
        for name in _ANSWERS:
            column = table[name]
            mark = pa.scalar(MARK.encode() if pa.types.is_large_binary(column.type) else MARK, column.type)
            told = pc.greater(pc.binary_length(column), 0)
            table = table.set_column(table.schema.get_field_index(name), name, pc.if_else(pc.and_(erased, told), mark, column))
        return table

    def _erased(self, table: pa.Table) -> pa.Array | None:
        """Return which rows are of erased events, None when none is."""
        known = self._erasures.all()
        if not known:
            return None
        if len(known) != len(self._ids):
            self._ids = pa.array([erasure.event_id for erasure in known], pa.large_string())
        maybe = pc.is_in(table["event_id"], value_set=self._ids)
        if not pc.any(maybe).as_py():
            return None
        rows = zip(maybe.to_pylist(), table["store_id"].to_pylist(), table["event_id"].to_pylist(), strict=True)
        return pa.array([found and self._erasures.has(store_id, event_id) for found, store_id, event_id in rows], pa.bool_())
