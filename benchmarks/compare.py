"""Two results side by side: `make bench-compare A=old.json B=new.json`.

A ratio counts only where the ranges of the repeats do not touch; such a line is marked `<` (B is less) or `>` (B is more).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.repeats import Values, shown


def compare(old: Values, new: Values) -> list[tuple[str, str, str, str, str]]:
    """Return (figure, old, new, new ÷ old, mark) of each figure that both results have, in the order of `old`."""
    both = [key for key in old["figures"] if key in new["figures"]]
    return [_line(old["figures"][key], new["figures"][key]) for key in both]


def _line(old: Values, new: Values) -> tuple[str, str, str, str, str]:
    ratio = f"{new['median'] / old['median']:.2f}" if old["median"] else "-"
    mark = "<" if new["max"] < old["min"] else ">" if new["min"] > old["max"] else ""
    return f"{old['name']} {old['unit']}".rstrip(), _range(old), _range(new), ratio, mark


def _range(figure: Values) -> str:
    return f"{shown(figure['median'])} ({shown(figure['min'])} .. {shown(figure['max'])})"


def read(path: Path) -> Values:
    """Return a result; end the program, with what to do, when the file holds none."""
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} cannot be read: {error}; make one with `make bench ARGS='--json FILE'`") from error
    if not isinstance(found, dict) or not isinstance(found.get("figures"), dict):
        raise SystemExit(f"{path} is no result of `make bench`: it has no figures")
    return found


def differing(old: Values, new: Values) -> list[str]:
    """Return what differs between the machines and versions of two results, as `name: old → new`."""
    pairs = [(part, name) for part in ("machine", "versions") for name in old.get(part, {}) if name not in ("began_at", "load_average")]
    found = [(name, old[part][name], new.get(part, {}).get(name)) for part, name in pairs]
    return [f"{name}: {before} → {after}" for name, before, after in found if before != after]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    chosen = parser.parse_args()
    old, new = read(chosen.old), read(chosen.new)
    console = Console()
    table = Table("figure", "old", "new", "new ÷ old", "outside both ranges")
    for line in compare(old, new):
        table.add_row(*line)
    console.print(table)
    for difference in differing(old, new):
        console.print(f"not the same: {difference}", markup=False)


if __name__ == "__main__":
    main()
