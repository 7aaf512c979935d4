"""The HTTP server beneath API and panel: limits, one form of error, security headers, one log line per request."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import HttpVersion10, hdrs, web
from aiohttp.http_exceptions import LineTooLong

from hookline.console import metrics
from hookline.console.http.problems import CONTENT_TYPE, MEANINGS, Code, Refused, Trouble, trouble
from hookline.kernel.errors import ConfigError, HooklineError
from hookline.kernel.log import logger

_log = logger("console")
MAX_URL: Final = 8_192
MAX_HEADERS: Final = 16_384
_UNREAD_MS: Final = 120_000
_LINE: Final = 2 * MAX_URL
_FIELD: Final = MAX_HEADERS + 1  # not the line's limit: by the limit it broke one tells what was too long
_CONNECTION: Final[dict[str, Any]] = {
    "access_log": None,
    "auto_decompress": False,
    "keepalive_timeout": 75.0,
    "lingering_time": 1.0,
    "max_line_size": _LINE,
    "max_field_size": _FIELD,
}
REQUEST_ID: Final = "Hookline-Request"
_SERVER: Final = "hookline"
SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}
_BY_STATUS: Final = {
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.BODY_TOO_LARGE,
    417: Code.MALFORMED_REQUEST,
}
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
ROUTE: Final = web.RequestKey("route", str)
ACTOR: Final = web.RequestKey("actor", str)
REQUEST: Final = web.RequestKey("request_id", str)


class Server:
    """Serves one application; errors that happen before a request reaches it are told in the same form as those of the application."""

    def __init__(self, app: web.Application, host: str, port: int, drain_s: float) -> None:
        self._host = host
        self._drain_s = drain_s
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=drain_s)
        self._listening: asyncio.Server | None = None
        self.port = port

    async def start(self) -> None:
        """Listen; raise `ConfigError` when the port is taken. `port` is the bound one from then on."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(self._connection, self._host, self.port)
        except OSError as error:
            message = f"HOOKLINE_CONSOLE_PORT={self.port} cannot be opened on {self._host}: {error.strerror}"
            raise ConfigError(message, remedy="Stop what uses it, or set another port (0 takes a free one).") from error
        self.port = self._listening.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take no new requests, wait for those under way, close all connections."""
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()

    def _connection(self) -> web.RequestHandler:
        manager = self._runner.server
        if manager is None:
            raise RuntimeError("the server is not set up")
        return Connection(manager, loop=asyncio.get_running_loop(), **_CONNECTION)


class Connection(web.RequestHandler):
    """A connection whose parser's complaints become problems."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have the kernel end a connection whose client reads nothing for long: nobody else would, and an export has few places."""
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
        super().connection_made(transport)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return the problem of a request that cannot be parsed, or of a failure nobody caught; close the connection."""
        del message  # it quotes the request
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response = respond(trouble(_unparsed(status, exc)))
        response.headers.update({**SECURITY, hdrs.SERVER: _SERVER})
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; what aiohttp refuses before `guarded`, an expectation at an address of nobody, becomes a problem."""
        if isinstance(resp, web.HTTPException):
            resp = respond(trouble(of_http(resp)))
        return await super().finish_response(request, resp, start_time)


def _unparsed(status: int, error: BaseException | None) -> HooklineError:
    if isinstance(error, LineTooLong):
        if error.args[1] == _LINE:
            return Refused(Code.URL_TOO_LONG, f"The URL is longer than {MAX_URL:,} bytes")
        return Refused(Code.HEADERS_TOO_LARGE, f"The headers are larger than {MAX_HEADERS:,} bytes")
    if error is not None and "Too many headers" in str(error):
        return Refused(Code.HEADERS_TOO_LARGE, "There are too many headers")
    if 400 <= status < 500:  # noqa: PLR2004  # the class of the caller's faults
        return Refused(Code.MALFORMED_REQUEST, "The request cannot be parsed")
    _log.error("console.failed", error=type(error).__name__, exc_info=error)
    return HooklineError("Hookline failed")


@web.middleware
async def guarded(request: web.Request, handler: Next) -> web.StreamResponse:
    """Give a request its id, refuse it for its size, turn errors into problems, log one line."""
    request[REQUEST] = secrets.token_hex(8)
    began = time.perf_counter()
    response = await _answered(request, handler)
    if not request.content.is_eof():
        response.force_close()  # what is left of the body would be taken for the next request
    route, took_s = request.get(ROUTE, "none"), time.perf_counter() - began
    metrics.REQUESTS.labels(route, response.status).inc()
    metrics.SECONDS.labels(route).observe(took_s)
    _log.info(
        "request.answered", route=route, method=_known_method(request), status=response.status, seconds=round(took_s, 4),
        actor=request.get(ACTOR, "nobody"), address=request.remote, request=request[REQUEST],
    )  # fmt: skip
    return response


async def _answered(request: web.Request, handler: Next) -> web.StreamResponse:
    try:
        refuse_unfit(request)
        return await handler(request)
    except HooklineError as error:
        told = trouble(error)
        if told.problem.status >= 500:  # noqa: PLR2004  # the class of our own faults
            _log.error("console.failed", error=str(error), code=told.problem.code, request=request[REQUEST])
        return respond(told)
    except web.HTTPException as error:
        return respond(trouble(of_http(error)))
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever a handler did not foresee must not end the process or show itself
        _log.error("console.failed", error=type(error).__name__, request=request[REQUEST], exc_info=error)
        return respond(trouble(HooklineError("Hookline failed")))


def refuse_unfit(request: web.Request) -> None:
    """Raise `Refused` for HTTP before 1.0, too long a URL or too large headers."""
    if request.version < HttpVersion10:
        raise Refused(Code.MALFORMED_REQUEST, "The request is of an HTTP before 1.0")
    if len(request.raw_path) > MAX_URL:
        raise Refused(Code.URL_TOO_LONG, f"The URL is longer than {MAX_URL:,} bytes")
    if sum(len(name) + len(value) for name, value in request.raw_headers) > MAX_HEADERS:
        raise Refused(Code.HEADERS_TOO_LARGE, f"The headers are larger than {MAX_HEADERS:,} bytes")


def of_http(error: web.HTTPException) -> HooklineError:
    """Return an error of aiohttp's router as one of ours."""
    code = _BY_STATUS.get(error.status)
    if code is Code.NOT_FOUND:
        return Refused(code, "There is nothing at this address", remedy="The reference at /api/v1/docs names all addresses.")
    if code is None:
        return HooklineError(f"aiohttp answered {error.status}")
    if code is Code.MALFORMED_REQUEST:
        return unexpected()
    allow = error.headers.get(hdrs.ALLOW)
    return Refused(code, MEANINGS[code].title, headers={hdrs.ALLOW: allow} if allow else {})


def respond(told: Trouble) -> web.Response:
    """Return the answer that tells a problem."""
    body = told.problem.model_dump_json().encode()
    return web.Response(status=told.problem.status, body=body, content_type=CONTENT_TYPE, headers=told.headers)


async def expecting(request: web.Request) -> web.StreamResponse | None:
    """Let a client that waits for leave send its body; refuse one that expects anything else. aiohttp calls this before `guarded`."""
    if request.headers.get(hdrs.EXPECT, "").strip().lower() != "100-continue":
        return respond(trouble(unexpected()))
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun
    return None


def unexpected() -> Refused:
    """Return the refusal of an expectation."""
    return Refused(Code.MALFORMED_REQUEST, "Expect may be 100-continue only", field=hdrs.EXPECT)


async def secured(request: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers onto an answer, and the request's id; what a handler has set stays. A signal of aiohttp."""
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = _SERVER  # aiohttp's names its version and Python's
    if REQUEST in request:
        response.headers[REQUEST_ID] = request[REQUEST]


def root() -> web.Application:
    """Return the application onto which API and panel are mounted."""
    app = web.Application(middlewares=[guarded])
    app.on_response_prepare.append(secured)
    return app


def _known_method(request: web.Request) -> str:
    return request.method if request.method in hdrs.METH_ALL else "OTHER"
