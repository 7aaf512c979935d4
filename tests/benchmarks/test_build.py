"""A result names the build that was measured."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.build import build, told

pytestmark = pytest.mark.process


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_checkout_has_a_commit_and_may_be_changed(tmp_path: Path) -> None:
    """A changed file and a new one make it another build than its commit."""
    _git(tmp_path, "init", "--quiet")
    assert build(tmp_path) == {"commit": None, "dirty": None}
    (tmp_path / "a").write_text("a")
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "--quiet", "--message", "a")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert build(tmp_path) == {"commit": commit, "dirty": False}
    assert told(build(tmp_path)) == f"commit {commit[:12]}"
    (tmp_path / "b").write_text("b")
    assert build(tmp_path) == {"commit": commit, "dirty": True}
    assert told(build(tmp_path)) == f"commit {commit[:12]}, changed"


def test_outside_a_checkout_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unpacked archive has no commit, nor has a folder in another project's checkout, nor a machine without git."""
    none = {"commit": None, "dirty": None}
    assert build(tmp_path) == none
    assert told(none) == told({}) == "build not known"
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "inner").mkdir()
    assert build(tmp_path / "inner") == none
    monkeypatch.setenv("PATH", "")
    assert build() == none
