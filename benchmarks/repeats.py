"""Repeats: each case is run in turn, several times over, and each figure is the median of its repeats, with least and most."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil

Values: TypeAlias = dict[str, Any]
Found: TypeAlias = Mapping[str, Values]
"""What the cases of one repeat gave, by case."""
STAND_IN: Final = "stand_in"
"""What a case sets when something else ran in place of the reference: no target holds for a ratio to it."""
_LIBRARIES = ("hookline", "uvloop", "httptools", "confluent-kafka", "fastavro", "orjson", "aiohttp", "chdb")


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to run. `run` is given what the cases before it gave in the same repeat."""

    name: str
    run: Callable[[Found], Values]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: `over`, or `over` ÷ `under`, each a `case.value`; the target is at least, or `at_most`; None: there is none."""

    key: str
    name: str
    unit: str
    over: str
    under: str = ""
    target: float | None = None
    at_most: bool = False

    def value(self, found: Found) -> float | None:
        """Return this figure of one repeat; None when one of its cases was not run or has failed."""
        over = _look_up(found, self.over)
        under = _look_up(found, self.under) if self.under else 1.0
        return None if over is None or not under else over / under

    @property
    def cases(self) -> tuple[str, ...]:
        """Return the cases that it stands on."""
        return tuple(path.split(".", 1)[0] for path in (self.over, self.under) if path)

    def stands_in(self, found: Found) -> bool:
        """Tell whether it is a ratio to what stood in for the reference in this repeat."""
        return bool(self.under) and bool(found.get(self.cases[1], {}).get(STAND_IN))


def _look_up(found: Found, path: str) -> float | None:
    case, value = path.split(".", 1)
    return None if case not in found or value not in found[case] else float(found[case][value])


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its repeats, in the order in which they were made; never empty.

    `planned`: how many repeats were to give it; more than there are values when some failed. `stand_in`: it is a ratio to what stood in
    for the reference.
    """

    figure: Figure
    values: tuple[float, ...]
    planned: int = 0
    stand_in: bool = False

    @property
    def median(self) -> float:
        """Return the median of the repeats."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Tell whether the median meets the target; None without one, and where the target is for a ratio to another reference."""
        if self.figure.target is None or self.stand_in:
            return None
        return self.median <= self.figure.target if self.figure.at_most else self.median >= self.figure.target

    def to_json(self) -> Values:
        """Return what a result file keeps."""
        figure = self.figure
        kept = {"name": figure.name, "unit": figure.unit, "target": figure.target, "at_most": figure.at_most, "met": self.met}
        kept |= {"planned": max(self.planned, len(self.values)), STAND_IN: self.stand_in}
        return kept | {"median": self.median, "min": min(self.values), "max": max(self.values), "values": list(self.values)}


def interleave(cases: Sequence[Case], repeats: int, tell: Callable[[str], None]) -> tuple[list[dict[str, Values]], dict[str, str]]:
    """Run A B C, A B C, … and return what each repeat gave, and why which case failed.

    Whatever disturbs the machine for a while so touches one repeat of several cases, and not all repeats of one. A case that ends with
    an error has failed: it is told, and the others go on.
    """
    found: list[dict[str, Values]] = []
    failed: dict[str, str] = {}
    for number in range(1, repeats + 1):
        found.append({})
        for case in cases:
            began = time.monotonic()
            try:
                found[-1][case.name] = case.run(found[-1])
            except SystemExit as error:
                failed[case.name] = str(error)
            except Exception as error:  # noqa: BLE001  # an hour's other figures must not be lost with it
                failed[case.name] = f"{type(error).__name__}: {error}"
            ended = f"failed: {failed[case.name]}" if case.name not in found[-1] else f"{time.monotonic() - began:.1f} s"
            tell(f"{number}/{repeats} {case.name}: {ended}")
    return found, failed


def measured(figures: Sequence[Figure], repeats: Sequence[Found], planned: Mapping[str, int] | None = None) -> list[Measured]:
    """Return each figure that at least one repeat gave; `planned` tells of cases that are run less often than there are repeats."""
    found = [_measured(figure, repeats, planned or {}) for figure in figures]
    return [one for one in found if one.values]


def _measured(figure: Figure, repeats: Sequence[Found], planned: Mapping[str, int]) -> Measured:
    values = tuple(value for found in repeats if (value := figure.value(found)) is not None)
    often = min(planned.get(case, len(repeats)) for case in figure.cases)
    return Measured(figure, values, often, any(figure.stands_in(found) for found in repeats))


def row(one: Measured) -> tuple[str, str, str, str]:
    """Return a table's cells: name, median (least .. most) and of how many repeats when some failed, target, met or missed."""
    unit = f" {one.figure.unit}".rstrip()
    told = f"{shown(one.median)}{unit} ({shown(min(one.values))} .. {shown(max(one.values))}){few(len(one.values), one.planned)}"
    target = one.figure.target
    aim = "" if target is None else f"{'≤' if one.figure.at_most else '≥'} {shown(target)}{unit}"
    return one.figure.name, told, aim, _verdict(one)


def _verdict(one: Measured) -> str:
    if one.stand_in and one.figure.target is not None:
        return "(not comparable: no wrk)"
    return {True: "met", False: "missed", None: ""}[one.met]


def few(given: int, planned: int) -> str:
    """Return the mark of a median of fewer repeats than were planned; empty for one of all."""
    return f", {given} of {planned} repeats" if given < planned else ""


def shown(value: float) -> str:
    """Return a number with three or more digits that count."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def machine() -> Values:
    """Return what the figures depend on; `load_average` is the one of the minute before the run."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": round(os.getloadavg()[0], 2),
        "began_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries on the way of an event; one that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
