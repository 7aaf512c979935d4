"""The page of the conformance suite's clauses is what the tests say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dispatcher.clauses import page

pytestmark = pytest.mark.process


def test_the_page_is_what_the_tests_say() -> None:
    """Each clause by its docstring, with the number of its cases; none without."""
    made = page()
    assert (Path(__file__).parents[2] / "docs" / "conformance.md").read_text() == made
    assert "| 0 |" not in made
    assert "**: |" not in made
