"""What aiohttp's client protocol lacks: a broken body leaves its status, and bytes that nobody asked for end the connection."""

from __future__ import annotations

import asyncio
import functools
import ssl
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from hookline.dispatcher.transport.phases import NO_START, START, Phase, Steps

_HEAD_END: Final = b"\r\n\r\n"
_HEADS: Final = 4
_FIRST_FINAL: Final = 200
_UPGRADE: Final = 101
STEPS: Final[ContextVar[Steps]] = ContextVar("steps")
"""Of the call that the running task makes."""


class Handler(ResponseHandler):
    """aiohttp parses a piece of bytes as a whole: where its body part is malformed, the head before it is lost too.

    Here the head is then parsed again, alone. What begins otherwise than HTTP/1 is refused: llhttp takes RTSP and HTTP/2.0 too.
    And once an answer is complete, whatever follows before the next request (a second answer would be taken for that one's)
    closes the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._steps = STEPS.get()
        self._steps.phase = Phase.HANDSHAKE  # made once the socket is connected
        self._begun = False
        self._final = False
        self._piece = b""
        self._params: dict[str, Any] = {}

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401  # aiohttp's own parameters, handed on
        """Expect the answer to a request that is about to be written."""
        self._steps = STEPS.get()
        self._steps.phase = Phase.ANSWER
        self._begun = False
        self._final = False
        self._params = params
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:  # noqa: ANN401  # aiohttp's pair of message and payload
        """Note whether the answer is the final one."""
        code = data[0].code
        if code >= _FIRST_FINAL or code == _UPGRADE:
            self._final = True
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless nobody asked for it."""
        # aiohttp hands on no bytes at all to go on parsing.
        if data and self._final and self._payload is not None and self._payload.is_eof():
            self.force_close()
            if self.transport is not None:
                self.transport.close()
            return
        if data and not self._begun:
            self._begun = True
            if len(data) >= len(START) and not data.startswith(START):
                self._refuse()
                return
        self._piece = data
        self._steps.phase = Phase.HEAD
        super().data_received(data)

    def set_exception(self, exc: Any, exc_cause: Any = None) -> None:  # noqa: ANN401  # aiohttp's own parameters
        """Save the head of a malformed answer, and tell the reader of its body, who would wait for the timeout otherwise.

        That a connection could not be written to is no reason but what a reason leads to: `connection_lost` knows it, or will.
        """
        if isinstance(exc.__cause__, aiohttp.ClientConnectionResetError) and (self.exception() is not None or self._closing()):
            return
        piece, self._piece = self._piece, b""
        if isinstance(exc, HttpProcessingError) and not self._final and piece:
            self._parse_heads(piece)
        if self._payload is not None and not self._payload.is_eof() and self._payload.exception() is None:
            self._payload.set_exception(aiohttp.ClientPayloadError("the body is malformed"))
        super().set_exception(exc, *(() if exc_cause is None else (exc_cause,)))

    def _refuse(self) -> None:
        """Close, and tell whoever waits for an answer."""
        if self.transport is not None:
            self.transport.close()
        super().set_exception(HttpProcessingError(message=NO_START))

    def _closing(self) -> bool:
        """Tell whether the connection is about to be lost."""
        return self.transport is not None and self.transport.is_closing()

    def _parse_heads(self, piece: bytes) -> None:
        """Parse again up to the end of the final answer's head, if it is in this piece; no error comes out of that."""
        super().set_response_params(**self._params)
        for _ in range(_HEADS):
            at = piece.find(_HEAD_END)
            if at < 0 or self._final:
                return
            super().data_received(piece[: at + len(_HEAD_END)])
            piece = piece[at + len(_HEAD_END) :]


class _Giving(ssl.SSLObject):
    """Ends what was read instead of losing it: loops read until there is no more, and an error before that costs all that came with it."""

    _gave = False

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002, ANN401  # ssl's own names and types
        """Return what there is; after some of it, a broken record is an end, and the answer's head decides what that means."""
        try:
            found = super().read(len, buffer)
        except ssl.SSLWantReadError:
            self._gave = False
            raise
        except ssl.SSLError:
            if not self._gave:
                raise
            return b"" if buffer is None else 0
        self._gave = True
        return found


def giving(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context, whose connections give what they have decrypted before they say that TLS has failed."""
    context.sslobject_class = _Giving
    return context


class Connector(aiohttp.TCPConnector):
    """A connector whose connections are `Handler`s."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # aiohttp's own options, handed on
        super().__init__(**options)
        self._factory = functools.partial(Handler, loop=self._loop)  # type: ignore[assignment]  # a subclass in its place
