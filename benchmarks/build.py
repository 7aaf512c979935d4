"""Which build was measured: the commit of the checkout, and whether its files were as the commit has them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from benchmarks.repeats import Values

ROOT: Final = Path(__file__).resolve().parent.parent
_DIGITS: Final = 12


def build(root: Path = ROOT) -> Values:
    """Return `commit`, and `dirty` where a file differs from it or is new; both None outside a checkout, or where there is no git."""
    if (top := _git(root, "rev-parse", "--show-toplevel")) is None or Path(top).resolve() != root.resolve():
        return {"commit": None, "dirty": None}
    commit, changes = _git(root, "rev-parse", "--verify", "HEAD"), _git(root, "status", "--porcelain")
    return {"commit": commit, "dirty": None if commit is None or changes is None else bool(changes)}


def told(found: Values) -> str:
    """Return it in a few words."""
    if not found.get("commit"):
        return "build not known"
    return f"commit {found['commit'][:_DIGITS]}{', changed' if found.get('dirty') else ''}"


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
