"""`make chaos`: every fault against real processes. `FAULT=NAME[,NAME]` plays some, `SEED=N` repeats a run, `ROUNDS=N` repeats faults.

`HOOKLINE_TRANSPORT=aiohttp` runs it with the other transport. The report is written to `REPORT` (`.chaos` by default).
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.chaos import isolation, overload, report
from tests.chaos.faults.catalogue import FAULTS
from tests.chaos.runner import Line, Runner
from tests.chaos.world import World, world

_SHOWN: Final = 40
_SECONDS: Final = {"isolation": 15.0, "overload": 120.0}
"""How long each span of a measurement is, unless told."""
_out: Final = Console(highlight=False, markup=False, soft_wrap=True)


def main() -> int:
    """Play what was asked for; return 1 when anything was violated, or a measurement missed its targets."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("measure", nargs="?", choices=("isolation", "overload"), help="measure this instead of playing faults")
    parser.add_argument("--seconds", type=float, help="of each span of a measurement")
    parser.add_argument("--fault", default=os.environ.get("FAULT", ""), help="names, separated by commas; empty: all")
    # Defaults that are texts are read as what is given on the command line is, and refused in the same words.
    parser.add_argument(
        "--seed", type=_seed, default=os.environ.get("SEED") or str(time.time_ns() % 1_000_000), help="SEED; any by default"
    )
    parser.add_argument("--rounds", type=_rounds, default=os.environ.get("ROUNDS") or "1", help="ROUNDS of each fault; 1 by default")
    parser.add_argument("--report", type=Path, default=Path(os.environ.get("REPORT") or ".chaos"), help="folder of the report")
    parser.add_argument("--list", action="store_true", help="list the faults")
    asked = parser.parse_args()
    if asked.list:
        _out.print("\n".join(f"{name:30} {make().what}" for name, make in FAULTS.items()))
        return 0
    if asked.measure:
        return _measure(asked.measure, asked.seed, asked.seconds)
    names = [name for name in asked.fault.split(",") if name] or list(FAULTS)
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        _out.print(f"there is no fault {unknown[0]}; there are: {', '.join(FAULTS)}")
        return 2
    return _run(names, asked.seed, asked.rounds, asked.report)


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"SEED must be a whole number, not {text[:40]!r}") from None


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"ROUNDS must be a whole number from 1 on, not {text[:40]!r}")
    return int(text)


def _measure(name: str, seed: int, seconds: float | None) -> int:
    """Measure; return 1 when a target was missed."""
    of = isolation if name == "isolation" else overload
    found = of.measure(seed, seconds or _SECONDS[name])
    _out.print_json(data={"seed": seed, **found})
    missed = of.missed(found)
    for text in missed:
        _out.print(f"MISSED: {text}")
    return 1 if missed else 0


def _run(names: list[str], seed: int, rounds: int, folder: Path) -> int:
    logging.getLogger("librdkafka").propagate = False  # what clients of this process say of a broker that is away is no news here
    _out.print(f"seed {seed}; faults: {', '.join(names)}")
    lines: list[Line] = []
    with world(seed, _say) as found:
        runner = Runner(found, seed, _say)
        for number in range(rounds):
            for name in names:
                lines.append(line := runner.play(FAULTS[name](), number))
                _show(line)
                if line.violations:
                    _keep(found, folder / "logs" / f"{name}.{number}")
                report.write(folder, lines, seed, os.environ.get("HOOKLINE_TRANSPORT", "native"))
    _out.print((folder / "report.md").read_text())
    return 1 if any(line.violations for line in lines) else 0


def _keep(found: World, folder: Path) -> None:
    """Keep the logs of a round that violated something."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in [*(found.folder / "state" / "logs").glob("*.log"), *found.folder.glob("*.log")]:
        shutil.copy(log, folder)
    _out.print(f"    the logs are in {folder}")


def _say(text: str) -> None:
    _out.print(f"    {text}")


def _show(line: Line) -> None:
    _out.print(
        f"{line.fault} #{line.round}: {line.seconds:.0f} s, {line.kills} kills, {line.events} events, {line.calls} calls, "
        f"{line.lost} lost, {line.duplicates} duplicates (≤ {line.bound}), {line.attempts} attempts = {line.rows} rows, "
        f"recovery {line.recovery_s:.1f} s, {line.rss_mb:.0f} MB, {len(line.violations)} violations",
    )
    for violation in line.violations:
        _out.print(f"  VIOLATION {violation.invariant}: {violation.text}")
        for text in violation.story[:_SHOWN]:
            _out.print(f"      {text}")


if __name__ == "__main__":
    sys.exit(main())
