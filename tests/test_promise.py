"""The promise page: every test and every setting that it names exists, and every promise has a proof or says that it has none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hookline.cli.config import rows

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "promise.md").read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
WITHOUT_PROOF = {"9"}
"""Promises that are a limit."""


def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file, those of classes too."""
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}::{name}" for path, name in NAMED])
def test_the_test_exists(path: str, name: str) -> None:
    """A proof that is named can be run."""
    assert name.startswith("test_")
    assert name in names_in(ROOT / path)


def test_every_promise_has_a_proof() -> None:
    """Each numbered section names at least one test, but for those that say what is not kept."""
    sections = dict(re.findall(r"^### (\d+)\. [^\n]*\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert [int(number) for number in sections] == list(range(1, len(sections) + 1))
    assert len(sections) >= 15
    without = {number for number, text in sections.items() if not re.search(r"`tests/[\w/]+\.py::\w+`", text)}
    assert without == WITHOUT_PROOF


def test_the_settings_and_pages_exist() -> None:
    """Variables are Hookline's, links lead to pages."""
    known = {row["variable"] for row in rows({})}
    assert set(re.findall(r"`(HOOKLINE_\w+)`", PAGE)) <= known
    for page in set(re.findall(r"\]\(([\w-]+\.md)\)", PAGE)):
        assert (ROOT / "docs" / page).exists(), page
    for path in set(re.findall(r"`(deploy/[\w./-]+)`", PAGE)):
        assert (ROOT / path).exists(), path
    assert "## Not promised" in PAGE


def test_every_safeguard_has_its_place_and_its_test() -> None:
    """Each row of the table names files that there are, how the safeguard was broken, and at least one test."""
    section = PAGE.partition("## How each safeguard is guarded")[2].partition("\n## ")[0]
    rows_of = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows_of) >= 20
    for safeguard, where, broken, proof in rows_of:
        places = re.findall(r"`([\w/]+\.(?:py|sql))`", where)
        assert places, safeguard
        assert all((ROOT / place).is_file() for place in places), where
        assert broken, safeguard
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`", proof), safeguard
