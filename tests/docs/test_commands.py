"""Every command that a page names exists, with the options that the page gives it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from hookline.cli.commands import build

pytestmark = pytest.mark.unit

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS: Final = ("schemas", "producers", "webhooks", "dispatcher", "analytics", "console", "hookline", "deploy", "examples")
SOURCES: Final = [path for folder in FOLDERS for suffix in ("py", "html", "txt", "sh") for path in (ROOT / folder).rglob(f"*.{suffix}")]
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


def test_every_command_that_the_program_names_is_one() -> None:
    """In remedies, hints and help texts, with their options."""
    found = 0
    for text in [text for path in SOURCES for text in texts_of(path)]:
        for said in re.finditer(r"(?<![\w./-])hookline ([a-z][a-z-]+[^`.\n;:)]*)", text):
            command, options, _ = known(said[1].split())
            assert command is not ROOT_COMMAND, said[0]
            assert [option for option in re.findall(r" (--[\w-]+)", said[1]) if option not in options] == [], said[0]
            found += 1
    assert found > 80


def texts_of(path: Path) -> list[str]:
    """Return the texts of a program, or the whole of a template."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return [text]
    return [each.value for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def test_all_but_the_processes_and_the_demo_answer_in_json() -> None:
    """As the README says."""
    assert {path for path, command in leaves(ROOT_COMMAND) if "--json" not in [name for each in command.params for name in each.opts]} == {
        "up",
        "ingest",
        "dispatch",
        "sink",
        "console",
        "demo",
    }


def leaves(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command that is no group, with its words."""
    for name, each in getattr(command, "commands", {}).items():
        yield from leaves(each, f"{path} {name}".strip())
    if not hasattr(command, "commands"):
        yield path, command


def test_the_commands_of_a_page_are_found() -> None:
    """In blocks, behind prompts and pipes, in inline code; not in words of prose."""
    block = "X=$(hookline log show MSG --json | jq)\n. x && hookline stats --days 3 # seven\nkubectl -n hookline get pods\n"
    text = f"Use hookline well.\n```\n{block}```\nor `hookline up --fresh`"
    assert [each.strip() for each in mentions(text, "hookline")] == ["log show MSG --json", "stats --days 3", "up --fresh"]
    command, options, left = known(["log", "show", "MSG", "--nonsense"])
    assert (command.name, left) == ("show", ["MSG", "--nonsense"])
    assert "--json" in options
    assert "--nonsense" not in options
