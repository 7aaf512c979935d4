"""Settings: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from hookline.kernel import config
from hookline.kernel.config import boolean, environment, integer, load, masked, number, one_of, setting, words
from hookline.kernel.errors import ConfigError

pytestmark = pytest.mark.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A component's settings."""

    port: int = setting("EXAMPLE_PORT", "8080", "a port", integer(1, 65_535))
    key: str = setting("EXAMPLE_KEY", None, "a key", secret=True)


def test_defaults_and_given_values() -> None:
    """What is set counts, what is empty or unset takes its default."""
    assert load(Example, {"EXAMPLE_KEY": "k", "EXAMPLE_PORT": ""}) == Example(port=8080, key="k")
    assert load(Example, {"EXAMPLE_KEY": "k", "EXAMPLE_PORT": "1"}).port == 1


def test_a_missing_setting_is_named() -> None:
    """The error names the variable and what it should hold."""
    with pytest.raises(ConfigError, match=r"EXAMPLE_KEY is not set.*a key"):
        load(Example, {})


@pytest.mark.parametrize("text", ["0", "65536", "x", "1.5", "NaN"])
def test_a_wrong_value_is_named_and_shown(text: str) -> None:
    """The error names the variable, shows the value and says what is expected."""
    with pytest.raises(ConfigError, match=f"EXAMPLE_PORT='{text}' is not valid"):
        load(Example, {"EXAMPLE_KEY": "k", "EXAMPLE_PORT": text})


def test_a_secret_is_never_shown() -> None:
    """`hookline config` masks secrets."""
    assert masked(Example, {"EXAMPLE_KEY": "hush"}) == {"EXAMPLE_PORT": "8080", "EXAMPLE_KEY": "********"}


def test_parsers_refuse_what_they_should() -> None:
    """Each parser raises `ValueError` for what it does not take."""
    assert boolean("Yes") is True
    assert boolean("off") is False
    assert words(" a, ,b ") == ("a", "b")
    for parse, text in ((boolean, "maybe"), (number(0, 1), "nan"), (number(0, 1), "inf"), (one_of("a"), "b")):
        with pytest.raises(ValueError, match=r"must be|expected"):
            parse(text)


def test_a_running_stack_is_found_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that `hookline up` writes is read; a variable that is set wins over it."""
    monkeypatch.setenv(config.STATE_DIR, str(tmp_path))
    monkeypatch.setenv("B", "from the environment")
    (tmp_path / config.ENVIRONMENT_FILE).write_text(json.dumps({"A": "from the file", "B": "from the file"}))
    found = environment()
    assert (found["A"], found["B"]) == ("from the file", "from the environment")


@pytest.mark.parametrize("content", ["{", "[]", '{"A": 1}'])
def test_a_corrupt_file_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """A damaged environment file gives an error that says which file and what to do."""
    monkeypatch.setenv(config.STATE_DIR, str(tmp_path))
    (tmp_path / config.ENVIRONMENT_FILE).write_text(content)
    with pytest.raises(ConfigError, match=r"environment\.json.*Stop `hookline up`, delete that file"):
        environment()
