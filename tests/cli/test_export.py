"""`hookline export`: the log as a file that is whole or not there, with the filters of the log."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hookline.analytics import migrate
from hookline.analytics.client import open_client
from hookline.console.api.deliveries_log import Reading
from hookline.console.api.exports_formats import COLUMNS
from hookline.schemas.records import ErrorKind, Outcome
from tests.analytics.conftest import Rig

pytestmark = pytest.mark.clickhouse

Hookline = Callable[..., Any]
MANY = 12_000


@pytest.fixture
def log(tmp_path: Path) -> None:
    """Leave many attempts of two webhooks in the log of the test's state folder, one of them dead, and one of another store."""
    rig, now_us = Rig(), time.time_ns() // 1_000
    attempts = [rig.attempt(webhook_id=f"wh_{index % 2}", attempted_at_us=now_us - 1_000 * index) for index in range(MANY)]
    attempts += [rig.attempt(outcome=Outcome.DEAD, http_status=503, error_kind=ErrorKind.HTTP_STATUS), rig.attempt(store_id="other")]
    client = open_client({"HOOKLINE_STATE_DIR": str(tmp_path)})
    migrate.up(client, retention_days=30)
    client.insert("attempts", rig.table(attempts), {"async_insert": 0})
    client.close()


@pytest.mark.usefixtures("log")
def test_a_whole_log_becomes_parquet(hookline: Hookline, tmp_path: Path) -> None:
    """Every attempt of the store once, newest first, over many batches; what was done is told on standard error."""
    file = tmp_path / "log.parquet"
    said = hookline("export", str(file), "--store", "shop")
    assert (said.status, said.out) == (0, "")
    assert f"{MANY + 1:,} rows" in said.err
    assert f"{MANY + 1}/{MANY + 1}" in said.err
    table = pq.read_table(file)
    assert tuple(table.column_names) == COLUMNS
    assert table.num_rows == len(set(table["attempt_id"].to_pylist())) == MANY + 1
    at = table["at"].to_pylist()
    assert at == sorted(at, reverse=True)
    assert [path.name for path in tmp_path.glob("log*")] == ["log.parquet"]


@pytest.mark.usefixtures("log")
def test_filters_and_kinds(hookline: Hookline, tmp_path: Path) -> None:
    """Each filter narrows, and the end of the name chooses the kind of file."""
    for option, value, rows in [("--webhook", "wh_0", MANY // 2), ("--outcome", "dead", 1), ("--status", "5xx", 1), ("--until", "1h", 0)]:
        found = hookline("export", str(tmp_path / "a.csv"), "--store", "shop", option, value, "--force", "--json").json
        assert found["rows"] == len(list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines()))) == rows, option
        assert found["bytes"] == (tmp_path / "a.csv").stat().st_size
    assert hookline("export", str(tmp_path / "a.ndjson"), "--store", "shop", "--error", "http_status").status == 0
    [line] = (tmp_path / "a.ndjson").read_text("utf-8").splitlines()
    assert json.loads(line)["http_status"] == 503


@pytest.mark.usefixtures("log")
def test_what_cannot_be_done_is_said_and_leaves_nothing(hookline: Hookline, tmp_path: Path) -> None:
    """A wrong name, a file that is there, a wrong filter, a folder that is not there: told, and no file is made or lost."""
    (there := tmp_path / "there.csv").write_text("mine")
    for arguments, status, complaint in [
        (["log.xls"], 2, "ends in one of .csv, .ndjson, .parquet"),
        ([str(there)], 2, "is there already"),
        ([str(there), "--force", "--outcome", "lost"], 2, "'lost' is not known"),
        ([str(there), "--force", "--since", "1h", "--until", "2h"], 2, "ends before it begins"),
        ([str(tmp_path / "no" / "log.csv")], 1, "No such file or directory"),
    ]:
        said = hookline("export", *arguments, "--store", "shop")
        assert said.status == status, arguments
        assert complaint in said.err
    assert there.read_text() == "mine"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.usefixtures("log")
def test_a_break_half_way_leaves_the_former_file(hookline: Hookline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is replaced when the new one is whole: Ctrl-C in between loses nothing."""
    (there := tmp_path / "there.parquet").write_text("mine")
    batch, asked = Reading.batch, list[int]()

    def interrupted(self: Reading, most: int) -> Any:
        asked.append(most)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return batch(self, most)

    monkeypatch.setattr(Reading, "batch", interrupted)
    assert hookline("export", str(there), "--store", "shop", "--force").status == 130
    assert there.read_text() == "mine"
    assert not list(tmp_path.glob("*.part"))
