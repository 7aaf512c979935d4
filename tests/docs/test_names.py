"""What pages name is there: settings, metrics, files, tests, faults."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import pytest

from deploy.grafana.series import COMPONENTS, metrics_of, name_of
from hookline import __version__
from hookline.cli.config import OTHERS, components
from hookline.kernel.config import settings_of
from tests.chaos.faults.catalogue import FAULTS
from tests.docs.pages import PAGES, ROOT, text_of

pytestmark = pytest.mark.unit

ALL: Final = (*PAGES, "CHANGELOG.md")
SETTINGS: Final = {spec.env for _, component in components() for _, spec in settings_of(component)} | {spec.env for spec in OTHERS}
OF_DEPLOY: Final = {"CLICKHOUSE_URL_CONSOLE", "CLICKHOUSE_URL_MIGRATOR", "CLICKHOUSE_URL_SINK", "HOOKLINE_SCREENSHOTS"}
"""Keys of the chart's Secret, and a variable of the tests."""
METRICS: Final = {name_of(metric) for module in COMPONENTS.values() for metric in metrics_of(module)}
NO_METRICS: Final = {"hookline_analyst", "hookline_console", "hookline_migrator", "hookline_reader", "hookline_sink"} | {
    "hookline_docs",
    "hookline_migrations",
    "hookline_reading",
}
"""Users of ClickHouse; a label, a table, a settings profile."""
MADE: Final = {"hookline.env", "environment.json", "keys.json", "ports.json"} | {
    ".chaos/report.json",
    ".chaos/report.md",
    "build/bench/TIME.json",
    "dist/hookline.cdx.json",
}
"""Files that a reader, a stack or a target of make makes."""
KAFKAS: Final = re.compile(r"kafka-[\w-]+\.sh")


@pytest.mark.parametrize("page", ALL)
def test_settings_are_settings(page: str) -> None:
    """Each variable is one that a process, a command or the chart reads; one that ends with `_` is the beginning of several."""
    for name in set(re.findall(r"\b(?:HOOKLINE|KAFKA|CLICKHOUSE|SCHEMA_REGISTRY)_[A-Z_]+\b", text_of(page))):
        assert name in SETTINGS | OF_DEPLOY or (name.endswith("_") and any(each.startswith(name) for each in SETTINGS)), name


@pytest.mark.parametrize("page", ALL)
def test_metrics_are_metrics(page: str) -> None:
    """Each name that looks like one, whole or its beginning."""
    for name in set(re.findall(r"\bhookline_[a-z_]+\b", text_of(page))) - NO_METRICS:
        assert any(each.startswith(name) for each in METRICS), name


@pytest.mark.parametrize("page", ALL)
def test_files_and_tests_are_there(page: str) -> None:
    """Each file by its path, or by its end where the page has named the folder; each test in its file."""
    named = set(re.findall(r"`([\w.-][\w./-]*\.(?:py|sql|yaml|sh|csv|json|md|env|example|svg))`", text_of(page))) - MADE
    assert sorted(name for name in named if name not in tails() and not KAFKAS.fullmatch(name)) == []
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of(page)):
        assert f"def {name}(" in text_of(path), name


@cache
def tails() -> frozenset[str]:
    """Return the path of each file of the tree, and all its ends."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name not in {"build", "dist"}]
    found = [path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts]
    parts = [path.relative_to(ROOT).parts for path in (*found, *ROOT.glob("*.*"))]
    return frozenset("/".join(each[at:]) for each in parts for at in range(len(each)))


def test_the_version_is_this_one() -> None:
    """Images are tagged with it on the pages."""
    said = [found for page in PAGES for found in re.findall(r"\bhookline:(\d+\.\d+\.\d+)", text_of(page))]
    assert said
    assert set(said) == {__version__}


def test_options_of_examples_are_options() -> None:
    """Those that pages give to `make example`."""
    program = text_of("examples/__main__.py")
    said = [words for page in PAGES for words in re.findall(r"make example [^\n`]*?ARGS=(\"[^\"]+\"|\S+)", text_of(page))]
    assert len(said) >= 3
    assert [option for words in said for option in re.findall(r"--\w+", words) if f'add_argument("{option}"' not in program] == []


def test_faults_are_faults() -> None:
    """Those that pages give to `make chaos`."""
    said = [name for page in PAGES for names in re.findall(r"\bFAULT=([\w,-]+)", text_of(page)) for name in names.split(",")]
    assert len(said) >= 3
    assert set(said) - set(FAULTS) == set()
