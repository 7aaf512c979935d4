"""`make bench` and `make bench-full`: each figure as the median of its repeats, with least and most, beside its target.

A JSON file keeps every repeat; charts lie beside it. `--scale 0.1` does a tenth of each: to see that it works, not for figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import console as console_answers
from benchmarks import ending, histograms, reference, statistics
from benchmarks.build import build
from benchmarks.build import told as build_told
from benchmarks.cases import FIGURES, Size, charts, longer, quick
from benchmarks.plot import svg
from benchmarks.repeats import Case, Measured, Values, interleave, machine, measured, row, versions
from benchmarks.stack import kafka

_FILLED = 5_000_000
_FILLED_FULL = 100_000_000
_ALONE = ("statistics", "console")


def main() -> None:
    """Run what was asked for, print the table, and keep the result; exit with 1 when a case failed."""
    chosen = _arguments()
    out = Console()
    told: Values = {"machine": machine(), "versions": versions(), "build": build(), "reference": reference.name()}
    told["scale"] = chosen.scale
    began = time.monotonic()
    with ending.whole():
        repeats, failed = _run(chosen, out)
    figures = measured(FIGURES, repeats, _planned(chosen))
    result = told | {"took_s": round(time.monotonic() - began), "failed": failed, "repeats": repeats}
    result["figures"] = {one.figure.key: one.to_json() for one in figures}
    for table in (_table(figures, told), histograms.table(repeats)):
        if table is not None:
            out.print(table)
    _keep(chosen.json, result, out)
    for name, why in failed.items():
        out.print(f"{name} failed: {why}", markup=False)
    raise SystemExit(1 if failed else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    default = Path("build/bench") / time.strftime("%Y%m%d-%H%M%S.json")
    parser.add_argument("--full", action="store_true", help="the long cases too: 100,000 webhooks, 800 hung calls, 100 M attempts")
    parser.add_argument("--only", action="append", metavar="CASE", help="run only this; can be given again; a ratio needs both its cases")
    parser.add_argument("--repeats", type=int, default=3, help="how often each case is run; figures need 3 or more (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="how much each case does (default 1.0)")
    parser.add_argument("--json", type=Path, default=default, help="where the result goes (default build/bench/TIME.json)")
    chosen = parser.parse_args()
    if chosen.repeats < 1 or chosen.scale <= 0:
        parser.error("--repeats must be at least 1 and --scale above 0")
    return chosen


def _run(chosen: argparse.Namespace, out: Console) -> tuple[list[dict[str, Values]], dict[str, str]]:
    """Run the interleaved cases, then, one after the other, those that stand on a filled ClickHouse."""
    size, began = Size(scale=chosen.scale), time.monotonic()

    def tell(line: str) -> None:
        out.print(f"[{time.monotonic() - began:4.0f} s] {line}", markup=False)

    with kafka() as broker:
        cases = _picked([*quick(broker, size, full=chosen.full), *(longer(broker, size) if chosen.full else ())], chosen)
        repeats, failed = interleave(cases, chosen.repeats, tell)
    rows = size.of(_FILLED_FULL if chosen.full else _FILLED)
    if not chosen.only or "statistics" in chosen.only:
        tell(f"filling ClickHouse with {rows:,} attempts")
        with statistics.filled(rows) as log:
            _add(repeats, *interleave([Case("statistics", lambda _: statistics.asked(log, rows))], chosen.repeats, tell), failed)
    if not chosen.only or "console" in chosen.only:
        case = Case("console", lambda _: console_answers.measure(size.of(console_answers.ROWS)))
        found, why = interleave([case], _planned(chosen)["console"], tell)
        _add(repeats[: len(found)], found, why, failed)
    return repeats, failed


def _planned(chosen: argparse.Namespace) -> dict[str, int]:
    """Return how often the cases are run that are not run in every repeat."""
    return {"console": chosen.repeats if chosen.full else 1}  # each of its answers is a median of many


def _picked(cases: Sequence[Case], chosen: argparse.Namespace) -> list[Case]:
    names = [case.name for case in cases]
    if unknown := set(chosen.only or ()) - {*names, *_ALONE}:
        raise SystemExit(f"no case {', '.join(sorted(unknown))}; there are: {', '.join([*names, *_ALONE])} (some with --full only)")
    return [case for case in cases if not chosen.only or case.name in chosen.only]


def _add(repeats: list[dict[str, Values]], found: list[dict[str, Values]], why: dict[str, str], failed: dict[str, str]) -> None:
    for into, more in zip(repeats, found, strict=True):
        into.update(more)
    failed.update(why)


def _table(figures: Sequence[Measured], told: Values) -> Table:
    on = told["machine"]
    where = f"{on['cores']} cores, {on['cpu']}, CPython {told['versions']['python']}"
    title = f"{where}; {build_told(told['build'])}; reference: {told['reference']}"
    table = Table("figure", "median (least .. most)", "target", "", title=title)
    for one in figures:
        table.add_row(*row(one))
    return table


def _keep(path: Path, result: Values, out: Console) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1), "utf-8")
    drawn = {path.with_name(f"{path.stem}-{name}.svg"): chart for name, chart in charts(result["repeats"]).items()}
    for target, chart in drawn.items():
        target.write_text(svg(chart), "utf-8")
    out.print(f"kept: {', '.join(map(str, [path, *drawn]))}", markup=False)


if __name__ == "__main__":
    main()
