"""The page of the conformance suite's clauses: `python -m tests.dispatcher.clauses > docs/conformance.md`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent
_ORDER: Final = ("transport", "connections", "phases", "guard", "spellings", "certificates", "broken_tls", "manners")
_OF: Final = "tests/dispatcher/test_native_transport.py"
_HEAD: Final = """\
# What a transport must do
Every way to send a request passes this suite, against hostile servers on raw sockets: Hookline's own sender (`HOOKLINE_TRANSPORT=native`)
and the one on aiohttp, each on asyncio's loop and on uvloop ([transport.md](transport.md)). A clause is a test, told by its docstring;
beside it stands how many cases one transport has of it on both loops.

This page is made from the tests: `python -m tests.dispatcher.clauses > docs/conformance.md`.
"""


def page() -> str:
    """Return the page."""
    counts = _counts()
    parts = [_part(name, counts) for name in _ORDER]
    total = sum(counts[name] for part in _ORDER for name in _tests(part))
    return "\n".join([_HEAD, f"{total:,} cases for each transport.", *parts]) + "\n"


def _part(name: str, counts: Counter[str]) -> str:
    rows = [f"| {_clause(test)} | {counts[test.name]} |" for test in _tests(name).values()]
    about = _said(ast.get_docstring(_tree(name)) or "")
    return "\n".join([f"\n## `{name}_conformance.py`", about, "", "| clause | cases |", "|---|---|", *rows])


def _tree(name: str) -> ast.Module:
    return ast.parse((_FOLDER / f"{name}_conformance.py").read_text())


def _tests(name: str) -> dict[str, ast.AsyncFunctionDef | ast.FunctionDef]:
    """Return the tests of a part by name, in their order."""
    functions = [node for node in ast.walk(_tree(name)) if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)]
    return {node.name: node for node in functions if node.name.startswith("test_")}


def _clause(test: ast.AsyncFunctionDef | ast.FunctionDef) -> str:
    name = test.name.removeprefix("test_").replace("_", " ")
    return f"**{name}**: {_said(ast.get_docstring(test) or '')}"


def _said(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _counts() -> Counter[str]:
    """Return how many cases each test has for one transport."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", _OF],
        capture_output=True,
        text=True,
        cwd=_FOLDER.parents[1],
        timeout=120,
        check=True,
    )
    return Counter(line.rpartition("::")[2].partition("[")[0] for line in done.stdout.splitlines() if "::" in line)


if __name__ == "__main__":
    sys.stdout.write(page())
