"""`hookline migrate`: the tables come and go on a person's word."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from hookline.analytics import migrate
from hookline.local.kafka_broker import free_port

pytestmark = pytest.mark.clickhouse

Hookline = Callable[..., Any]
NAMES = [migration.name for migration in migrate.known()]


def test_up_status_down_and_up_again(hookline: Hookline) -> None:
    """Each tells what it did, as a table and as JSON; a second `up` has nothing to do."""
    assert [row["applied_at"] for row in hookline("migrate", "status", "--json").json] == ["" for _ in NAMES]
    assert [row["name"] for row in hookline("migrate", "up", "--json").json] == NAMES
    assert "Nothing to do" in hookline("migrate", "up").out
    assert all(re.search(rf"{name}\s+20\d\d-", hookline("migrate", "status").out) for name in NAMES)
    down = hookline("migrate", "down", "--steps", "2", "--yes", "--json").json
    assert [row["name"] for row in down] == NAMES[::-1][:2]
    assert [bool(row["applied_at"]) for row in hookline("migrate", "status", "--json").json] == [
        index < len(NAMES) - 2 for index in range(len(NAMES))
    ]
    assert [row["name"] for row in hookline("migrate", "up", "--json").json] == NAMES[-2:]


def test_down_asks_before_it_deletes(hookline: Hookline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a yes nothing is taken back."""
    hookline("migrate", "up")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    said = hookline("migrate", "down", "--json")
    assert said.status == 1
    assert said.out.strip() == ""
    assert "all their rows" in said.err
    assert all(row["applied_at"] for row in hookline("migrate", "status", "--json").json)


def test_a_server_that_is_away_is_named(hookline: Hookline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address and the variable, no stack, no password."""
    port = free_port()
    monkeypatch.setenv("CLICKHOUSE_URL", f"http://u:hidden-word@127.0.0.1:{port}/")
    said = hookline("migrate", "up")
    assert said.status == 1
    assert f"127.0.0.1:{port}" in said.err
    assert "CLICKHOUSE_URL" in said.err
    assert "hidden-word" not in said.err
