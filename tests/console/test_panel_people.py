"""What the pages of people are made of: browsers by name, the catalogue's examples, words for all that the audit tells."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, Self

import pytest

from hookline.console.api.table import ROUTES
from hookline.console.panel import wording
from hookline.console.panel.browsers import browser_name
from hookline.console.panel.pages.catalogue import curl, data_fields, python
from hookline.console.panel.services import DispatcherSettings
from hookline.console.users import Role
from hookline.dispatcher import disabling
from hookline.producers.api_keys import SCOPES
from hookline.schemas.catalogue import EVENT_TYPES

pytestmark = pytest.mark.unit

CONSOLE = Path(__file__).parents[2] / "console"
NOTED = re.compile(
    r'"(user\.[a-z_-]+)"'  # handed on by pages and commands
    r'|(?:\.(?:write|note|webhook)\(\s*|ACTION: Final = |action=)"([a-z-]+\.[a-z_-]+)"'
)
BASE = "https://hooks.example.com"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36", "Chrome on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130 Safari/537.36 Edg/130",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17 Safari/605",
            "Safari on macOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("Firefox/1", "Firefox"),
        ("curl/8.5", "curl/8.5"),
        ("<script>" * 20, ("<script>" * 20)[:60]),
        ("", "unknown browser"),
    ],
)
def test_browsers_are_called_by_name(agent: str, name: str) -> None:
    """Those that name others as well are told apart; what is none of them is cut."""
    assert browser_name(agent) == name


@pytest.mark.parametrize(
    ("setting", "name", "said"),
    [
        ({}, "default", "8 attempts in 27.6 hours"),
        ({}, "long", "16 attempts in 75.1 hours"),
        ({"HOOKLINE_RETRY_SCHEDULE": "500ms,1s,2s"}, "default", "4 attempts in 3.5 seconds"),
        ({"HOOKLINE_RETRY_SCHEDULE": "5s,1m,10m"}, "default", "4 attempts in 11.1 minutes"),
        ({"HOOKLINE_RETRY_SCHEDULE": "5s"}, "long", "16 attempts in 75.1 hours"),
    ],
)
def test_a_schedule_is_told_as_it_is_in_force(setting: dict[str, str], name: str, said: str) -> None:
    """The words come from the settings that the dispatchers run with, not from what they would be by default."""
    assert wording.schedule(DispatcherSettings.read(setting).schedules[name]) == said


def test_the_audit_has_words_for_all_that_is_written_there() -> None:
    """For every change of the API's routes, for those that panel and command line note by themselves, and for a dispatcher's."""
    noted = {disabling.ACTION, *(route.action for route in ROUTES if route.action)}
    for source in [*CONSOLE.rglob("*.py"), *(CONSOLE.parent / "hookline" / "cli").glob("*.py")]:
        if source.name != "wording.py":
            noted |= {one or other for one, other in NOTED.findall(source.read_text("utf-8"))}
    assert noted == set(wording.ACTIONS)
    assert disabling.ACTOR in wording.ACTORS


def test_closed_lists_have_words() -> None:
    """Scopes and roles."""
    assert set(wording.SCOPES) == set(SCOPES)
    assert set(wording.ROLES) == set(wording.ROLE_NAMES) == {str(role) for role in Role}


@pytest.mark.parametrize("name", list(EVENT_TYPES))
def test_the_examples_of_publishing_are_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The curl command sends the example as JSON, and so does the Python program, which runs."""
    kind = EVENT_TYPES[name]
    words = shlex.split(curl(BASE, kind))
    assert words[:2] == ["curl", f"{BASE}/api/v1/events"]
    assert json.loads(words[words.index("-d") + 1]) == {"type": name, "data": dict(kind.example)}

    sent: list[Any] = []

    class Answer:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            """Close nothing."""

        def read(self) -> bytes:
            """Answer as the API does."""
            return b'{"id": "evt_1"}'

    def opened(request: Any) -> Answer:
        sent.append((request.full_url, request.get_header("Authorization"), json.loads(request.data)))
        return Answer()

    monkeypatch.setenv("KEY", "hlk_x")
    monkeypatch.setattr("urllib.request.urlopen", opened)
    exec(compile(python(BASE, kind), "example", "exec"), {})
    assert sent == [(f"{BASE}/api/v1/events", "Bearer hlk_x", {"type": name, "data": dict(kind.example)})]


@pytest.mark.parametrize("name", list(EVENT_TYPES))
def test_every_field_says_what_it_holds(name: str) -> None:
    """Only what stands in `data`, each once."""
    fields = data_fields(EVENT_TYPES[name])
    assert fields
    assert all(field.path.startswith("data.") and field.holds for field in fields)
    assert len({field.path for field in fields}) == len(fields)
