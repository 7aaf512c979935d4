"""The benchmark for real, a hundredth of it: what it measures is no figure, that it measures is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.build import ROOT
from benchmarks.cases import FIGURES

pytestmark = [pytest.mark.process, pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.timeout(300)]

CASES = ("dispatcher", "fan-out-10", "whole", "latency")


def test_a_small_run_gives_every_figure_of_its_cases(tmp_path: Path) -> None:
    """Status 0, each figure once and above nothing, the build named, charts beside the result, every case checked."""
    kept = tmp_path / "result.json"
    only = [word for case in CASES for word in ("--only", case)]
    command = [sys.executable, "-m", "benchmarks", "--scale", "0.01", "--repeats", "1", "--json", str(kept), *only]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(kept.read_text("utf-8"))
    wanted = {figure.key for figure in FIGURES if set(figure.cases) <= set(CASES)}
    assert set(result["figures"]) == wanted >= {"dispatcher-us", "dispatcher-memory", "further-us", "whole", "p99", "p50 80 %", "added-p99"}
    assert [key for key in wanted - {"further-us", "added-p99"} if result["figures"][key]["median"] <= 0] == []
    assert result["failed"] == {}
    assert result["build"].keys() == {"commit", "dirty"}
    (repeat,) = result["repeats"]
    assert [case for case in CASES if repeat[case]["signatures_verified"] < 1] == []
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", *(f"result-{name}.svg" for name in ("latency", "rate", "cost"))}
    assert "publish→receive: part of the calls by load" in done.stdout
