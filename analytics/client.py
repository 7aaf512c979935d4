"""ClickHouse, embedded or served: one small port, and the seam where its errors become ours."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from hookline.analytics.config import WarehouseConfig
from hookline.analytics.warehouse import Parameters, Rows, RowsRefused
from hookline.kernel.config import load, state_dir
from hookline.kernel.errors import ConfigError, LocalError, WarehouseError, WarehouseUnavailable

FOLDER: Final = "clickhouse"
LOCK: Final = "clickhouse.lock"
SCRATCH: Final = "clickhouse.tmp"
# chDB's allocator keeps freed pages for five seconds, which are hundreds of megabytes while a backlog is inserted. It reads this when it
# is loaded; what the environment says already stays.
_ALLOCATOR: Final = ("JE_MALLOC_CONF", "dirty_decay_ms:1000")
# Codes that speak of the rows themselves: cannot parse, type mismatch, out of bound, incorrect data, too large, against a constraint.
_ROWS_AT_FAULT: Final = frozenset({6, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 407, 469})
# Codes that speak of the moment: timeouts, memory, too many queries or parts, read-only, disk full, network, Keeper.
_TRY_AGAIN: Final = frozenset({3, 74, 75, 76, 159, 164, 173, 202, 209, 210, 236, 241, 242, 243, 252, 279, 286, 319, 394, 425, 439, 999})
# No such table, no such database.
_NOT_THERE: Final = frozenset({60, 81})
_DOWN: Final = "Check CLICKHOUSE_URL and that ClickHouse runs; nothing is lost meanwhile."
_DATABASE: Final = "default"
_EXPECTED_URL: Final = "Expected: http[s]://user:password@host:port/database"
_WHERE: Final = re.compile(r"host='([^']*)', port=(\d+)")
_WHY: Final = re.compile(r"\[Errno -?\d+\] ([\w ]+)|(timed out)|(closed connection|aborted|reset by peer)")
_QUERY_ID: Final = re.compile(r"\(?\bquery_id=?[ :]*[0-9a-f-]{36}\)?")
# It tells its errors, with stacks, before it raises them; ours say what is needed, once.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)


class ClickHouse:
    """A `Warehouse` over clickhouse-connect, which speaks HTTP to a server and calls chDB in this process."""

    def __init__(self, session: Callable[[], Any], lock: FolderLock | None = None) -> None:
        self._session = session
        self._lock = lock
        with translated():
            self._client = session()

    def execute(self, statement: str, parameters: Parameters | None = None) -> None:
        """Run a statement that answers nothing."""
        with translated():
            self._client.command(statement, parameters=dict(parameters or {}))

    def rows(self, query: str, parameters: Parameters | None = None) -> Rows:
        """Return the rows of a query as maps by column."""
        with translated():
            return list(self._client.query(query, parameters=dict(parameters or {})).named_results())

    def insert(self, table: str, columns: pa.Table, settings: Mapping[str, str | int]) -> None:
        """Insert named columns in one block; raise `RowsRefused` when a row is at fault."""
        with translated():
            self._client.insert_arrow(table, columns, settings=dict(settings))

    def another(self) -> ClickHouse:
        """Return a new session of the same server or folder, for another thread."""
        return ClickHouse(self._session)

    def close(self) -> None:
        """End the session; the first session of an embedded folder frees it."""
        with translated():
            self._client.close()
        if self._lock is not None:
            self._lock.release()


def open_client(environ: Mapping[str, str]) -> ClickHouse:
    """Open the server of `CLICKHOUSE_URL`, else the embedded engine in the state folder.

    Raises `WarehouseUnavailable` when the server does not answer, `LocalError` when the folder is in use, unreadable, or
    chDB is not installed, `ConfigError` for a wrong variable.
    """
    config = load(WarehouseConfig, environ)
    if config.url:
        return ClickHouse(_served(config))
    return _open_embedded(state_dir(environ))


def is_embedded(environ: Mapping[str, str]) -> bool:
    """Tell whether the warehouse is the embedded engine."""
    return not load(WarehouseConfig, environ).url


def _served(config: WarehouseConfig) -> Callable[[], Any]:
    try:
        parts = urlsplit(config.url)
        host, port = parts.hostname or "", parts.port or (8443 if parts.scheme == "https" else 8123)
    except ValueError as error:
        raise ConfigError(f"CLICKHOUSE_URL is not valid: {error}", remedy=_EXPECTED_URL) from error
    if not host:
        raise ConfigError("CLICKHOUSE_URL names no host", remedy=_EXPECTED_URL)

    def session() -> Any:  # noqa: ANN401  # clickhouse-connect has no exported client type that covers both
        return clickhouse_connect.get_client(
            interface=parts.scheme,
            host=host,
            port=port,
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=parts.path.strip("/") or _DATABASE,
            autogenerate_session_id=False,
            connect_timeout=10,
            send_receive_timeout=int(config.timeout_s),
        )

    return session


def _open_embedded(state: Path) -> ClickHouse:
    folder = state / FOLDER
    lock = FolderLock(state / LOCK, folder)
    lock.acquire()
    _own_scratch(state / SCRATCH)
    os.environ.setdefault(*_ALLOCATOR)
    try:
        client = ClickHouse(lambda: clickhouse_connect.get_client(interface="chdb", path=str(folder)), lock)
        _require_all_tables(client, folder)
    except WarehouseError as error:
        lock.release()
        raise _unreadable(folder, error.message) from error
    except ImportError as error:
        lock.release()
        raise LocalError(
            "The embedded ClickHouse (chdb) is not installed", remedy="pip install 'hookline[embedded]', or set CLICKHOUSE_URL."
        ) from error
    return client


def _own_scratch(scratch: Path) -> None:
    """Keep temporary files beside the folder: every insert reaches chDB through one, and a killed process leaves it behind."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    tempfile.tempdir = str(scratch)


def _require_all_tables(client: ClickHouse, folder: Path) -> None:
    """Refuse a folder from which chDB silently left out tables whose definition it could not read."""
    on_disk = sum(1 for _ in folder.glob("store/*/*/*.sql"))
    attached = client.rows("SELECT count() AS n FROM system.tables WHERE database = {database:String}", {"database": _DATABASE})[0]["n"]
    if attached < on_disk:
        client.close()
        raise _unreadable(folder, f"{on_disk - attached} of {on_disk} tables cannot be read")


def _unreadable(folder: Path, reason: str) -> LocalError:
    return LocalError(
        f"The ClickHouse folder {folder} cannot be opened: {' '.join(reason.split())[:300]}",
        remedy="Restore it, or move it away and start again: the log is then rebuilt from what Kafka still holds of the attempts "
        "once the sink's group is reset.",
    )


class FolderLock:
    """Keeps a second process out of an embedded folder: chDB takes one process per folder and does not say so clearly."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._file: int | None = None

    def acquire(self) -> None:
        """Create the folder and lock it; raise `LocalError` when another process has it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalError(
                f"{self._folder} cannot be used: {error.strerror}", remedy="Set HOOKLINE_STATE_DIR to a folder you may write."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            message = f"The ClickHouse folder {self._folder} is in use by another process"
            raise LocalError(
                message,
                remedy="Stop the `hookline up` or `console` that has it; questions go through HOOKLINE_QUERY_URL.",
            ) from error

    def release(self) -> None:
        """Let the folder go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            tempfile.tempdir = None


@contextmanager
def translated() -> Iterator[None]:
    """Turn clickhouse-connect's errors from the block into ours."""
    try:
        yield
    except DatabaseError as error:
        raise _translate(error) from error
    except ClickHouseError as error:
        raise WarehouseUnavailable(f"ClickHouse does not answer: {_first_line(error)}", remedy=_DOWN) from error
    except OSError as error:
        raise WarehouseUnavailable(f"ClickHouse cannot be reached: {_first_line(error)}", remedy=_DOWN) from error


def _translate(error: DatabaseError) -> WarehouseError:
    code = getattr(error, "code", None)
    if code in _ROWS_AT_FAULT:
        return RowsRefused(f"ClickHouse refused a row: {_first_line(error)}")
    if code in _TRY_AGAIN or code is None:
        return WarehouseUnavailable(f"ClickHouse cannot do it now: {_first_line(error)}", remedy=_DOWN)
    if code in _NOT_THERE:
        return WarehouseError(
            "The tables of the log are not in this ClickHouse yet", remedy="Run `hookline migrate up`, or start `hookline up`."
        )
    return WarehouseError(f"ClickHouse refused: {_first_line(error)}", remedy="If a table or column is missing, run `hookline migrate up`.")


def _first_line(error: Exception) -> str:
    """Return what an error says in one line: not the stack below it, which may quote data, nor ids that differ each time."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    where, why = _WHERE.search(text), _WHY.search(text)
    if where and why:
        return f"{where[1]}:{where[2]}: {next(filter(None, why.groups()))}"
    return _QUERY_ID.sub("", text)[:300]
