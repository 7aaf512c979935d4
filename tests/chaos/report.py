"""The report of a run: JSON for machines, a Markdown table for people."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos.runner import Line

_HEAD = (
    "fault",
    "rounds",
    "kills",
    "told to stop",
    "events",
    "calls",
    "lost",
    "duplicates ≤ bound",
    "rows = attempts",
    "recovery",
    "violations",
)


def summary(lines: Sequence[Line], seed: int, transport: str) -> dict[str, Any]:
    """Return the whole report."""
    return {
        "seed": seed,
        "transport": transport,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, CPython {platform.python_version()}",
        "at": time.strftime("%Y-%m-%d %H:%M"),
        "seconds": round(sum(line.seconds for line in lines)),
        "rounds": len(lines),
        "kills": sum(line.kills for line in lines),
        "told_to_stop": sum(len(line.told) for line in lines),
        "events": sum(line.events for line in lines),
        "calls": sum(line.calls for line in lines),
        "lost": sum(line.lost for line in lines),
        "duplicates": sum(line.duplicates for line in lines),
        "attempts": lines[-1].attempts if lines else 0,
        "rows": lines[-1].rows if lines else 0,
        "longest_recovery_s": round(max((line.recovery_s for line in lines), default=0.0), 1),
        "violations": sum(len(line.violations) for line in lines),
        "lines": [asdict(line) for line in lines],
    }


def markdown(found: Mapping[str, Any], lines: Sequence[Line]) -> str:
    """Return the report for people: the sums, then a row per fault."""
    told = (
        f"{found['rounds']} rounds, {found['kills']} kills, {found['told_to_stop']} told to stop in the middle, "
        f"{found['events']:,} events, {found['calls']:,} calls in {found['seconds']} s: "
        f"**{found['lost']} lost**, {found['duplicates']} duplicates, {found['attempts']:,} attempts recorded = {found['rows']:,} rows, "
        f"longest recovery {found['longest_recovery_s']} s, {found['violations']} violations. "
        f"Seed {found['seed']}, transport {found['transport']}, {found['machine']}, {found['at']}."
    )
    table = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    return "\n".join([told, "", *table, *(_row(name, lines) for name in dict.fromkeys(line.fault for line in lines))]) + "\n"


def _row(name: str, lines: Sequence[Line]) -> str:
    mine = [line for line in lines if line.fault == name]
    cells = (
        f"`{name}`: {mine[0].what}",
        len(mine),
        sum(line.kills for line in mine),
        sum(len(line.told) for line in mine),
        sum(line.events for line in mine),
        sum(line.calls for line in mine),
        sum(line.lost for line in mine),
        f"{sum(line.duplicates for line in mine)} ≤ {sum(line.bound for line in mine)}",
        "yes" if not any(v.invariant == "rows" for line in mine for v in line.violations) else "no",
        f"{max(line.recovery_s for line in mine):.1f} s",
        sum(len(line.violations) for line in mine),
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def write(folder: Path, lines: Sequence[Line], seed: int, transport: str) -> tuple[Path, Path]:
    """Write both files and return them."""
    found = summary(lines, seed, transport)
    folder.mkdir(parents=True, exist_ok=True)
    for_machines, for_people = folder / "report.json", folder / "report.md"
    for_machines.write_text(json.dumps(found, indent=1))
    for_people.write_text(markdown(found, lines))
    return for_machines, for_people
