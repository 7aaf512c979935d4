"""The HTTP server: aiohttp's without its router, with our answers for what it refuses itself."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from hookline.kernel.errors import HooklineError
from hookline.kernel.log import logger
from hookline.producers.ingest import answers
from hookline.producers.ingest.errors import Refused, problem_of, refused

_log = logger("ingest")
_LINE: Final = 8_192
_FIELD: Final = 8_191  # another figure, so that a long URL is told from a long header
_HEADERS: Final = 64
_LINGER_S: Final = 1.0


class Connection(web.RequestHandler):
    """One connection; requests that are no HTTP, and our own failures, get a problem too."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's signature
    ) -> web.StreamResponse:
        """Return the answer to what the parser refused, or to an exception nobody expected."""
        if status != 400:  # noqa: PLR2004  # the parser's status
            _log.error("ingest.failed", error=f"{type(exc).__name__}: {exc}", exc_info=exc)
            found = problem_of(HooklineError("unexpected"))
        else:
            _log.debug("ingest.malformed_request", error=type(exc).__name__)
            found = _malformed(exc).problem
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        response = answers.problem(found)
        response.force_close()
        return response


class Server(web.Server):
    """Makes connections of our kind."""

    def __init__(self, handler: Any, *, idle_s: float) -> None:  # noqa: ANN401  # aiohttp names no type for it
        super().__init__(
            handler,
            access_log=None,
            auto_decompress=False,  # unpacked here, with limits
            keepalive_timeout=idle_s,
            lingering_time=_LINGER_S,
            max_line_size=_LINE,
            max_field_size=_FIELD,
            max_headers=_HEADERS,
        )

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


def _malformed(error: BaseException | None) -> Refused:
    if isinstance(error, LineTooLong):
        if error.args[1] == _LINE:
            return refused("url_too_long", "The request line is too long", remedy="Send data in the body.")
        return refused("headers_too_large", "A header is too long", remedy="Send fewer and shorter headers.")
    if "Too many headers" in str(error):
        return refused("headers_too_large", f"There are more than {_HEADERS} headers", remedy="Send fewer headers.")
    return refused("malformed_request", "The request is not well-formed HTTP/1.1")
