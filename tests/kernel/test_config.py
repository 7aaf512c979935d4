"""Settings: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from hookline.kernel import config
from hookline.kernel.config import blanked, boolean, environment, integer, load, masked, number, one_of, setting, words
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:PLANTED@h:1/x", "http://***@h:1/x"),
        ("https://PLANTED@h", "https://***@h"),
        ("//u:PLANTED@h", "//***@h"),
        ("u:PLANTED@h", "***@h"),
        ("http://u:PLAN@TED@h", "http://***@h"),
        ("http://u:PLAN/TED?x#y@h", "http://***@h"),
        ("http://u:PLANTED word@h", "http://***@h"),
        ("u:PLANTED//x@h", "***@h"),
        ("http://u:PLANTED@a,http://v:PLANTED@b", "http://***@b"),
        ("http://h/v1?api-key=PLANTED", "http://h/v1?***"),
        ("http://u:PLANTED@h/v1?PLANTED", "http://***@h/v1?***"),
        ("http://a?k=PLANTED,http://b?k=PLANTED", "http://a?***"),
        ("h:4317?key=PLANTED", "h:4317?***"),
        ("http://h/v1?", "http://h/v1?"),
        ("what?", "what?"),
        ("hooks@example.com", "hooks@example.com"),
        ("http://h:1/x", "http://h:1/x"),
        ("127.0.0.0/8,::1/128", "127.0.0.0/8,::1/128"),
    ],
)
def test_passwords_within_addresses_are_never_shown(text: str, shown: str) -> None:
    """What stands before the last @ of an address is hidden, and its query, in the list of settings and in the error for a wrong one."""
    assert blanked(text) == shown
    assert masked(Example, {"EXAMPLE_PORT": text})["EXAMPLE_PORT"] == shown
    with pytest.raises(ConfigError) as refused:
        load(Example, {"EXAMPLE_KEY": "k", "EXAMPLE_PORT": text})
    assert f"EXAMPLE_PORT={shown!r} is not valid" in str(refused.value)
    assert "PLANTED" not in str(refused.value)
    assert "TED" not in str(refused.value)


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
    (tmp_path / config.ENVIRONMENT_FILE).chmod(0o600)
    found = environment()
    assert (found["A"], found["B"]) == ("from the file", "from the environment")


def given_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file somebody else's: by giving it away where we may, else by being somebody else."""
    if os.geteuid() == 0:
        os.chown(path, 65_534, -1)
    else:
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)


def test_a_file_of_somebody_else_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where Kafka is and which addresses may be called: in a folder that others write, it is refused and named."""
    monkeypatch.setenv(config.STATE_DIR, str(tmp_path))
    file = tmp_path / config.ENVIRONMENT_FILE
    file.write_text(json.dumps({"HOOKLINE_ALLOW_ADDRESSES": "0.0.0.0/0"}))
    given_away(file, monkeypatch)
    with pytest.raises(ConfigError, match=r"environment\.json is not used: it belongs to another user.*HOOKLINE_STATE_DIR"):
        environment()


def test_a_folder_that_is_shut_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's `hookline up` keeps its folder to itself: the error says to take a folder of one's own."""
    monkeypatch.setenv(config.STATE_DIR, str(tmp_path))

    def shut(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", shut)  # root, whom these tests may run as, may open all
    with pytest.raises(ConfigError, match=r"environment\.json is not used: another user keeps it shut.*HOOKLINE_STATE_DIR"):
        environment()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    """Whose it is says little then."""
    monkeypatch.setenv(config.STATE_DIR, str(tmp_path))
    file = tmp_path / config.ENVIRONMENT_FILE
    file.write_text("{}")
    file.chmod(mode)
    with pytest.raises(ConfigError, match=r"environment\.json is not used: other users may write it.*chmod 600"):
        environment()
    file.chmod(0o640)
    assert environment() == dict(os.environ)


def test_no_link_and_no_pipe_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link may lead to a file of our own that was not written for this; a pipe would be waited for."""
    monkeypatch.setenv(config.STATE_DIR, str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    (tmp_path / "mine.json").write_text(json.dumps({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}))
    file = tmp_path / "state" / config.ENVIRONMENT_FILE
    file.symlink_to(tmp_path / "mine.json")
    with pytest.raises(ConfigError, match=r"environment\.json is not used: it is a link.*remove it.*HOOKLINE_STATE_DIR"):
        environment()
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.raises(ConfigError, match=r"environment\.json is not used: it is no plain file.*remove it.*HOOKLINE_STATE_DIR"):
        environment()


@pytest.mark.parametrize("content", ["{", "[]", '{"A": 1}'])
def test_a_corrupt_file_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """A damaged environment file gives an error that says which file and what to do."""
    monkeypatch.setenv(config.STATE_DIR, str(tmp_path))
    (tmp_path / config.ENVIRONMENT_FILE).write_text(content)
    (tmp_path / config.ENVIRONMENT_FILE).chmod(0o600)
    with pytest.raises(ConfigError, match=r"environment\.json.*Stop `hookline up`, delete that file"):
        environment()
