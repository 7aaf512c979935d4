"""No page gets a command that nobody runs: all blocks and all commands in sentences are typed, or stand in the closed list with a test."""

from __future__ import annotations

import re
from typing import Final

import pytest

from benchmarks.cases import Size, longer, quick
from hookline.console.api.table import ROUTES
from hookline.local.kafka_broker import EmbeddedBroker
from tests.docs.elsewhere import BLOCKS, IN_PASSING, Elsewhere
from tests.docs.pages import PAGES, ROOT, SHELL, blocks, commands, routes_named, said_in_passing, text_of
from tests.docs.typed import BENCHMARKS, DATA, IN_SENTENCES, PROGRAMS, QUERIES, TYPED, line_of, listed

pytestmark = pytest.mark.unit

ALONE: Final = {"statistics", "console"}
QUERY_GATEWAY: Final = ("POST", "/query/NAME")
"""A port of the sink's; `tests/analytics/test_served.py` asks it."""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_listed(page: str) -> None:
    """By its language, or by name."""
    run = [*TYPED, *PROGRAMS, *QUERIES, *DATA]
    assert [str(each) for each in blocks(page) if each not in run and listed(each) is None] == []
    assert [str(each) for each in blocks(page) if each in run and listed(each) is not None] == []


def test_the_list_of_blocks_is_not_stale() -> None:
    """Each of its entries is the beginning of one block."""
    for page, begins in BLOCKS:
        assert len([each for each in blocks(page) if each.text.startswith(begins)]) == 1, (page, begins)


def test_the_list_of_commands_in_sentences_is_not_stale() -> None:
    """Each of its entries stands on a page."""
    said = {text for page in PAGES for text in said_in_passing(page)}
    assert sorted(set(IN_PASSING) - said) == []


@pytest.mark.parametrize("entry", dict.fromkeys([*BLOCKS.values(), *IN_PASSING.values()]), ids=lambda each: each.test)
def test_what_is_run_elsewhere_is(entry: Elsewhere) -> None:
    """The test that an entry names is there; only drawings have none."""
    if not entry.test:
        assert entry.why == "a drawing"
        return
    path, _, function = entry.test.partition("::")
    assert (ROOT / path).is_file(), entry
    assert f"def {function}(" in text_of(path) if function else "def test_" in text_of(path) or path == "tests/fuzz/effort.py", entry


def test_routes_in_sentences_are_routes() -> None:
    """Each `GET /…` on a page is one of the API, or the sink's own."""
    known = {(route.method, route.path) for route in ROUTES} | {QUERY_GATEWAY}
    for page in PAGES:
        for method, path in routes_named(page):
            assert (method, path) in known, f"{page}: {method} {path}"


def test_cases_that_pages_name_are_cases(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What stands behind `--only` of the benchmarks."""
    broker = EmbeddedBroker(tmp_path_factory.mktemp("never-started"))
    cases = {case.name for case in [*quick(broker, Size()), *longer(broker, Size())]} | ALONE
    said = [name for page in PAGES for text in said_in_passing(page) if "bench" in text for name in re.findall(r"--only ([\w-]+)", text)]
    assert len(said) >= 7
    assert set(said) - cases == set()


def test_options_of_benchmarks_are_options() -> None:
    """Each module that pages name can be run, with the options that they give it."""
    said = [text for page in PAGES for text in said_in_passing(page) if BENCHMARKS.fullmatch(text) and not text.startswith("make bench-")]
    assert len(said) >= 10
    for text in said:
        module = re.match(r"python -m benchmarks\.(\w+)", text)
        program = text_of(f"benchmarks/{module[1] if module is not None else '__main__'}.py")
        assert 'if __name__ == "__main__":' in program, text
        assert [option for option in re.findall(r"--[\w-]+", text) if f'add_argument("{option}"' not in program] == [], text


def test_commands_of_a_block_are_found() -> None:
    """Over several lines, by an open quotation or a backslash, with the answers below them."""
    text = '# remark\ncurl x \\\n  -d \'one\n  two\'\n→ 202 {"id": 1,\n   "state": "done"}\nhookline log   # it\'s all\n'
    first, second = commands(text)
    assert (first.line, first.status, first.members) == ("curl x   -d 'one\n  two'", "202", {"id", "state"})
    assert first.words == {("state", "done")}
    assert (line_of(second), second.status) == ("hookline log", "")


def test_there_is_much_to_type() -> None:
    """The parsing finds what it is for."""
    assert len(TYPED) >= 20
    assert len(IN_SENTENCES) >= 10
    assert SHELL[0] == ""
