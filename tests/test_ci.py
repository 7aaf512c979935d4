"""`.ci/run` with programs that stand in for make and Go: what it says of the chart's tests, and how it ends."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.unit

SCRIPT: Final = Path(__file__).parent.parent / ".ci" / "run"
TOOLS: Final = ("bash", "cat", "chmod", "dirname", "env", "mkdir", "mktemp", "rm")
NOT_TESTED: Final = "NOT TESTED: the Helm chart"
BUILDS: Final = 'mkdir -p "$GOBIN"; echo "#!/bin/sh" > "$GOBIN/helm"; chmod +x "$GOBIN/helm"'


def ran(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Return what a copy of the script did where there are only a few tools and these programs."""
    (folder / ".ci").mkdir()
    shutil.copy(SCRIPT, folder / ".ci" / "run")
    (folder / "bin").mkdir()
    for tool in TOOLS:
        (folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
    for name, code in programs.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{code}\n")
        path.chmod(0o755)
    command = [str(folder / "bin" / "bash"), str(folder / ".ci" / "run")]
    return subprocess.run(command, env={"PATH": str(folder / "bin")}, capture_output=True, text=True, check=False, timeout=30)


def test_a_helm_that_cannot_be_built_is_told_with_its_output(tmp_path: Path) -> None:
    """Go's words are shown, and a line says what is not tested; the last line is the tests', and the run as green as they are."""
    done = ran(tmp_path, make='echo "make $*"', go="echo proxy refused >&2; exit 1")
    assert done.returncode == 0
    assert "helm could not be built:\nproxy refused\n" in done.stdout
    said, last = done.stdout.splitlines()[-2:]
    assert said.startswith(NOT_TESTED)
    assert last == "make test ARGS=-q"


def test_a_helm_that_was_built_leaves_nothing_to_say(tmp_path: Path) -> None:
    """The tests find it on their path."""
    done = ran(tmp_path, make='[ "$1" != test ] || { helm && echo helm runs; }', go=BUILDS)
    assert (done.returncode, done.stdout) == (0, "helm runs\n")


def test_without_go_the_chart_is_not_tested_either(tmp_path: Path) -> None:
    """That is said too."""
    done = ran(tmp_path, make=":")
    assert done.returncode == 0
    assert done.stdout == f"{NOT_TESTED} (tests/deploy/test_helm.py skips): there is neither helm nor Go here\n"


def test_a_failed_test_fails_the_run_whatever_else_is_said(tmp_path: Path) -> None:
    """Nothing that is said hides the status."""
    done = ran(tmp_path, make='[ "$1" != test ]', go="exit 1")
    assert done.returncode != 0
    assert NOT_TESTED in done.stdout
