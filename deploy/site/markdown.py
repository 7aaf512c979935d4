"""What the pages of `docs/` need to be read by the site's Markdown as everybody else's reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

_FENCE: Final = re.compile(r"^\s*(```|~~~)")
_BLOCK: Final = re.compile(r"^(\||[-*] |\d+\. )")
_BESIDE: Final = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:deploy|examples|tests|benchmarks|README)[\w./-]*\)")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; bars and line ends in cells are made harmless."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def spaced(text: str) -> str:
    """Return a page with an empty line before each list and table: this Markdown takes them for text without one."""
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        before = lines[-1] if lines else ""
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and before.strip() and (begun := _BLOCK.match(line)) and not _goes_on(before, begun[1]):
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _goes_on(before: str, mark: str) -> bool:
    """Tell whether a line belongs to the list or table that the line before it is of."""
    if mark == "|":
        return before.startswith("|")
    return bool(_BLOCK.match(before) and not before.startswith("|")) or before.startswith(" ")


def inside(text: str) -> str:
    """Return a page whose links to files of the tree beside `docs/` are plain names: the site stands alone."""
    return _BESIDE.sub(r"\1", text)
