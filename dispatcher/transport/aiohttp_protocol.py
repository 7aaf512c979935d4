"""What aiohttp's client protocol lacks: a broken body leaves its status, and bytes that nobody asked for end the connection."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

_HEAD_END: Final = b"\r\n\r\n"
_PIECES: Final = 4
_FIRST_FINAL: Final = 200
_UPGRADE: Final = 101


class Handler(ResponseHandler):
    """aiohttp parses a piece of bytes as a whole: where its body part is malformed, the head before it is lost too.

    Here the head goes in alone first. And once an answer is complete, whatever follows before the next request (a
    second answer would be taken for that one's) closes the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._final = False

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401  # aiohttp's own parameters, handed on
        """Expect the answer to a request that is about to be written."""
        self._final = False
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:  # noqa: ANN401  # aiohttp's pair of message and payload
        """Note whether the answer is the final one."""
        code = data[0].code
        self._final = self._final or code >= _FIRST_FINAL or code == _UPGRADE
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Parse what came, the head apart from what follows it."""
        if data and self._answered():  # it hands on no bytes at all to go on parsing
            self.force_close()
            if self.transport is not None:
                self.transport.close()
            return
        for _ in range(_PIECES):
            at = data.find(_HEAD_END) + len(_HEAD_END)
            if not len(_HEAD_END) <= at < len(data) or self._final:
                break
            super().data_received(data[:at])
            data = data[at:]
        super().data_received(data)

    def set_exception(self, exc: Any, exc_cause: Any = None) -> None:  # noqa: ANN401  # aiohttp's own parameters
        """Tell the reader of the body too, who would wait for the timeout otherwise."""
        if self._payload is not None and not self._payload.is_eof() and self._payload.exception() is None:
            self._payload.set_exception(aiohttp.ClientPayloadError("the body is malformed"))
        super().set_exception(exc, *(() if exc_cause is None else (exc_cause,)))

    def _answered(self) -> bool:
        return self._final and self._payload is not None and self._payload.is_eof()


class Connector(aiohttp.TCPConnector):
    """A connector whose connections are `Handler`s."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # aiohttp's own options, handed on
        super().__init__(**options)
        self._factory = functools.partial(Handler, loop=self._loop)  # type: ignore[assignment]  # a subclass in its place
