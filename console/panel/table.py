"""The page table: every page of the panel."""

from __future__ import annotations

from typing import Final

from hookline.console.panel.page import Page
from hookline.console.panel.pages import overview, signing_in, stores

PAGES: Final[tuple[Page, ...]] = (
    *signing_in.PAGES,
    *stores.PAGES,
    *overview.PAGES,
)
