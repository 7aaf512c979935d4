"""One kept-alive HTTP/1.1 connection: a request at a time, the answer parsed by llhttp, nothing held beyond its bounds.

The protocol is an `asyncio.BufferedProtocol` over one 64 KiB buffer that all connections share: the loop fills it and
it is parsed before the loop goes on, so that no read allocates.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from typing import Final, Protocol

import httptools

from hookline.dispatcher.transport.contract import MAX_BODY, MAX_HEAD
from hookline.dispatcher.transport.phases import (
    HEAD_TOO_LONG,
    LOWEST_STATUS,
    MOST_HEADERS,
    NO_START,
    NO_STATUS,
    START,
    TOO_MANY_HEADERS,
    malformed,
)

_BUFFER: Final = bytearray(64 * 1024)
VIEW: Final = memoryview(_BUFFER)
"""What the loop reads into: good until it goes on."""
# Not every system tells a half-closed connection apart; there it can be read from, as everywhere.
_NOTICED: Final = select.POLLIN | getattr(select, "POLLRDHUP", 0)
_HEAD_LIMIT: Final = 64 * 1024
_TAIL_LIMIT: Final = 256 * 1024
"""Of all that follows a head: 16 KiB in chunks of one byte are 96, and extensions and trailers have no end of their own."""
_INTERIM_LIMIT: Final = 16
_LINE: Final = b": ".join


class Listener(Protocol):
    """Who asked; called once for each request, from within the loop."""

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        """Take the answer that the connection holds and have it forget that; `reusable` False: the connection is closed."""

    def broken(self, connection: Connection, error: Exception) -> None:
        """Take that no status line came, and why."""


class Connection(asyncio.BufferedProtocol):
    """States: idle, or busy with one request from `request` until the listener is called."""

    __slots__ = (
        "_body_size",
        "_complete",
        "_head_size",
        "_headers_done",
        "_interim",
        "_keep",
        "_listener",
        "_loss",
        "_parser",
        "_poll",
        "_tail_size",
        "_transport",
        "body",
        "closed",
        "headers",
        "idle_since",
        "origin",
        "retry_after",
        "status",
        "used",
    )

    def __init__(self, origin: object) -> None:
        self.origin = origin
        self.closed = False
        self.used = False
        self._loss: Exception | None = None
        self.idle_since = 0.0
        self._poll: select.poll | None = None
        self._transport: asyncio.Transport | None = None
        self._listener: Listener | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.forget()

    def forget(self) -> None:
        """Drop what is held of an answer, and be ready for the next; whoever has taken an answer calls it, so that idle ones hold none."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.retry_after = ""
        self._body_size = 0
        self._head_size = 0
        self._tail_size = 0
        self._interim = 0
        self._headers_done = False
        self._complete = False
        self._keep = False

    # ---- what the pool does ----

    def watch(self, sock: socket.socket) -> None:
        """Note whose bytes these are, for `stale`; once, before the connection is made."""
        self._poll = select.poll()
        self._poll.register(sock, _NOTICED)

    def request(self, parts: tuple[bytes, ...], listener: Listener) -> None:
        """Write a request; the listener hears of its end. Call only while idle, and after `forget`."""
        self._listener = listener
        if self._transport is None or self._loss is not None:
            self._break(self._loss or ConnectionResetError("the connection is closed"))
            return
        self._write(b"".join(parts))

    def abandon(self) -> None:
        """Forget the request and close at once; the listener is not called."""
        self._listener = None
        self.close()

    @property
    def stale(self) -> bool:
        """Whether the server has closed an idle connection already, though the loop has not told yet."""
        if self._transport is None or self._transport.is_closing() or self._poll is None:
            return True
        return bool(self._poll.poll(0))  # closed, reset, or bytes that nobody asked for

    def close(self) -> None:
        """Close at once."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return self._listener is None

    def serves(self, listener: Listener) -> bool:
        """Whether this listener's request has been written, and has no answer yet: what the connection holds is of another before that."""
        return self._listener is listener

    @property
    def answering(self) -> bool:
        """Whether the final answer's head is whole, so that its status counts whatever comes."""
        return self._headers_done

    @property
    def begun(self) -> bool:
        """Whether any byte of an answer has come."""
        return self._head_size > 0

    def head(self) -> str:
        """Return the answer's head, one header a line, at most 8 KiB."""
        return b"\n".join(map(_LINE, self.headers)).decode("latin-1")[:MAX_HEAD]

    # ---- what the loop calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # create_connection gives a writable one
        self.idle_since = time.monotonic()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        """Lend the shared buffer until `buffer_updated`."""
        return VIEW

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what came."""
        self._received(bytes(VIEW[:nbytes]))

    def eof_received(self) -> bool:
        """Close; an answer without a length ends here."""
        self._ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever still waits."""
        self._ended(exc)
        self._transport = None

    # ---- bytes ----

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _received(self, data: bytes) -> None:
        if self._listener is None:  # an answer that nobody asked for: whatever it is, this connection cannot be trusted
            self.close()
            return
        if self._headers_done:
            self._tail_size += len(data)
        else:
            self._head_size += len(data)
            if self.status == 0 and len(data) >= len(START) and self._head_size == len(data) and not data.startswith(START):
                self._break(ValueError(malformed(NO_START)))
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._answer(reusable=False)
        except httptools.HttpParserError as error:
            self._malformed(error)
        else:
            self._progress()

    def _progress(self) -> None:
        """See after every piece whether the answer is whole, or more than we take."""
        if self._complete:
            self._answer(reusable=self._keep)
        elif self._headers_done and (self._body_size > MAX_BODY or self._tail_size > _TAIL_LIMIT):
            self._answer(reusable=False)
        elif not self._headers_done and (self._head_size > _HEAD_LIMIT or self._interim > _INTERIM_LIMIT):
            self._break(ValueError(HEAD_TOO_LONG))

    def _malformed(self, error: Exception) -> None:
        """Keep the status where only the body is broken (or bytes follow the end, which costs the connection); else fail."""
        if self._headers_done:
            self._answer(reusable=False)
        else:
            self._break(ValueError(malformed(str(error.__context__ or error))))

    def _ended(self, error: Exception | None) -> None:
        self.closed = True
        if self._listener is None:
            self._loss = self._loss or error  # a server may refuse us before the first request is written
            return
        if self._headers_done:
            self._answer(reusable=False)
        elif self._head_size:
            self._break(EOFError("the connection was closed within the head of the answer"))
        else:
            self._break(error or ConnectionResetError("the connection was closed"))

    def _answer(self, *, reusable: bool) -> None:
        listener, self._listener = self._listener, None
        self.used = True
        if not reusable or self.closed or self._unsent:
            self.close()
        self.idle_since = time.monotonic()
        if listener is not None:
            listener.answered(self, reusable=not self.closed)

    @property
    def _unsent(self) -> bool:
        """Whether the answer came before the request was out: the rest of it would stand before the next one."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def _break(self, error: Exception) -> None:
        listener, self._listener = self._listener, None
        self.close()
        if listener is not None:
            listener.broken(self, error)
        else:
            self._loss = self._loss or error

    # ---- what llhttp calls ----

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request: it would be taken for the next one's."""
        if self._complete:
            raise ValueError("bytes follow the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the answer; trailers are none."""
        if self._headers_done:
            return
        if len(self.headers) >= MOST_HEADERS:
            raise ValueError(TOO_MANY_HEADERS)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the status; interim answers (1xx) do not count, but for 101, after which this is no HTTP any more."""
        status = self._parser.get_status_code()
        if status < LOWEST_STATUS:
            raise ValueError(NO_STATUS)
        if 100 <= status < 200 and status != 101:  # noqa: PLR2004  # the class of interim answers
            self._interim += 1
            self.headers.clear()
            return
        self.status = status
        self._headers_done = True
        if status in {429, 503, 502, 504} or status >= 300:  # noqa: PLR2004  # failures may say when to come again
            self.retry_after = next((v.decode("latin-1") for n, v in self.headers if n.lower() == b"retry-after"), "")

    def on_body(self, data: bytes) -> None:
        """Keep the first 16 KiB."""
        if self._body_size <= MAX_BODY:
            self.body.append(data[: MAX_BODY + 1 - self._body_size])
        self._body_size += len(data)

    def on_message_complete(self) -> None:
        """Note that the answer is whole, unless it was an interim one."""
        if self._headers_done:
            self._complete = True
            self._keep = self._parser.should_keep_alive()  # only now: llhttp forgets it with the next byte
