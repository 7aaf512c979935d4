"""Two results side by side: `make bench-compare A=old.json B=new.json`.

A ratio counts only where the ranges of the repeats do not touch; such a line is marked `<` (B is less) or `>` (B is more). Below the
table stand the builds, what else differs between the two runs, which cases failed, and which figures only one of them has.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.build import told as build_told
from benchmarks.repeats import Values, few, shown

_OF_THE_MOMENT = ("began_at", "load_average")


def compare(old: Values, new: Values) -> list[tuple[str, str, str, str, str]]:
    """Return (figure, old, new, new ÷ old, mark) of each figure that both results have, in the order of `old`."""
    both = [key for key in old["figures"] if key in new["figures"]]
    return [_line(old["figures"][key], new["figures"][key]) for key in both]


def _line(old: Values, new: Values) -> tuple[str, str, str, str, str]:
    ratio = f"{new['median'] / old['median']:.2f}" if old["median"] else "-"
    mark = "<" if new["max"] < old["min"] else ">" if new["min"] > old["max"] else ""
    return _titled(old["name"], old), _range(old), _range(new), ratio, mark


def _titled(name: str, figure: Values) -> str:
    return f"{name} {figure['unit']}".rstrip()


def _range(figure: Values) -> str:
    given = len(figure.get("values", ()))
    return f"{shown(figure['median'])} ({shown(figure['min'])} .. {shown(figure['max'])}){few(given, figure.get('planned', given))}"


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
    """Return what differs between scale, reference, machines and versions of two results, as `name: old → new`."""
    before, after = _setting(old), _setting(new)
    names = [name for name in before | after if before.get(name) != after.get(name)]
    return [f"{name}: {before.get(name, 'not told')} → {after.get(name, 'not told')}" for name in names]


def _setting(result: Values) -> Values:
    told = {name: result[name] for name in ("scale", "reference") if name in result}
    told |= result.get("machine", {}) | result.get("versions", {})
    return {name: value for name, value in told.items() if name not in _OF_THE_MOMENT}


def builds(old: Values, new: Values) -> list[str]:
    """Return which builds were measured, in one line, where they differ, as they do in most comparisons."""
    before, after = (build_told(one.get("build", {})) for one in (old, new))
    return [f"builds: {before} → {after}"] if before != after else []


def failures(old: Values, new: Values) -> list[str]:
    """Return which cases failed in which of two results, and why, a line each."""
    sides = [("old", old), ("new", new)]
    return [f"failed in {which}: {case}: {why}" for which, one in sides for case, why in one.get("failed", {}).items()]


def lacking(old: Values, new: Values) -> list[str]:
    """Return the figures that only one of two results has, by key, a line each."""
    sides = [("old", old["figures"], new["figures"]), ("new", new["figures"], old["figures"])]
    alone = [(which, key, one) for which, has, other in sides for key, one in has.items() if key not in other]
    return [f"only in {which}: {_titled(key, one)}: {_range(one)}" for which, key, one in alone]


def remarks(old: Values, new: Values) -> list[str]:
    """Return what is to be known beside the table, a line each; none when the two runs are alike and whole."""
    return [*builds(old, new), *(f"not the same: {line}" for line in differing(old, new)), *failures(old, new), *lacking(old, new)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("old")
    parser.add_argument("new")
    chosen = parser.parse_args()
    if not chosen.old or not chosen.new:  # what `make` passes where A or B is not set
        parser.error("which results? Give A=old.json B=new.json; `make bench` keeps them in build/bench")
    old, new = read(Path(chosen.old)), read(Path(chosen.new))
    console = Console()
    table = Table("figure", "old", "new", "new ÷ old", "outside both ranges")
    for cells in compare(old, new):
        table.add_row(*cells)
    console.print(table)
    for line in remarks(old, new):
        console.print(line, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
