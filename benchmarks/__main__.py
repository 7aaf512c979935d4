"""`make bench`: every figure of the README beside its target; `--json FILE` keeps them, `--only NAME` runs one.

Times depend on the machine and on what else runs on it: compare figures of one run, on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import console as console_answers
from benchmarks import dispatcher, ingest, latency, sink, statistics


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what it is, where it stands in a measurement, its unit, and the target (`at_most` or at least)."""

    name: str
    key: str
    unit: str
    target: float
    at_most: bool

    def row(self, found: dict[str, Any]) -> tuple[str, str, str, str]:
        """Return the row's cells."""
        value = float(found[self.key])
        met = value <= self.target if self.at_most else value >= self.target
        sign = "≤" if self.at_most else "≥"
        return self.name, f"{value:,.1f} {self.unit}", f"{sign} {self.target:,g} {self.unit}", "met" if met else "missed"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One thing to run and the figures it gives."""

    name: str
    run: Callable[[], dict[str, Any]]
    figures: tuple[Figure, ...]


MEASUREMENTS = (
    Measurement(
        "latency",
        latency.measure,
        (
            Figure("publish→receive at 100/s over HTTP, p50", "p50_ms", "ms", 5, at_most=True),
            Figure("publish→receive at 100/s over HTTP, p99", "p99_ms", "ms", 20, at_most=True),
        ),
    ),
    Measurement(
        "dispatcher",
        dispatcher.measure_rate,
        (
            Figure("dispatcher, deliveries per CPU-second", "rate_per_cpu_s", "/s", 2_500, at_most=False),
            Figure("dispatcher, CPU per delivery", "cpu_us_per_delivery", "µs", 400, at_most=True),
        ),
    ),
    Measurement(
        "dispatcher-native",
        dispatcher.measure_native,
        (
            Figure("dispatcher with HOOKLINE_TRANSPORT=native, deliveries per CPU-second", "rate_per_cpu_s", "/s", 2_500, at_most=False),
            Figure("dispatcher with HOOKLINE_TRANSPORT=native, CPU per delivery", "cpu_us_per_delivery", "µs", 400, at_most=True),
        ),
    ),
    Measurement(
        "memory",
        dispatcher.measure_memory,
        (Figure("dispatcher, 10,000 webhooks and 1,000 calls in flight", "rss_mb", "MB", 200, at_most=True),),
    ),
    Measurement(
        "ingest",
        ingest.measure,
        (
            Figure("ingest, single events per CPU-second", "single_per_cpu_s", "/s", 2_500, at_most=False),
            Figure("ingest, events per CPU-second in batches of 100", "batch_per_cpu_s", "/s", 10_000, at_most=False),
        ),
    ),
    Measurement(
        "sink",
        sink.measure,
        (
            Figure("sink, rows per second into ClickHouse", "rows_per_s", "/s", 50_000, at_most=False),
            Figure("sink, memory at a backlog, with its ClickHouse", "rss_mb", "MB", 1_000, at_most=True),
        ),
    ),
    Measurement(
        "statistics",
        statistics.measure,
        (
            Figure("30-day statistics of one webhook over 5 M attempts", "statistics_ms", "ms", 100, at_most=True),
            Figure("filtered page of the log over 5 M attempts", "log_page_ms", "ms", 200, at_most=True),
        ),
    ),
    Measurement(
        "console",
        console_answers.measure,
        (
            Figure("console over HTTP, 5 M attempts: page of the log", "log_page_ms", "ms", 200, at_most=True),
            Figure("console: 30-day statistics of a webhook with 2.5 M", "statistics_webhook_ms", "ms", 100, at_most=True),
            Figure("console: 30-day statistics of a store with 1,000 webhooks", "statistics_store_ms", "ms", 100, at_most=True),
            Figure("console: list of 1,000 webhooks", "webhook_list_ms", "ms", 100, at_most=True),
            Figure("console: explain, delivered", "explain_delivered_ms", "ms", 300, at_most=True),
            Figure("console: explain, not its type", "explain_not_its_type_ms", "ms", 300, at_most=True),
            Figure("console: memory with its ClickHouse", "rss_mb", "MB", 1_000, at_most=True),
        ),
    ),
)


def main() -> None:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--only", choices=[m.name for m in MEASUREMENTS], action="append", help="run only this; can be given again")
    chosen = parser.parse_args()
    console = Console()
    table = Table("figure", "measured", "target", "", title=_machine())
    found: dict[str, Any] = {}
    for measurement in MEASUREMENTS:
        if chosen.only and measurement.name not in chosen.only:
            continue
        began = time.monotonic()
        console.print(f"measuring {measurement.name} …", end=" ")
        found[measurement.name] = measurement.run()
        console.print(f"{time.monotonic() - began:.0f} s")
        for figure in measurement.figures:
            table.add_row(*figure.row(found[measurement.name]))
    console.print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": _machine(), "figures": found}, indent=1))


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, CPython {platform.python_version()}, {time.strftime('%Y-%m-%d %H:%M')}"


if __name__ == "__main__":
    main()
