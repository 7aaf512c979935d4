"""ClickHouse's errors become ours, each with what to do; an embedded folder belongs to one process."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from hookline.analytics import client as seam
from hookline.analytics.client import ClickHouse, open_client
from hookline.analytics.warehouse import RowsRefused
from hookline.kernel.errors import ConfigError, LocalError, WarehouseError, WarehouseUnavailable
from hookline.local.kafka_broker import free_port


def _translated(error: Exception) -> WarehouseError:
    with pytest.raises(WarehouseError) as caught, seam.translated():
        raise error
    return caught.value


@pytest.mark.unit
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (53, RowsRefused),  # type mismatch
        (70, RowsRefused),  # cannot convert
        (131, RowsRefused),  # too large a string
        (321, RowsRefused),  # value out of range
        (469, RowsRefused),  # a constraint that somebody added to the table
        (159, WarehouseUnavailable),  # timeout
        (202, WarehouseUnavailable),  # too many queries
        (241, WarehouseUnavailable),  # memory limit
        (242, WarehouseUnavailable),  # read-only
        (243, WarehouseUnavailable),  # no space left
        (252, WarehouseUnavailable),  # too many parts
        (None, WarehouseUnavailable),  # no answer at all
        (16, WarehouseError),  # no such column
        (60, WarehouseError),  # no such table
        (516, WarehouseError),  # wrong password
    ],
)
def test_a_code_says_whose_fault_it_is(code: int | None, kind: type[WarehouseError]) -> None:
    """The row's, the moment's, or the set-up's: only the first puts a row aside, only the last needs a person at once."""
    error = DatabaseError(f"Code: {code}. DB::Exception: something\nstack\nstack")
    error.code = code
    found = _translated(error)
    assert type(found) is kind
    assert "stack" not in found.message


@pytest.mark.unit
def test_a_lost_connection_is_told_by_address_and_reason() -> None:
    """The same words every time, whatever ids the client put into its own."""
    pool = "host='ch.example', port=8123"
    text = (
        f"Error HTTPConnectionPool({pool}): Max retries exceeded with url: /?query_id=7f4a8a4e-3a39-4c0c-8c94-2f5a2f1f3e52 "
        f'(Caused by NewConnectionError("HTTPConnection({pool}): Failed to establish a new connection: [Errno 111] Connection refused"))'
    )
    found = _translated(OperationalError(text))
    assert isinstance(found, WarehouseUnavailable)
    assert found.message.endswith("ch.example:8123: Connection refused")
    assert isinstance(_translated(ConnectionResetError("reset")), WarehouseUnavailable)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("clickhouse:9000", "must begin with http:// or https://"),
        ("http://u:hidden-word@host:99999/", "Port out of range"),
        ("http://u:hidden-word@/db", "names no host"),
        ("http://[::1", "Invalid IPv6 URL"),
    ],
)
def test_a_wrong_url_is_named_without_its_password(url: str, complaint: str) -> None:
    """The error tells the variable and the form that is expected, never the value."""
    with pytest.raises(ConfigError, match="CLICKHOUSE_URL") as caught:
        open_client({"CLICKHOUSE_URL": url})
    assert complaint in caught.value.message
    assert "http[s]://user:password@host:port/database" in caught.value.remedy
    assert "hidden-word" not in str(caught.value)


@pytest.mark.unit
def test_a_server_that_does_not_answer_is_unavailable() -> None:
    """Nothing listens: the address and the reason, and that nothing is lost."""
    port = free_port()
    with pytest.raises(WarehouseUnavailable, match=f"127.0.0.1:{port}: Connection refused") as caught:
        open_client({"CLICKHOUSE_URL": f"http://u:hidden-word@127.0.0.1:{port}/db"})
    assert "nothing is lost" in caught.value.remedy
    assert "hidden-word" not in str(caught.value)


@pytest.mark.clickhouse
def test_a_folder_belongs_to_one_process(tmp_path: Path) -> None:
    """While another has it, opening says so and what to do; afterwards it opens."""
    environ = {"HOOKLINE_STATE_DIR": str(tmp_path)}
    other = os.open(tmp_path / seam.LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(LocalError, match="is in use by another process") as caught:
        open_client(environ)
    assert "HOOKLINE_QUERY_URL" in caught.value.remedy
    os.close(other)
    open_client(environ).close()
    open_client(environ).close()


@pytest.mark.clickhouse
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(LocalError, match="cannot be used") as caught:
        open_client({"HOOKLINE_STATE_DIR": str(tmp_path / "taken")})
    assert "HOOKLINE_STATE_DIR" in caught.value.remedy


@pytest.mark.clickhouse
def test_tables_that_were_left_out_are_noticed(warehouse: ClickHouse, clickhouse_environ: dict[str, str]) -> None:
    """An engine that starts without a table that is on disk must not pass for an empty log; the folder is let go again."""
    folder = Path(clickhouse_environ["HOOKLINE_STATE_DIR"]) / seam.FOLDER
    warehouse.close()
    lost = folder / "store" / "abc" / "abcdef" / "lost.sql"
    lost.parent.mkdir(parents=True)
    lost.write_text("a definition in a place that the engine does not load")
    with pytest.raises(LocalError, match=r"1 of \d+ tables cannot be read") as caught:
        open_client(clickhouse_environ)
    assert "move it away" in caught.value.remedy
    lost.unlink()
    open_client(clickhouse_environ).close()


@pytest.mark.clickhouse
def test_temporary_files_of_inserts_lie_in_the_state_folder(empty_warehouse: ClickHouse, tmp_path: Path) -> None:
    """While the folder is open; what was left there is gone, and afterwards the system's place is used again."""
    assert tempfile.gettempdir() == str(tmp_path / seam.SCRATCH)
    empty_warehouse.close()
    assert tempfile.gettempdir() != str(tmp_path / seam.SCRATCH)
    (tmp_path / seam.SCRATCH / "left").write_text("x")
    again = open_client({"HOOKLINE_STATE_DIR": str(tmp_path)})
    assert list((tmp_path / seam.SCRATCH).iterdir()) == []
    again.close()


@pytest.mark.unit
def test_a_missing_chdb_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the embedded extra: which package, or the variable to set instead."""
    for name in [name for name in sys.modules if "chdb" in name] + ["chdb"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LocalError, match="not installed") as caught:
        open_client({"HOOKLINE_STATE_DIR": str(tmp_path)})
    assert "hookline[embedded]" in caught.value.remedy
    assert "CLICKHOUSE_URL" in caught.value.remedy
