"""What pages put out: everything is escaped, and nothing is invisible or turns the rest of a line round."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.console.panel import rendering
from hookline.console.panel.rendering import environment, stamps, visible

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("invoice\u202egnp.exe", "invoice\\u202egnp.exe"),
        ("a\x1b[31mb\x00\x7f\x9b", "a\\u001b[31mb\\u0000\\u007f\\u009b"),
        ("\u2066a\u2069 \u200f\u061c \ufeff", "\\u2066a\\u2069 \\u200f\\u061c \\ufeff"),
        ("x: 1\r\ny: 2\n\tz\rover", "x: 1\r\ny: 2\n\tz\\u000dover"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("שלום, नमस्ते \U0001f469\u200d\U0001f469, 1\u202f000", "שלום, नमस्ते \U0001f469\u200d\U0001f469, 1\u202f000"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    """Controls and directions are; line breaks, other scripts and the joiners that they need stay."""
    assert visible(text) == shown


@given(st.text())
def test_no_direction_is_left(text: str) -> None:
    """Whatever comes in, nothing goes out that orders the writing of what follows, and it can be encoded."""
    shown = str(visible(text))
    assert {unicodedata.bidirectional(char) for char in shown} & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"} == set()
    assert {char for char in shown if unicodedata.category(char) == "Cc"} <= {"\n", "\t", "\r"}
    shown.encode()


def test_every_expression_of_a_template_is_shown_so() -> None:
    """Without a filter being named; what was typed into a field stays as it was, and both are escaped."""
    template = environment().from_string("{{ text }}|<input value='{{ text|e }}'>|{{ number }}|{{ none }}")
    found = template.render(text="<b>\u202e", number=7, none=None)
    assert found == "&lt;b&gt;\\u202e|<input value='&lt;b&gt;\u202e'>|7|None"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Held since 2026-01-15T12:00:00.250Z", [("Held since ", False), ("2026-01-15T12:00:00.250Z", True)]),
        ("2026-01-15T12:00:00Z: <b>", [("2026-01-15T12:00:00Z", True), (": <b>", False)]),
        ("on 2026-13-45T99:00:00Z", [("on ", False), ("2026-13-45T99:00:00Z", False)]),
        ("Delivered", [("Delivered", False)]),
        ("", []),
    ],
)
def test_times_within_sentences_are_found(text: str, pieces: list[tuple[str, bool]]) -> None:
    """What only looks like a time stays as it is, and nothing of the sentence is lost."""
    assert stamps(text) == pieces
    page = environment().from_string("{% import 'macros.html' as ui with context %}{{ ui.sentence(text) }}").render(text=text, visit=None)
    assert page.count("<time ") == sum(is_time for _, is_time in pieces)
    assert "<b>" not in page


def test_templates_are_all_loaded_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade that replaces the files under a running console changes no page of it."""
    monkeypatch.setattr(rendering, "_HERE", tmp_path)
    rendering.environment.cache_clear()
    (tmp_path / "templates").mkdir()
    page = tmp_path / "templates" / "page.html"
    page.write_text("as it was")
    try:
        rendering.environment()
        page.write_text("{{ of_another_build }}")
        assert rendering.rendered("page.html", {}) == b"as it was"
    finally:
        rendering.environment.cache_clear()
