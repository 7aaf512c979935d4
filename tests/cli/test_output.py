"""What a command prints is what it was given: no word of a URL, a name or an error becomes another one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hookline.cli import output
from hookline.kernel.errors import InputError

pytestmark = pytest.mark.unit

URL = "https://hooks.example.com/?x=:smile:&y=[bold]:+1:[/bold]"


def _table() -> None:
    output.show_table([{"url": URL}], ("url",), as_json=False)


def _fields() -> None:
    output.show_fields({"url": URL}, as_json=False)


def _said() -> None:
    output.say(URL)


def _failed() -> None:
    with pytest.raises(SystemExit):
        output.fail(InputError(URL, remedy=URL))


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("shown", [_table, _fields, _said, _failed])
def test_what_looks_like_an_emoji_stays_as_it_is(
    shown: Callable[[], None], terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In tables, in errors and beside them; on a terminal as in a pipe."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    shown()
    told = capsys.readouterr()
    assert URL in re.sub(r"\x1b\[[0-9;]*m", "", told.out + told.err)


def test_no_command_has_a_console_with_emoji() -> None:
    """Each one that a command makes is told so, bars and boards too."""
    made = [
        (path.name, call)
        for path in Path(output.__file__).parent.glob("*.py")
        for call in re.findall(r"\bConsole\([^)]*\)", path.read_text("utf-8"))
    ]
    assert len(made) > 5
    assert [one for one in made if "emoji=False" not in one[1]] == []
