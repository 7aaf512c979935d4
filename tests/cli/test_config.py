"""`hookline config`: every variable is known, shown, documented, and secrets never are."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hookline.cli import config
from hookline.cli.commands import build
from hookline.kernel.config import _value, settings_of
from hookline.kernel.errors import ConfigError

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
ROOMS = ("hookline/kernel", "schemas", "producers", "webhooks", "dispatcher", "analytics", "console", "hookline/local", "hookline/cli")
VARIABLE = re.compile(r'"((?:HOOKLINE|KAFKA|CLICKHOUSE|SCHEMA_REGISTRY)_[A-Z][A-Z_]*[A-Z])"')


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """Return a runner whose process has no settings but its state folder."""
    for name in list(os.environ):
        if name.startswith(("HOOKLINE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOOKLINE_STATE_DIR", str(tmp_path))
    return CliRunner()


def test_the_page_is_what_the_code_says() -> None:
    """docs/configuration.md is written by `hookline config --reference`."""
    assert (ROOT / "docs" / "configuration.md").read_text() == config.document(), "run: hookline config --reference > docs/configuration.md"


def test_every_component_with_settings_is_listed() -> None:
    """A dataclass with settings that nobody listed would be missing from the page."""
    found = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if " = setting(" not in path.read_text():
                continue
            name = str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
            module = import_module(name if name.startswith("hookline.") else f"hookline.{name}")
            found |= {
                f"{module.__name__}:{kind.__name__}"
                for kind in vars(module).values()
                if isinstance(kind, type) and kind.__module__ == module.__name__ and dataclasses.is_dataclass(kind) and settings_of(kind)
            }
    assert found == {path for _, path in config.COMPONENTS}, "list it in hookline/cli/config.py"


def test_every_variable_that_the_code_names_is_on_the_page() -> None:
    """No variable is read in secret."""
    named = {name for room in ROOMS for path in (ROOT / room).rglob("*.py") for name in VARIABLE.findall(path.read_text())}
    listed = {row["variable"] for row in config.rows({})}
    assert named <= listed, f"add to OTHERS in hookline/cli/config.py: {sorted(named - listed)}"


def test_no_variable_means_two_things() -> None:
    """Each name belongs to one component."""
    names = [row["variable"] for row in config.rows({})]
    assert len(names) == len(set(names))


def test_defaults_are_valid() -> None:
    """Nothing but the required settings needs to be set."""
    assert {row["problem"] for row in config.rows({})} == {"", "is not set"}


def test_values_sources_and_problems_are_shown(runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where a value comes from is told: the environment, a running `hookline up`, the default; all faults at once."""
    monkeypatch.setenv("HOOKLINE_INGEST_PORT", "x")
    monkeypatch.setenv("HOOKLINE_LANE_QUEUE", "7")
    (tmp_path / "environment.json").write_text(json.dumps({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}))
    (tmp_path / "environment.json").chmod(0o600)
    answer = runner.invoke(build("config"), ["config", "--json"])
    assert answer.exit_code == 0
    found = {row["variable"]: row for row in json.loads(answer.stdout)}
    assert found["KAFKA_BOOTSTRAP_SERVERS"]["from"] == "hookline up"
    assert (found["HOOKLINE_LANE_QUEUE"]["value"], found["HOOKLINE_LANE_QUEUE"]["from"]) == ("7", "environment")
    assert found["HOOKLINE_INGEST_HOST"]["from"] == "default"
    assert found["HOOKLINE_INGEST_PORT"]["problem"].startswith("is not valid")
    assert found["HOOKLINE_API_KEY_PEPPER"]["problem"] == "is not set"
    people = runner.invoke(build("config"), ["config"])
    assert "HOOKLINE_INGEST_PORT is not valid" in " ".join(people.stderr.split())
    assert "HOOKLINE_API_KEY_PEPPER is not set" in " ".join(people.stderr.split())


@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"], ["config", "--reference"]])
def test_secrets_are_never_shown(runner: CliRunner, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """A marker put into every secret variable, right or wrong, comes out nowhere."""
    secrets = [spec.env for _, kind in config.components() for _, spec in settings_of(kind) if spec.secret]
    secrets += [spec.env for spec in config.OTHERS if spec.secret]
    assert len(secrets) >= 6
    for name in secrets:
        monkeypatch.setenv(name, "http://CANARY:CANARY@host/CANARY")
    answer = runner.invoke(build("config"), arguments)
    assert answer.exit_code == 0
    assert "CANARY" not in answer.stdout + answer.stderr


@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"]])
def test_passwords_in_addresses_are_never_shown(runner: CliRunner, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """An address with a password, put into every variable that is no secret, right or wrong, is shown without it; so is an error."""
    for row in config.rows({}):
        if row["variable"] != "HOOKLINE_STATE_DIR":
            monkeypatch.setenv(row["variable"], "http://user:CANARY@host/")
    answer = runner.invoke(build("config"), arguments)
    assert answer.exit_code == 0
    assert "***@host" in answer.stdout
    assert "CANARY" not in answer.stdout + answer.stderr
    for _, kind in config.components():
        for _, spec in settings_of(kind):
            try:
                _value(spec, os.environ)
            except ConfigError as error:
                assert "CANARY" not in str(error), spec.env  # noqa: PT017  # it may as well be no error
