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
from typing import Any, TypeAlias

import psutil

Values: TypeAlias = dict[str, Any]
Found: TypeAlias = Mapping[str, Values]
"""What the cases of one repeat gave, by case."""
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


def _look_up(found: Found, path: str) -> float | None:
    case, value = path.split(".", 1)
    return None if case not in found or value not in found[case] else float(found[case][value])


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its repeats, in the order in which they were made; never empty."""

    figure: Figure
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median of the repeats."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Tell whether the median meets the target; None without one."""
        if self.figure.target is None:
            return None
        return self.median <= self.figure.target if self.figure.at_most else self.median >= self.figure.target

    def to_json(self) -> Values:
        """Return what a result file keeps."""
        figure = self.figure
        kept = {"name": figure.name, "unit": figure.unit, "target": figure.target, "at_most": figure.at_most, "met": self.met}
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


def measured(figures: Sequence[Figure], repeats: Sequence[Found]) -> list[Measured]:
    """Return each figure that at least one repeat gave."""
    values = {figure: tuple(v for found in repeats if (v := figure.value(found)) is not None) for figure in figures}
    return [Measured(figure, given) for figure, given in values.items() if given]


def row(one: Measured) -> tuple[str, str, str, str]:
    """Return a table's cells: name, median (least .. most), target, met or missed."""
    unit = f" {one.figure.unit}".rstrip()
    told = f"{shown(one.median)}{unit} ({shown(min(one.values))} .. {shown(max(one.values))})"
    target = one.figure.target
    aim = "" if target is None else f"{'≤' if one.figure.at_most else '≥'} {shown(target)}{unit}"
    return one.figure.name, told, aim, {True: "met", False: "missed", None: ""}[one.met]


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
