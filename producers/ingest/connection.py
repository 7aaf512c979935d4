"""One kept-alive HTTP/1.1 connection of a client: read by llhttp, strict, a request at a time, nothing held beyond its bounds."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn, Protocol

import httptools

from hookline.kernel.log import logger
from hookline.producers.ingest import answers
from hookline.producers.ingest.app import Respond
from hookline.producers.ingest.body import EXPECTED
from hookline.producers.ingest.errors import Problem, refused
from hookline.producers.ingest.messages import Answer, Peer, Request

_log = logger("ingest")
_LINE: Final = 8_192
_FIELD: Final = 8_192
_FIELDS: Final = 64
_HEAD: Final = 65_536
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER_S: Final = 1.0
# A name or address, and a port. Two headers were joined by a comma, which no name of a host has.
_A_HOST: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+;=%:\[\]-]*\Z")
_MALFORMED: Final = refused("malformed_request", "The request is not well-formed HTTP/1.1").problem
_HOST: Final = refused("malformed_request", "The request has no Host, two, or a broken one", remedy="Send one Host header.").problem
_INCOMPLETE: Final = refused("malformed_request", "The body is incomplete or its chunks are broken").problem
_UPGRADE: Final = refused("malformed_request", "The connection cannot be upgraded", remedy="Send no Upgrade header.").problem
_URL: Final = refused("url_too_long", "The request line is too long", remedy="Send data in the body.").problem
_LONG: Final = refused("headers_too_large", "A header is too long", remedy="Send fewer and shorter headers.").problem
_MANY: Final = refused("headers_too_large", f"There are more than {_FIELDS} headers", remedy="Send fewer headers.").problem


class Host(Protocol):
    """The server, as its connections know it."""

    draining: bool
    most: int
    body_s: float
    idle_s: float

    def admit(self, request: Request) -> None:
        """Look at a head: sets `admitted`, or `problem`, or neither yet."""

    def admit_late(self, request: Request, then: Callable[[], None]) -> None:
        """Set one of both, then call `then`."""

    def answer(self, request: Request, respond: Respond) -> None:
        """Answer a whole request."""

    def too_large(self) -> Problem:
        """Return what is told of a body over `most`."""

    def opened(self, connection: Connection) -> None:
        """Take note of a connection."""

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""

    def date(self) -> bytes:
        """Return the Date header of this second."""


class _Fault(Exception):
    """The parser is to stop: the request cannot be read on."""


class Connection(asyncio.Protocol):
    """Requests are answered in their order, one after the other; while more than one waits, no more is read.

    A request that is refused before its body has come is the last: what is left of its body would be taken for the next one. The
    connection then reads for one more second, so that the answer is not lost with what the client still sends.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer = Peer("")
        self._queue: deque[Request] = deque()
        self._request: Request | None = None
        self._fault: Problem | None = None
        self._head_size = 0
        self._fields = 0
        self._since = self._loop.time()
        self._busy = self._told = self._held = self._paused = self._advancing = False
        self._deaf = self._last = self._lingering = False

    @property
    def under_way(self) -> bool:
        """Whether a request has come that is not answered yet."""
        return bool(self._queue)

    def close(self) -> None:
        """Close once what was written has gone out."""
        self._deaf = True
        if self._transport is not None:
            self._transport.close()

    @property
    def _is_closing(self) -> bool:
        """Whether it waits only for the client to read what was written."""
        return self._transport is not None and self._transport.is_closing()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def sweep(self, now: float) -> None:
        """End what has taken too long; called often."""
        waited = now - self._since
        front = self._queue[0] if self._queue else None
        if self._lingering:
            if waited > _LINGER_S:
                self.abort()
        elif self._held or front is None:
            if waited > self._host.idle_s:
                self.abort() if self._held or self._is_closing else self.close()
        elif not front.whole and front.problem is None and now - front.arrived_s > self._host.body_s:
            words = f"The body did not arrive in {self._host.body_s:g} s"
            front.problem = refused("body_timeout", words, remedy="Send it again.").problem
            self._advance()

    # ---- what the loop calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # a TCP server's is a writable one
        found = transport.get_extra_info("peername")
        self._peer.address = str(found[0]) if found else ""
        self._host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Forget what was not answered: nobody is there to hear it."""
        self._transport = None
        self._deaf = True
        self._queue.clear()
        self._host.closed(self)

    def pause_writing(self) -> None:
        """Answer nothing more until the client has read what it was told."""
        self._held, self._since = True, self._loop.time()

    def resume_writing(self) -> None:
        """Go on."""
        self._held, self._since = False, self._loop.time()
        self._advance()

    def eof_received(self) -> bool:
        """Answer what is whole, then close; a request that is cut short has no answer."""
        self._deaf = self._last = True
        return bool(self._queue) and self._queue[0].whole

    def data_received(self, data: bytes) -> None:
        """Read requests, and answer what can be answered."""
        if self._deaf:
            return
        if self._request is None or not self._request.arrived_s:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
            if self._head_size > _HEAD:
                self._fail(_LONG)
        except httptools.HttpParserError as error:
            _log.debug("ingest.malformed_request", error=str(error))
            self._fail(self._fault or (_INCOMPLETE if self._request is not None and self._request.arrived_s else _MALFORMED))
        self._advance()

    # ---- what the parser calls ----

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._request = Request(self._peer)
        self._fields = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request line."""
        request = self._now()
        request.path += url.decode("latin-1")
        if len(request.path) > _LINE:
            self._stop(_URL)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body in chunks are counted and dropped."""
        request = self._now()
        self._fields += 1
        if len(name) + len(value) > _FIELD:
            self._stop(_LONG)
        if self._fields > _FIELDS:
            self._stop(_MANY)
        if request.arrived_s:
            return
        key, text = name.lower().decode("latin-1"), value.decode("latin-1")
        before = request.headers.get(key)
        request.headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        """Let the app look at the head, before the body is read."""
        request = self._now()
        request.method = self._parser.get_method().decode("latin-1")
        request.arrived_s = self._loop.time()
        self._head_size = 0
        self._queue.append(request)
        if self._parser.should_upgrade():
            self._stop(_UPGRADE)
        if request.headers.get("transfer-encoding", "chunked").lower() != "chunked":
            self._stop(_MALFORMED)
        host = request.headers.get("host")
        if self._parser.get_http_version() != "1.0" if host is None else _A_HOST.match(host) is None:
            self._stop(_HOST)
        self._host.admit(request)

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body; of a request that is refused none is kept."""
        request = self._now()
        if request.problem is None:
            request.body += data
            if len(request.body) > self._host.most:
                request.problem, request.body = self._host.too_large(), bytearray()

    def on_message_complete(self) -> None:
        """Let the request count as whole."""
        request = self._now()
        # HTTP/1.0 has keep-alive by a header of its own, which nobody needs here.
        request.whole, request.keep_alive = True, self._parser.should_keep_alive() and self._parser.get_http_version() != "1.0"
        self._request = None
        if not request.keep_alive:
            self._deaf = True

    # ---- one request after the other ----

    def _now(self) -> Request:
        if self._request is None:
            self._stop(_MALFORMED)
        return self._request

    def _stop(self, problem: Problem) -> NoReturn:
        self._fault = problem
        raise _Fault

    def _fail(self, problem: Problem) -> None:
        """Let the request that cannot be read be the last, with this answer."""
        if self._deaf:  # nothing was to follow
            return
        self._deaf = True
        request = self._request or Request(self._peer)
        if not request.arrived_s:
            self._queue.append(request)
        request.problem = request.problem or problem

    def _advance(self) -> None:
        """Answer from the front of the queue as far as that goes now."""
        if self._advancing:
            return
        self._advancing = True
        while self._queue and not self._busy and not self._held and self._transport is not None and not self._lingering:
            if not self._step(self._queue[0]):
                break
        self._advancing = False
        self._read_on()

    def _read_on(self) -> None:
        """Read as long as nothing is held that could be answered before what comes next."""
        waiting = len(self._queue) > 1 and not self._deaf
        if waiting != self._paused and self._transport is not None and not self._lingering:
            self._paused = waiting
            if waiting:
                self._transport.pause_reading()
                return
            self._transport.resume_reading()
            if self._queue:  # what kept the rest of its body from coming was this end
                self._queue[0].arrived_s = self._loop.time()

    def _step(self, request: Request) -> bool:
        """Do what there is to do for the request in front; return False when it must wait."""
        if request.problem is not None:
            self._write(answers.problem(request.problem))
        elif request.admitted is None:
            self._wait_for_key(request)
        elif request.whole:
            self._busy = True
            self._host.answer(request, self._respond)
        else:
            self._tell_to_go_on(request)
            return False
        return True

    def _wait_for_key(self, request: Request) -> None:
        self._busy = True
        self._host.admit_late(request, self._go_on)

    def _go_on(self) -> None:
        self._busy = False
        self._advance()

    def _tell_to_go_on(self, request: Request) -> None:
        """Give a client that waits for leave to send its body that leave, once."""
        if not self._told and self._transport is not None and request.headers.get("expect", "").strip().lower() == EXPECTED:
            self._told = True
            self._transport.write(_CONTINUE)

    def _respond(self, answer: Answer) -> None:
        self._busy = False
        if self._queue:
            self._write(answer)
            self._advance()

    def _write(self, answer: Answer) -> None:
        request = self._queue.popleft()
        transport = self._transport
        if transport is None:
            return
        last = not request.whole or not request.keep_alive or self._host.draining or (self._last and not self._queue)
        ending = b"Connection: close\r\n\r\n" if last else b"\r\n"
        head = b"%bContent-Length: %d\r\n%b%b" % (answer.head, len(answer.body), self._host.date(), ending)
        self._since, self._told = self._loop.time(), False
        transport.write(head if request.method == "HEAD" else head + answer.body)
        if last:
            self._end(transport, whole=request.whole)

    def _end(self, transport: asyncio.Transport, *, whole: bool) -> None:
        self._deaf = True
        self._queue.clear()
        if whole:
            transport.close()
            return
        if self._paused:
            self._paused = False
            transport.resume_reading()
        self._lingering = True
        if transport.can_write_eof():
            transport.write_eof()
