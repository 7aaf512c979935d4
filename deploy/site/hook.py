"""What mkdocs asks while it builds the site: the pages that are made from the code, and the Markdown as it needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from deploy.site.commands import commands
from deploy.site.markdown import inside, spaced
from deploy.site.pages import metrics, problems, topics
from deploy.site.routes import openapi, routes
from hookline import __version__

MADE: Final[dict[str, Callable[[], str | bytes]]] = {
    "reference/metrics.md": metrics,
    "reference/topics.md": topics,
    "reference/errors.md": problems,
    "reference/commands.md": commands,
    "reference/api.md": routes,
    "reference/openapi.json": openapi,
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the version into the foot of each page."""
    config.copyright = f"Hookline {__version__}"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file holds."""
    for path, made in MADE.items():
        files.append(File.generated(config, path, content=made()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401  # page, config and files, which are not looked at
    """Return a page as this Markdown needs it."""
    return spaced(inside(markdown))
