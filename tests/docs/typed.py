"""What these tests run of the pages: everything that is not in the closed list, by the language of its block."""

from __future__ import annotations

import re
from typing import Final

from tests.docs.elsewhere import BLOCKS, IN_PASSING, Elsewhere
from tests.docs.pages import PAGES, SHELL, Block, Command, blocks, commands, said_in_passing


def listed(one: Block) -> Elsewhere | None:
    """Return the entry of the closed list that a block has."""
    return next((entry for (page, begins), entry in BLOCKS.items() if page == one.page and one.text.startswith(begins)), None)


def line_of(command: Command) -> str:
    """Return a command without the remark behind it."""
    return re.split(r"\s+#", command.line)[0].strip()


_ALL: Final = [each for page in PAGES for each in blocks(page)]
_HERE: Final = [each for each in _ALL if listed(each) is None]
TYPED: Final = [each for each in _HERE if each.language in SHELL]
PROGRAMS: Final = [each for each in _HERE if each.language == "python"]
QUERIES: Final = [each for each in _HERE if each.language == "sql"]
DATA: Final = [each for each in _HERE if each.language in {"json", "yaml"}]
"""Files that other blocks of the page read, and events; `test_snippets.py` has a test for each kind."""


BENCHMARKS: Final = re.compile(r"(?:make bench|python -m benchmarks(?:\.\w+)?)\b.*")
"""Minutes long, each of them: `test_every_page.py` looks at the names and options that pages give."""


def _elsewhere(text: str) -> bool:
    """Tell whether the closed list, or a block, has a command or a longer form of it."""
    lines = [line_of(command) for each in _ALL if each.language in SHELL for command in commands(each.text)]
    return any(line == text or line.startswith(f"{text} ") for line in [*IN_PASSING, *lines])


IN_SENTENCES: Final = {
    text: page for page in reversed(PAGES) for text in said_in_passing(page) if not BENCHMARKS.fullmatch(text) and not _elsewhere(text)
}
"""Command → the first page that says it, where no block has it."""
