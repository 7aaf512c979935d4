"""The latencies of every load side by side, as a small table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.table import Table

from benchmarks.latency import BOUNDS_MS, HISTOGRAM
from benchmarks.repeats import Found

_ENDING: Final = f"_{HISTOGRAM}"


def shares(repeats: Sequence[Found]) -> tuple[list[str], list[list[str]]]:
    """Return the loads' names, and a row for each bound: the part of each load's calls that lie up to it and above the one before.

    The calls of all repeats are taken together; bounds that no call of any load lies at are left out.
    """
    counted: dict[str, Counter[str]] = {}
    for found in repeats:
        for name, value in found.get("latency", {}).items():
            if name.endswith(_ENDING):
                counted.setdefault(name.removesuffix(_ENDING), Counter()).update(value)
    rows = [[_bound(bound), *(_part(one, f"{bound:g}") for one in counted.values())] for bound in BOUNDS_MS]
    return list(counted), [row for row in rows if any(row[1:])]


def _bound(bound: float) -> str:
    return f"{bound:g}" if bound < BOUNDS_MS[-1] else "more"


def _part(counts: Counter[str], bound: str) -> str:
    return f"{counts[bound] / counts.total():.2%}" if counts[bound] else ""


def table(repeats: Sequence[Found]) -> Table | None:
    """Return it for printing; None when latency was not measured."""
    names, rows = shares(repeats)
    made = Table("ms, up to", title="publish→receive: part of the calls by load, all repeats")
    for name in names:
        made.add_column(name, justify="right")
    for row in rows:
        made.add_row(*row)
    return made if names else None
