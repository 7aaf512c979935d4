"""The shape of the tree: who may import whom, and how large a piece may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
ORDER = ["kernel", "schemas", "producers", "webhooks", "dispatcher", "analytics", "console", "local", "cli"]
APART = {("dispatcher", "analytics"), ("analytics", "dispatcher"), ("producers", "webhooks"), ("webhooks", "producers")}
ROOMS = {room: ROOT / room if (ROOT / room).is_dir() else ROOT / "hookline" / room for room in ORDER}
LONGEST_FUNCTION = 60
LONGEST_MODULE = 400
LONGEST_EXAMPLE = 150


def modules() -> Iterator[tuple[str, Path]]:
    """Yield (room, file) of every module of the package."""
    for room, folder in ROOMS.items():
        for path in sorted(folder.rglob("*.py")):
            yield room, path


def rooms_imported(path: Path) -> set[str]:
    """Return which rooms a module imports from, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("hookline.")} & set(ORDER)


def wrong_way(here: str, there: str) -> bool:
    """Tell whether an import goes against the order, or between two rooms that meet on a topic only."""
    return ORDER.index(there) > ORDER.index(here) or (here, there) in APART


def test_imports_point_left_to_right_only() -> None:
    """No module imports from a room to the right of its own, nor across the pairs that are kept apart."""
    found = [
        f"{path.relative_to(ROOT)} imports hookline.{there}"
        for here, path in modules()
        for there in sorted(rooms_imported(path))
        if there != here and wrong_way(here, there)
    ]
    assert found == []


def test_every_room_is_linked_into_the_package() -> None:
    """Each component folder is a package under hookline/, by a relative link, so that all tools see one package."""
    for room in ("schemas", "producers", "webhooks", "dispatcher", "analytics", "console"):
        link = ROOT / "hookline" / room
        assert link.is_symlink()
        assert link.readlink() == Path("..") / room


def test_no_module_is_too_long() -> None:
    """A module has one subject: at most 400 lines, tests too."""
    files = [path for _, path in modules()] + sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "examples").rglob("*.py"))
    assert [str(path.relative_to(ROOT)) for path in files if len(path.read_text("utf-8").splitlines()) > LONGEST_MODULE] == []


def test_an_example_is_read_in_one_go() -> None:
    """Each of the five programs is at most 150 lines."""
    files = [ROOT / "examples" / f"{name}.py" for name in ("erp", "low_stock", "marketing", "slack", "dashboard")]
    assert [path.name for path in files if len(path.read_text("utf-8").splitlines()) > LONGEST_EXAMPLE] == []


def test_no_function_is_too_long() -> None:
    """A function does one thing: at most 60 lines."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in [path for _, path in modules()] + sorted((ROOT / "examples").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or node.lineno) - node.lineno >= LONGEST_FUNCTION
    ]
    assert found == []


def test_the_lock_has_hashes_and_names_no_host() -> None:
    """Every requirement is pinned with hashes, and nothing says where it comes from."""
    text = (ROOT / "requirements.lock").read_text("utf-8")
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert all("==" in line for line in pins)
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text
    assert "index-url" not in text
