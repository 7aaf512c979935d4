"""The documentation site: it builds strictly, stands alone, and its reference pages have all that the code has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
import typer

from deploy.grafana.series import COMPONENTS, metrics_of, name_of
from deploy.site.markdown import inside, spaced, table
from hookline.cli.commands import build
from hookline.console.api.table import ROUTES
from hookline.console.http.problems import Code
from hookline.kernel.config import load
from hookline.schemas.topics import Topics, TopicsConfig, specs

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a site that was built strictly: a warning ends the build."""
    into = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(into)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return into


class Loads(HTMLParser):
    """Collects what a browser fetches for a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note sources, and links that are no anchors."""
        found = dict(attrs)
        names = {"link": ("href",), "object": ("data",), "form": ("action",)}.get(tag, ("src", "srcset", "poster"))
        self.addresses += [address for name in names if (address := found.get(name))]


def test_every_page_is_built(site: Path) -> None:
    """Each page of docs/ is on the site, with the pages made from the code."""
    pages = {path.relative_to(DOCS).with_suffix(".html").as_posix().replace("README", "index") for path in DOCS.rglob("*.md")}
    made = {f"reference/{name}.html" for name in ("metrics", "topics", "errors", "commands", "api")}
    assert {path.relative_to(site).as_posix() for path in site.rglob("*.html")} == pages | made | {"404.html"}


def test_nothing_is_fetched_from_another_host(site: Path) -> None:
    """Fonts, scripts, styles and drawings are the site's own."""
    for path in site.rglob("*.html"):
        page = Loads()
        page.feed(path.read_text("utf-8"))
        assert page.addresses
        assert [address for address in page.addresses if re.match(r"(https?:)?//", address)] == [], path
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", path.read_text("utf-8")), path


def test_drawings_can_be_read_without_being_seen() -> None:
    """Each drawing has a title and loads nothing; each page that shows one says in words what it is."""
    drawings = sorted((DOCS / "drawings").glob("*.svg"))
    assert drawings
    pages = "\n".join(path.read_text("utf-8") for path in DOCS.rglob("*.md"))
    for path in drawings:
        text = path.read_text("utf-8")
        assert re.search(r"<title>[^<]{20,}</title>", text)
        assert "href" not in text
        assert re.search(rf"!\[[^\]]{{20,}}\]\(drawings/{path.name}\)", pages), path


def names_of(command: typer.core.TyperGroup, path: str = "hookline") -> list[str]:
    """Return a group's commands and theirs."""
    found: list[str] = []
    for name, child in command.commands.items():
        found += [f"{path} {name}", *(names_of(child, f"{path} {name}") if isinstance(child, typer.core.TyperGroup) else [])]
    return found


def test_reference_pages_have_all_that_the_code_has(site: Path) -> None:
    """Every command with its options, route, problem, metric and topic."""
    root = typer.main.get_command(build())
    assert isinstance(root, typer.core.TyperGroup)
    wanted = {
        "commands": [f"{name}<a" for name in names_of(root)] + ["--dry-run", "HOOKLINE_STORE"],
        "api": [f"{route.method} /api/v1{route.path}" for route in ROUTES],
        "errors": [f"<code>{code}</code>" for code in Code] + ["WarehouseUnavailable"],
        "metrics": [f"<code>{name_of(metric)}</code>" for module in COMPONENTS.values() for metric in metrics_of(module)],
        "topics": [f"<code>{spec.name}</code>" for spec in specs(Topics("hookline"), load(TopicsConfig, {}))],
    }
    for page, texts in wanted.items():
        text = (site / "reference" / f"{page}.html").read_text("utf-8")
        assert [each for each in texts if each not in text] == [], page
        assert len(texts) >= 20


def test_the_openapi_document_lies_beside_its_page(site: Path) -> None:
    """For generators of clients that have no running console."""
    document = json.loads((site / "reference" / "openapi.json").read_text("utf-8"))
    assert sum(len(methods) for methods in document["paths"].values()) == len(ROUTES)


def test_everything_is_found_by_the_search(site: Path) -> None:
    """The index has the pages from files and those from the code."""
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"concepts.html", "guides/sre.html", "reference/commands.html", "reference/api.html", "events.html"} <= places


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("text\n- one\n- two", "text\n\n- one\n- two\n"),
        ("text\n| a |\n|---|\n| b |", "text\n\n| a |\n|---|\n| b |\n"),
        ("1. one\n   goes on\n2. two", "1. one\n   goes on\n2. two\n"),
        ("```\ntext\n- no list\n```\ntext\n* one", "```\ntext\n- no list\n```\ntext\n\n* one\n"),
        ("- one\n| a |", "- one\n\n| a |\n"),
    ],
)
def test_lists_and_tables_stand_apart(given: str, made: str) -> None:
    """A list or table right behind a text is one, as in every other reader; what is code stays as it is."""
    assert spaced(given) == made


def test_links_out_of_the_site_become_names() -> None:
    """A file of the tree cannot be opened from the site; pages can."""
    text = "[rules](../deploy/prometheus/x.yaml), [`a`](../../examples/erp.py), [store](../demo-store.md)"
    assert inside(text) == "rules, `a`, [store](../demo-store.md)"


def test_a_cell_holds_its_text() -> None:
    """Bars and line ends would break a table."""
    assert table(("a",), [("x | y\nz",)]).splitlines()[-1] == "| x \\| y z |"
