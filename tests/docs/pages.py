"""What pages hold: fenced blocks, the commands in them with the answers that they promise, and commands in the middle of a sentence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")))
SHELL: Final = ("", "sh", "bash", "shell", "console")
"""Languages of a block that a reader types into a terminal; most say none."""
_FENCED: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_PROGRAMS: Final = r"hookline|make|python3?|pip|docker|kubectl|helm|promtool|curl|wrk|py-spy|kafka-[\w-]+\.sh"
_COMMAND: Final = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:(?:{_PROGRAMS}) [\w'<-]|\.ci/run|\.venv/bin/\S+ )")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    text: str

    def __str__(self) -> str:
        """Return its page and how it begins, for people."""
        return f"{self.page}: {self.text.splitlines()[0][:60]}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a block; `answer` is what the page shows of its answer, empty where it shows none."""

    line: str
    answer: str

    @property
    def status(self) -> str:
        """Return the HTTP status that the page promises; empty: none."""
        found = re.match(r"→ (\d{3})", self.answer)
        return found[1] if found is not None else ""

    @property
    def members(self) -> set[str]:
        """Return the names of the members that the page shows in a JSON answer."""
        return set(re.findall(r'"(\w+)":', self.answer))

    @property
    def words(self) -> set[tuple[str, str]]:
        """Return (member, value) of the members there whose value is a word of the API's, such as a state or a verdict."""
        return set(re.findall(r'"(\w+)": ?"([a-z_]+)"', self.answer))


def text_of(page: str) -> str:
    """Return a page as it is."""
    return (ROOT / page).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [Block(page, found[2], found[3]) for found in _FENCED.finditer(text_of(page))]


def block(page: str, begins: str) -> str:
    """Return the one block of a page that begins with this."""
    [found] = [each.text for each in blocks(page) if each.text.startswith(begins)]
    return found


def commands(text: str) -> Iterator[Command]:
    """Yield each command of a block, whole where it goes over several lines, with the answer that stands below it."""
    lines = text.replace("\\\n", "").replace("|\n", "| ").splitlines()
    while lines:
        line = lines.pop(0)
        while lines and _goes_on(line):
            line += "\n" + lines.pop(0)
        answer: list[str] = []
        while lines and lines[0].startswith(("→", "   ")):
            answer.append(lines.pop(0))
        if line.strip() and not line.startswith("#"):
            yield Command(line, "\n".join(answer))


def _goes_on(line: str) -> bool:
    """Tell whether a quotation is open at the end."""
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return True
    return False


def said_in_passing(page: str) -> list[str]:
    """Return the commands that stand in the sentences of a page, each once."""
    found = _INLINE.findall(_FENCED.sub("", text_of(page)))
    return list(dict.fromkeys(text for text in found if _COMMAND.match(text)))


def routes_named(page: str) -> list[tuple[str, str]]:
    """Return (method, path) of the API's routes in the sentences of a page, without prefix, query and what stands for ids."""
    found = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`\s?]*)", _FENCED.sub("", text_of(page)))
    return [(method, path.removeprefix("/api/v1")) for method, path in found]
