"""A ClickHouse server for tests: chDB behind enough of ClickHouse's HTTP interface for clickhouse-connect.

`python clickhouse_server.py FOLDER PORT`. The engine is the real one; what is ours is that it can be told to fail:
`POST /_fault?mode=MODE` with `ok`, `hang` (no answer, nothing done), `mute` (done, but the answer is lost) or
`refuse:CODE` (an exception of ClickHouse with that code), for inserts only when `&only=insert`. `GET /_inserts` counts them.
"""

from __future__ import annotations

import gzip
import os
import re
import sys
import tempfile
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame  # type: ignore[import-untyped]  # it ships no types; clickhouse-connect brings it
from backports import zstd

# What the HTTP interface consumes itself, and the engine does not know.
_TRANSPORT = {"query", "database", "query_id", "session_id", "client_protocol_version", "compress", "decompress", "wait_end_of_query",
              "enable_http_compression", "send_progress_in_http_headers", "http_headers_progress_interval_ms", "buffer_size"}  # fmt: skip
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*$", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")


class Engine:
    """One chDB connection per thread, and the fault that is on."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._local = threading.local()
        self.mode = "ok"
        self.inserts_only = False
        self.inserts = 0

    def run(self, query: str, settings: dict[str, str], parameters: dict[str, str]) -> bytes:
        """Run a query with settings of its own; return the bytes of its format."""
        if not hasattr(self._local, "connection"):
            self._local.connection = chdb.connect(self._folder)
        if settings:
            given = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
            self._local.connection.query(f"SET {given}")
        found = _FORMAT.search(query)
        result = self._local.connection.query(query, found[1] if found else "TabSeparated", params=parameters)
        return bytes(result.bytes() or b"")

    def insert(self, query: str, data: bytes, settings: dict[str, str]) -> bytes:
        """Run `INSERT … FORMAT …` with its data."""
        self.inserts += 1
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            given = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
            head, kind = query[: _at(query)], query[_at(query) :]
            return self.run(f"{head} FROM INFILE '{file.name}' {'SETTINGS ' + given if given else ''} {kind}", {}, {})


def _at(query: str) -> int:
    found = _FORMAT.search(query)
    return found.start() if found else len(query)


class Handler(BaseHTTPRequestHandler):
    """The HTTP interface."""

    protocol_version = "HTTP/1.1"
    engine: Engine

    def do_GET(self) -> None:
        """Serve what comes without a body."""
        if self.path == "/_inserts":
            self._answer(200, str(self.engine.inserts).encode())
        else:
            self._serve(b"")

    def do_POST(self) -> None:
        """Serve a query or an insert, or change the fault."""
        given = dict(parse_qsl(urlsplit(self.path).query))
        body = self._body()
        if self.path.startswith("/_fault"):
            self.engine.mode, self.engine.inserts_only = given["mode"], given.get("only") == "insert"
            self._answer(200, b"")
        else:
            self._serve(body)

    def _serve(self, body: bytes) -> None:
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        insert = given.get("query", "").lstrip().upper().startswith("INSERT") and bool(body)
        mode = self.engine.mode if insert or not self.engine.inserts_only else "ok"
        if mode == "hang":
            time.sleep(3_600)
        if mode.startswith("refuse:"):
            self._fail(f"Code: {mode[7:]}. DB::Exception: told to refuse.")
            return
        parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        settings = {name: value for name, value in given.items() if name not in _TRANSPORT and not name.startswith("param_")}
        query = given.get("query") or body.decode()
        try:
            data = self.engine.insert(query, body, settings) if insert else self.engine.run(query, settings, parameters)
        except RuntimeError as error:
            self._fail(str(error))
            return
        if mode == "mute":
            self.close_connection = True
            self.connection.close()
            return
        found = _FORMAT.search(query)
        self._answer(200, data, {"X-ClickHouse-Format": found[1]} if found and data else {})

    def _fail(self, text: str) -> None:
        code = _CODE.search(text)
        self._answer(500, text.encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "0"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        unpack: Any = {"gzip": gzip.decompress, "deflate": zlib.decompress, "lz4": lz4.frame.decompress, "zstd": zstd.decompress}
        return bytes(unpack.get(self.headers.get("Content-Encoding", ""), bytes)(body))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def main() -> None:
    """Serve until ended; say on standard output when it listens."""
    folder, port = sys.argv[1], int(sys.argv[2])
    Path(folder).mkdir(parents=True, exist_ok=True)
    Handler.engine = Engine(folder)
    Handler.engine.run("SELECT 1", {}, {})
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        os._exit(0)


if __name__ == "__main__":
    main()
