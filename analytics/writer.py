"""Writes one batch into ClickHouse so that writing it again changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from hookline.analytics import metrics
from hookline.analytics.config import SinkConfig
from hookline.analytics.erased import ErasedRows
from hookline.analytics.recount import index_events, recount
from hookline.analytics.rows import Decoded, Decoder, Rejected, decode, token_of
from hookline.analytics.warehouse import Parameters, RowsRefused, Warehouse, only
from hookline.kernel.errors import WarehouseError, WireError
from hookline.kernel.log import logger
from hookline.kernel.writer import Writer

_log = logger("sink")
_TABLE: Final = "attempts"
# Sent with every insert, as servers differ in their defaults; names that a server does not know are left out.
# One block per insert (the block sizes) keeps what a token stands for the same on every try.
_SETTINGS: Final[dict[str, str | int]] = {
    "async_insert": 0,
    "wait_for_async_insert": 1,
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "materialized_views_ignore_errors": 0,
    "max_insert_block_size": 1_048_576,
    "min_insert_block_size_rows": 1_048_576,
    "min_insert_block_size_bytes": 1 << 31,
    "max_partitions_per_insert_block": 0,
}
_KNOWN: Final = "SELECT name FROM system.settings"
_PRESENT: Final = """
SELECT groupArray(log_offset) AS offsets FROM attempts
WHERE log_partition = {partition:UInt32} AND log_offset BETWEEN {first:UInt64} AND {last:UInt64}
    AND attempted_at BETWEEN fromUnixTimestamp64Micro({since_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
"""


class BatchWriter:
    """Decodes a batch and inserts it under its token; used by the sink's one thread.

    Every method raises `WarehouseError`, `BrokerError`, `RegistryUnavailable` or `WireError` when the batch could not be
    written now; the same call may then be made again.
    """

    def __init__(
        self, client: Warehouse, decoder: Decoder, writer: Writer, rejected_topic: str, config: SinkConfig, erased: ErasedRows
    ) -> None:
        self._client = client
        self._decoder = decoder
        self._erased = erased
        self._writer = writer
        self._rejected_topic = rejected_topic
        self._config = config
        self._settings: dict[str, str | int] = {}

    def write(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        """Insert the batch, and put aside what is no row of it."""
        self._insert_whole(self._decoded(topic, partition, messages), token_of(topic, partition, messages))

    def rewrite(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        """Insert a batch that may be there already, then make sure that each row is there and summed once (see `recount`)."""
        decoded, token = self._decoded(topic, partition, messages), token_of(topic, partition, messages)
        self._insert_whole(decoded, token)
        self._mend(partition, decoded, token)

    def complete(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        """Insert those rows that are not there: of a batch whose first records are gone the token cannot be made any more."""
        self._mend(partition, self._decoded(topic, partition, messages), token_of(topic, partition, messages))

    def _decoded(self, topic: str, partition: int, messages: Sequence[Message]) -> Decoded:
        """Return the rows without what is erased, once what is none is put aside; raise `WireError` when that is too much."""
        decoded = decode(messages, self._decoder)
        if len(decoded.rejected) > self._config.max_rejected:
            first = decoded.rejected[0]
            text = f"{len(decoded.rejected)} of {len(messages)} attempt records cannot be read, the first at {topic}/{partition}"
            raise WireError(
                f"{text}/{first.message.offset()}: {first.reason}",
                remedy="Find out who writes them, or raise HOOKLINE_SINK_MAX_REJECTED to put them aside.",
            )
        self._put_aside(decoded.rejected)
        decoded.table = self._erased.redacted(decoded.table)
        return decoded

    def _insert_whole(self, decoded: Decoded, token: str) -> None:
        if decoded.messages:
            with metrics.INSERT_SECONDS.time():
                self._insert(decoded.messages, decoded.table, token)

    def _mend(self, partition: int, decoded: Decoded, token: str) -> None:
        """Insert the rows that are missing, and make the sums and the index right."""
        if not decoded.messages:
            return
        batch = _extent(partition, decoded)
        missing = self._missing(batch, decoded)
        if missing:
            _log.error("sink.rows_repaired", token=token, rows=len(missing))
            metrics.REPAIRED.inc(len(missing))
            lost = [decoded.messages[index] for index in missing]
            self._insert(lost, decoded.table.take(pa.array(missing, pa.int64())), f"{token}:repair")
        index_events(self._client, batch)
        if recount(self._client, partition, int(batch["since_us"]), int(batch["until_us"])):
            _log.error("sink.sums_recounted", token=token)
            metrics.RECOUNTED.inc()

    def _insert(self, messages: Sequence[Message], table: pa.Table, token: str) -> None:
        """Insert the rows; halve the batch, each half under its own token, to find a row that ClickHouse refuses."""
        try:
            self._client.insert(_TABLE, table, {**self._insert_settings(), "insert_deduplication_token": token})
        except RowsRefused as error:
            if len(messages) == 1:
                self._put_aside([Rejected(message=messages[0], reason=error.message)])
                return
            half = len(messages) // 2
            self._insert(messages[:half], table.slice(0, half), f"{token}:a")
            self._insert(messages[half:], table.slice(half), f"{token}:b")

    def _insert_settings(self) -> dict[str, str | int]:
        if not self._settings:
            known = {str(row["name"]) for row in self._client.rows(_KNOWN)}
            if "insert_deduplicate" not in known:
                raise WarehouseError("ClickHouse does not know the setting insert_deduplicate", remedy="Use ClickHouse 24.8 or later.")
            self._settings = {name: value for name, value in _SETTINGS.items() if name in known}
        return self._settings

    def _missing(self, batch: Parameters, decoded: Decoded) -> list[int]:
        """Return the indexes of rows that are not in the table."""
        present = set(only(self._client.rows(_PRESENT, batch))["offsets"])
        return [index for index, message in enumerate(decoded.messages) if message.offset() not in present]

    def _put_aside(self, rejected: Sequence[Rejected]) -> None:
        """Copy records to the rejected topic, with where they lay and why; a batch that is replayed copies them again."""
        for one in rejected:
            place = f"{one.message.topic()}/{one.message.partition()}/{one.message.offset()}"
            _log.error("sink.rejected", place=place, reason=one.reason)
            headers = {"hookline-reason": one.reason[:256].encode(), "hookline-place": place.encode()}
            key, value = one.message.key() or b"", one.message.value()
            self._writer.write(self._rejected_topic, key=key, value=value, headers=headers)
        metrics.REJECTED.inc(len(rejected))


def _extent(partition: int, decoded: Decoded) -> Parameters:
    """Return the offsets and times that a batch's rows lie between, both ends included."""
    times = pc.min_max(decoded.table["attempted_at"].cast(pa.int64())).as_py()
    first, last = (message.offset() or 0 for message in (decoded.messages[0], decoded.messages[-1]))
    return {"partition": partition, "first": first, "last": last, "since_us": times["min"], "until_us": times["max"]}
