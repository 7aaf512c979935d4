"""deploy/clickhouse/grants.sql: the engine takes every statement, every user does its work under it, and nothing that is not its work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.deploy.clickhouse_as import ALL, LIMITS, PRIVATE, STRANGE, VIEWS
from tests.deploy.guarded import DEPLOY

pytestmark = pytest.mark.clickhouse

TEXT = (DEPLOY / "clickhouse" / "grants.sql").read_text("utf-8")
USERS = ("sink", "console", "analyst", "migrator")
MAY = {"sink": {"insert"}, "console": set(), "analyst": set(), "migrator": {"drop", "change TTL", "insert", "delete", "move url"}}
"""Which of the strange things are some user's work after all; to create is too, which `up` shows."""

LOCALLY = ["GRANT READ ON FILE"]
"""Embedded, the engine looks for a table that does not exist among the files of the folder, where a server does not."""


def statements() -> list[str]:
    """Return the statements of the file."""
    code = "\n".join(line for line in TEXT.splitlines() if not line.startswith("--"))
    return [" ".join(part.split()) for part in code.split(";") if part.strip()]


def grants_of(user: str) -> list[str]:
    """Return a user's grants as the engine's configuration has them: in its own database, to nobody by name."""
    mine = [text for text in statements() if text.startswith("GRANT") and text.endswith(f" TO hookline_{user}")]
    return [text.removesuffix(f" TO hookline_{user}").replace("hookline.", "default.") for text in mine]


def profile_of(user: str) -> dict[str, list[str]]:
    """Return a user's settings profile in the words of `clickhouse_as.profile_xml`; empty when it has none."""
    [made] = [text for text in statements() if text.startswith(f"CREATE USER IF NOT EXISTS hookline_{user} ")]
    if "SETTINGS PROFILE 'hookline_reading'" not in made:
        return {}
    [text] = [text for text in statements() if text.startswith("CREATE SETTINGS PROFILE IF NOT EXISTS hookline_reading SETTINGS ")]
    settings = [each.split(" = ") for each in text.split(" hookline_reading SETTINGS ")[1].split(", ")]
    return {name: re.findall(r"^\d+|(?:min|max) \d+|readonly", held.lower()) for name, held in settings}


def done(folder: Path, grants: list[str], what: str, profile: dict[str, list[str]] | None = None) -> dict[str, str]:
    """Return what came of each step, in a process of its own: an engine has one configuration for its life."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("clickhouse_as.py")),
        str(folder),
        json.dumps(grants),
        json.dumps(profile or {}),
        what,
    ]
    run = subprocess.run(command, capture_output=True, timeout=150, check=False)
    assert run.returncode == 0, run.stderr.decode()[-2_000:]
    return dict(json.loads(run.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an engine's folder with this build's tables."""
    found = tmp_path_factory.mktemp("granted")
    assert done(found, ALL, "shape") == {"up": ""}
    return found


def test_the_engine_takes_every_statement() -> None:
    """Each statement of the file is parsed by the real parser, and nobody is named who is not made."""
    script = "import chdb, sys, json\nc = chdb.connect(':memory:')\n"
    script += "[c.query('SELECT formatQuery({q:String})', params={'q': text}) for text in json.load(sys.stdin)]"
    subprocess.run([sys.executable, "-c", script], input=json.dumps(statements()).encode(), check=True, timeout=120)
    made = set(re.findall(r"CREATE USER IF NOT EXISTS (\w+)", TEXT))
    assert made == {f"hookline_{user}" for user in USERS}
    assert set(re.findall(r" TO (\w+);", TEXT)) == made
    assert "ALL" not in re.sub(r"--.*", "", TEXT).replace("ALTER", "").split()


@pytest.mark.parametrize("user", USERS)
def test_a_user_does_its_work(folder: Path, user: str) -> None:
    """All that the process asks of ClickHouse works with what is granted, under its settings profile."""
    found = done(folder, [*grants_of(user), *LOCALLY], user, profile_of(user))
    assert len(found) >= 3
    assert {name: said for name, said in found.items() if said} == {}


@pytest.mark.parametrize("user", USERS)
def test_a_user_does_nothing_else(folder: Path, tmp_path: Path, user: str) -> None:
    """Dropping, files, the network, other servers, users: refused for want of a grant, whatever else would be wrong."""
    if "drop" in MAY[user]:  # on tables that no other test needs
        folder = tmp_path
        assert done(folder, ALL, "shape") == {"up": ""}
    found = done(folder, grants_of(user), "strange")
    assert set(found) == set(STRANGE)
    assert {name for name, said in found.items() if "Not enough privileges" not in said} == MAY[user]


@pytest.mark.parametrize("user", ["console", "analyst"])
def test_a_reader_lifts_no_limit(folder: Path, user: str) -> None:
    """Neither a query's own settings nor SET gives more time, memory or rows, nor takes reading-only away; less may be asked for."""
    found = done(folder, [*grants_of(user), *LOCALLY], "limits", profile_of(user))
    assert found.pop("less") == ""
    assert set(found) == set(LIMITS)
    assert {name for name, said in found.items() if "shouldn't be" not in said and "readonly" not in said} == set()


def test_the_reader_of_compose_lifts_no_limit(folder: Path) -> None:
    """The same of deploy/compose/clickhouse-users.xml: its limits of time and memory hold whatever a query says; less may be asked for."""
    profile = ET.parse(DEPLOY / "compose" / "clickhouse-users.xml").getroot().find("profiles/hookline_reader")
    assert profile is not None
    held = {one.tag: [f"{what.tag} {what.text or ''}".strip() for what in one] for one in profile.iterfind("constraints/*")}
    settings = {one.tag: [one.text or "", *held.get(one.tag, [])] for one in profile if one.tag != "constraints"}
    assert settings.keys() == {"readonly", "max_execution_time", "max_memory_usage"}
    found = done(folder, ["GRANT SELECT ON default.*", *LOCALLY], "limits", settings)
    assert found.pop("less") == ""
    of_its_own = {name: said for name, said in found.items() if "max_result_rows" not in name}
    assert len(of_its_own) == 7
    assert {name for name, said in of_its_own.items() if "shouldn't be" not in said and "readonly" not in said} == set()


def test_an_analyst_sees_nothing_personal(folder: Path) -> None:
    """URL, headers, bodies and the words of errors are refused, whether by name or all at once; the views are the five on the page."""
    found = done(folder, grants_of("analyst"), "private")
    assert set(found) == set(PRIVATE)
    assert all("Not enough privileges" in said for said in found.values())
    page = (DEPLOY.parent / "docs" / "clickhouse.md").read_text("utf-8")
    assert tuple(re.findall(r"^## (v_\w+)$", page, re.MULTILINE)) == VIEWS


def test_without_grants_nothing_works(folder: Path) -> None:
    """The rights are what lets them work: a user with none is refused everything."""
    assert all("Not enough privileges" in said for said in done(folder, ["GRANT SELECT ON default.nothing"], "console").values())
