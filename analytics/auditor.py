"""The audit that runs by itself: whether what was written of late is there once, and whether the sums are of it.

It looks for what the sink's own care cannot see: a group that was set back, topics made anew under an old ClickHouse, a hand in the tables.
`hookline log audit` asks the same of one store, and further back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hookline.analytics import metrics
from hookline.analytics.warehouse import Parameters, Warehouse, only
from hookline.kernel.errors import WarehouseError
from hookline.kernel.lifecycle import Stop
from hookline.kernel.log import logger

_log = logger("sink")
_HOUR_US: Final = 3_600_000_000
# Rows may be expired after a day at the earliest (HOOKLINE_RETENTION_DAYS=1), and sums outlive them.
_SPAN_US: Final = 20 * _HOUR_US
_SAMPLE: Final = 500_000
_TRIES: Final = 4
_PAUSE_S: Final = 1.0
# One thread and a time limit, in both: who asks the log meanwhile must not feel it.
_COUNT: Final = """
SELECT
    count() AS rows,
    countIf(trigger != 'test') AS counted,
    (
        SELECT sum(records)
        FROM attempt_stats_hourly
        WHERE webhook_id != ''
            AND hour >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
            AND hour < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    ) AS summed,
    (
        SELECT sum(records)
        FROM attempt_stats_hourly
        WHERE webhook_id = ''
            AND hour >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
            AND hour < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    ) AS summed_whole
FROM attempts
WHERE attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND attempted_at < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
SETTINGS max_threads = 1, max_execution_time = 300, max_memory_usage = 300000000
"""
# Every n-th offset only: what is written twice is a batch, whose offsets follow each other, so that any n-th of them shows it.
_DOUBLED: Final = """
SELECT count() - uniqExact(log_partition, log_offset) AS doubled
FROM attempts
WHERE attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND attempted_at < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND log_offset % {every:UInt32} = 0
SETTINGS max_threads = 1, max_execution_time = 300, max_memory_usage = 300000000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What an audit counted over some hours of all stores; `doubled` is of every `every`-th offset."""

    rows: int
    counted: int
    summed: int
    summed_whole: int
    doubled: int
    every: int

    @property
    def difference(self) -> int:
        """By how many rows the sums are off, or of how many looked at there are two; 0 when all adds up."""
        return max(abs(self.counted - self.summed), abs(self.counted - self.summed_whole), self.doubled)


class Auditor:
    """Audits now and then, in the thread that runs it, with a session of its own.

    An audit looks at the whole hours of the last twenty, of which no row can have expired, with bounded memory and time.
    """

    def __init__(
        self, client: Warehouse, every_s: float, *, now_us: Callable[[], int] = lambda: time.time_ns() // 1_000, sample: int = _SAMPLE
    ) -> None:
        self._client = client
        self._every_s = every_s
        self._now_us = now_us
        self._sample = sample

    def run(self, stop: Stop) -> None:
        """Audit every so many seconds until the stop; an audit that cannot be made is told and left to the next time."""
        while not stop.wait(self._every_s):
            try:
                self.step(stop)
            except WarehouseError as error:
                metrics.AUDITS.labels("failed").inc()
                _log.warning("sink.audit_failed", error=error.message)
        self._client.close()

    def step(self, stop: Stop) -> Finding:
        """Audit once and tell the finding to metrics and log; raise `WarehouseError`.

        What differs is looked at a few times: a batch that is being inserted is for a moment in one table only.
        """
        found = self._find()
        for _ in range(_TRIES - 1):
            if not found.difference or stop.wait(_PAUSE_S):
                break
            found = self._find()
        metrics.AUDIT_DIFFERENCE.set(found.difference)
        metrics.AUDITS.labels("differs" if found.difference else "adds_up").inc()
        told = {"rows": found.rows, "counted": found.counted, "summed": found.summed, "summed_whole": found.summed_whole}
        if found.difference:
            _log.error("sink.audit_differs", doubled=found.doubled, of_every=found.every, **told)
        else:
            _log.info("sink.audited", of_every=found.every, **told)
        return found

    def _find(self) -> Finding:
        until_us = self._now_us() // _HOUR_US * _HOUR_US
        span: Parameters = {"since_us": until_us - _SPAN_US, "until_us": until_us}
        counts = {name: int(value or 0) for name, value in only(self._client.rows(_COUNT, span)).items()}
        every = max(1, math.ceil(counts["rows"] / self._sample))
        doubled = int(only(self._client.rows(_DOUBLED, {**span, "every": every}))["doubled"])
        return Finding(
            rows=counts["rows"],
            counted=counts["counted"],
            summed=counts["summed"],
            summed_whole=counts["summed_whole"],
            doubled=doubled,
            every=every,
        )
