"""Every command that a page names exists, with the options that the page gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from hookline.cli.commands import build

pytestmark = pytest.mark.unit

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED: Final = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENDS: Final = re.compile(r"\s(?:\||>|>>|&&|;|#|…|→)(?:\s|$)|[;)`\n]|\s{3,}")
OTHERS: Final = ("kubectl ", "helm ", "docker ")
"""Their words may be a program's name too."""
ROOT_COMMAND: Final[Any] = typer.main.get_command(build())


def mentions(text: str, program: str) -> Iterator[str]:
    """Yield what is typed behind the name of a program, in blocks and in inline code, up to the next command or remark."""
    blocks = FENCED.findall(text)
    inline = re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
    for piece in [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + inline:
        if piece.startswith(OTHERS):
            continue
        for found in re.finditer(rf"(?:^|[\s(\"'/|]){program} +(?=[a-z-])", piece):
            yield ENDS.split(piece[found.end() :], maxsplit=1)[0]


def known(words: list[str]) -> tuple[Any, list[str], list[str]]:
    """Return the command that some words name, all options on the way to it, and the words that are left."""
    command, options = ROOT_COMMAND, ["--help"]
    while True:
        options += [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
        if not words or words[0] not in getattr(command, "commands", {}):
            return command, options, words
        command, words = command.commands[words[0]], words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_hookline_command_is_one(page: Path) -> None:
    """Its name, and each option that stands behind it."""
    for typed in mentions(page.read_text("utf-8"), "hookline"):
        words = typed.replace("[", "").replace("]", "").split()
        if words[0].startswith("--"):
            assert words[0] in {"--help", "--version"}, typed
            continue
        command, options, left = known(words)
        assert command is not ROOT_COMMAND, f"{page}: hookline {typed}"
        given = re.findall(r"(?:^| )(--[\w-]+)", " ".join(left))
        assert [option for option in given if option not in options] == [], f"{page}: hookline {typed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_is_one(page: Path) -> None:
    """As `make help` lists them."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for typed in mentions(page.read_text("utf-8"), "make"):
        named = [word for word in re.sub(r"\"[^\"]*\"", "", typed).split() if re.fullmatch(r"[a-z][a-z-]*", word)]
        assert [name for name in named if name not in targets] == [], f"{page}: make {typed}"


def test_the_commands_of_a_page_are_found() -> None:
    """In blocks, behind prompts and pipes, in inline code; not in words of prose."""
    block = "X=$(hookline log show MSG --json | jq)\n. x && hookline stats --days 3 # seven\nkubectl -n hookline get pods\n"
    text = f"Use hookline well.\n```\n{block}```\nor `hookline up --fresh`"
    assert [each.strip() for each in mentions(text, "hookline")] == ["log show MSG --json", "stats --days 3", "up --fresh"]
    command, options, left = known(["log", "show", "MSG", "--nonsense"])
    assert (command.name, left) == ("show", ["MSG", "--nonsense"])
    assert "--json" in options
    assert "--nonsense" not in options
