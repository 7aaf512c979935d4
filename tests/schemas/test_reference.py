"""The page about events is what the catalogue says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.files import shared
from hookline.schemas.reference import document

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def test_the_page_is_what_the_code_says() -> None:
    """docs/events.md is written by `hookline events types --reference`."""
    assert PAGE.read_text() == document(), "run: hookline events types --reference > docs/events.md"


def test_every_type_and_every_shared_type_has_its_place() -> None:
    """Each has a heading, and every link leads to one."""
    text = document()
    headings = {line.lstrip("# ").lower().replace(".", "").replace(" ", "-") for line in text.splitlines() if line.startswith("#")}
    assert {name.replace(".", "") for name in EVENT_TYPES} <= headings
    assert {schema["name"].lower() for schema in shared().values()} <= headings
    assert set(re.findall(r"\(#([^)]*)\)", text)) <= headings


def test_the_examples_on_the_page_are_the_examples() -> None:
    """The JSON on the page is the catalogue's, in its order."""
    found = [json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", document(), re.DOTALL)]
    assert found == [dict(kind.example) for kind in EVENT_TYPES.values()]
