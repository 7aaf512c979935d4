"""Named queries over loopback HTTP: chDB takes one process per folder, so the one that has it answers for the others.

`POST /query/NAME` with a JSON object of parameters and a bearer token; rows come back as a JSON array. Only the queries of
this build can be asked, so a holder of the token can read the log and nothing else.
"""

from __future__ import annotations

import hmac
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import orjson

from hookline.analytics import metrics
from hookline.analytics.config import QueryConfig, WarehouseConfig
from hookline.analytics.queries import ClickHouseQueries, Queries, names
from hookline.analytics.warehouse import Parameters, Rows, Warehouse
from hookline.kernel.config import blanked, load, state_dir
from hookline.kernel.errors import (
    ConfigError,
    HooklineError,
    InputError,
    LocalError,
    NotFound,
    PayloadTooLarge,
    Unauthorized,
    WarehouseError,
    WarehouseUnavailable,
)
from hookline.kernel.log import logger

_log = logger("queries")
_MAX_BODY: Final = 65_536
_PREFIX: Final = "/query/"
_STATUS: Final = (
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (NotFound, HTTPStatus.NOT_FOUND),
    (PayloadTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (WarehouseUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)
_TIMEOUT_S: Final = 60.0
_SLOW_S: Final = 10.0
_SESSIONS: Final = 3
_DRAINED: Final = 10 * _MAX_BODY


class Gateway:
    """Serves named queries from daemon threads, a few at a time; `port` is the bound one after `start`."""

    def __init__(self, config: QueryConfig, client: Warehouse) -> None:
        self._config = config
        self._client = client
        # A session answers one query at a time; who finds none idle waits for one.
        self._idle: queue.SimpleQueue[ClickHouseQueries] = queue.SimpleQueue()
        self._server: _Server | None = None
        self.port = config.port

    def start(self) -> None:
        """Bind and serve; raise `ConfigError` when the token is missing or the port is taken, `WarehouseError`; then nothing is bound."""
        if not self._config.token:
            raise ConfigError("HOOKLINE_QUERY_TOKEN is not set", remedy="Set it to a long random text; the commands need the same.")
        sessions = [ClickHouseQueries(self._client.another()) for _ in range(_SESSIONS)]
        try:
            self._server = _Server((self._config.host, self._config.port), self)
        except OSError as error:
            message = f"HOOKLINE_QUERY_PORT={self._config.port} cannot be opened: {error.strerror}"
            raise ConfigError(message, remedy="Stop what uses it, or set another port (0 takes a free one).") from error
        for session in sessions:
            self._idle.put(session)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="queries", daemon=True).start()

    def stop(self) -> None:
        """Close the port, once the queries in progress are answered."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            for _ in range(_SESSIONS):
                self._idle.get().close()

    def admit(self, authorization: str) -> None:
        """Raise `Unauthorized` unless this is the bearer token."""
        if not hmac.compare_digest(authorization.encode(), f"Bearer {self._config.token}".encode()):
            raise Unauthorized("The bearer token is missing or wrong", remedy="Set HOOKLINE_QUERY_TOKEN as the sink has it.")

    def answer(self, path: str, body: bytes) -> Rows:
        """Return the rows that were asked for; raise the error to be told."""
        name = path.removeprefix(_PREFIX)
        if not path.startswith(_PREFIX) or name not in names():
            raise NotFound("There is no such query", field="query")
        parameters = _parameters(body)
        session = self._idle.get()
        try:
            with metrics.QUERY_SECONDS.labels(name).time():
                rows = session.run(name, parameters)
        finally:
            self._idle.put(session)
        metrics.QUERIES.labels(name, "ok").inc()
        return rows


def _parameters(body: bytes) -> Parameters:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError("The body is not JSON") from error
    if not isinstance(found, dict):
        raise InputError("The body is not an object of parameters")
    return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], gateway: Gateway) -> None:
        super().__init__(address, _Handler)
        self.gateway = gateway

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  # the name and form socketserver calls
        """Log what a request's thread died of: written to a terminal that takes nothing it would end the process."""
        _log.exception("gateway.failed")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _SLOW_S  # of each read and write: a client that stalls holds a thread no longer

    def do_POST(self) -> None:  # the name http.server calls
        try:
            self.server.gateway.admit(self.headers.get("Authorization", ""))
            rows = self.server.gateway.answer(self.path, self._body())
        except HooklineError as error:
            self._refuse(error)
        else:
            self._answer(HTTPStatus.OK, rows)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise InputError("The request must have a Content-Length")
        if len(length) > len(str(_DRAINED)) or int(length) > _MAX_BODY:
            # Read on for a while: to close with bytes unread would take the answer away again.
            self.rfile.read(min(int(length[:9]), _DRAINED))
            raise PayloadTooLarge(f"The body must have at most {_MAX_BODY} bytes")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise InputError("The body is shorter than its Content-Length")
        return body

    def _refuse(self, error: HooklineError) -> None:
        metrics.QUERIES.labels("", error.code).inc()
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
        field = getattr(error, "field", "")
        self._answer(status, {"code": error.code, "message": error.message, "remedy": error.remedy, "field": field})

    def _answer(self, status: HTTPStatus, found: object) -> None:
        # Keys of ClickHouse's maps may be numbers.
        body = orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """Answer one request; a client that goes away or stalls is its own affair."""
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Stay silent: the metrics count."""


class RemoteQueries:
    """Asks a gateway; safe for threads, as it holds no connection."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    def run(self, name: str, parameters: Parameters) -> Rows:
        """Return the rows of a query; raise what the gateway said, or `WarehouseUnavailable` when it said nothing."""
        request = urllib.request.Request(  # noqa: S310  # the scheme is checked when the configuration is read
            f"{self._url}{_PREFIX}{name}", orjson.dumps(dict(parameters)),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with _opener.open(request, timeout=_TIMEOUT_S) as answer:
                rows: Rows = orjson.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise _told(error) from error
        except (OSError, ValueError, HTTPException) as error:
            # The words of HTTPException repeat pieces of the address, its password among them, or what something else answered.
            why = type(error).__name__ if isinstance(error, HTTPException) else str(error)
            message = f"The sink's queries at {blanked(self._url)} do not answer: {why}"
            raise WarehouseUnavailable(message, remedy="Start `hookline up`, or `hookline sink` beside it.") from error
        return rows

    def close(self) -> None:
        """Do nothing: there is no connection."""


# Loopback needs no proxy, and a proxy must not see the token.
_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _told(error: urllib.error.HTTPError) -> HooklineError:
    try:
        found: Any = orjson.loads(error.read())
        message, remedy, field = str(found["message"]), str(found["remedy"]), str(found["field"])
    except (ValueError, KeyError, TypeError):
        return WarehouseError(f"The sink's queries answered with HTTP {error.code}")
    if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
        return WarehouseUnavailable(message, remedy=remedy)
    for kind in (Unauthorized, NotFound, PayloadTooLarge, InputError):
        if error.code == dict(_STATUS)[kind]:
            return kind(message, field=field, remedy=remedy)
    return WarehouseError(message, remedy=remedy)


def open_queries(environ: Mapping[str, str]) -> Queries:
    """Return the way to the log: the server of `CLICKHOUSE_URL`, else a running sink, else the embedded folder itself.

    Raises `WarehouseUnavailable`, `LocalError` when the folder is in use or there is none, `ConfigError` for a wrong variable.
    """
    config, served = load(QueryConfig, environ), load(WarehouseConfig, environ).url
    if config.url and not served:
        return RemoteQueries(config.url, config.token)
    from hookline.analytics.client import FOLDER, open_client  # noqa: PLC0415  # heavy, and not needed to ask a sink

    folder = state_dir(environ) / FOLDER
    if not served and not folder.exists():
        raise LocalError(
            f"There is no log: {folder} does not exist, and neither CLICKHOUSE_URL nor HOOKLINE_QUERY_URL is set",
            remedy="Start `hookline up` or `hookline sink` in this folder, or set one of them.",
        )
    return ClickHouseQueries(open_client(environ))
