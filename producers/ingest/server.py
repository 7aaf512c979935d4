"""The HTTP server of ingest: listens, watches over its connections, drains them.

An own one, since a general server costs more than all that ingest does with a request (docs/benchmarks.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from hookline.producers.ingest.app import IngestApp, Respond
from hookline.producers.ingest.body import Bodies
from hookline.producers.ingest.config import IngestConfig
from hookline.producers.ingest.connection import Connection
from hookline.producers.ingest.errors import Problem
from hookline.producers.ingest.messages import Request

_BACKLOG: Final = 1_024
_DRAIN_POLL_S: Final = 0.02
_SWEEP_S: Final = 1.0
_SWEEPS: Final = 4


class Server:
    """Serves an app on one port; used from the event loop."""

    def __init__(self, app: IngestApp, bodies: Bodies, config: IngestConfig) -> None:
        self._app = app
        self._bodies = bodies
        self._config = config
        self.most, self.body_s, self.idle_s = config.max_body_bytes, config.body_s, config.idle_s
        self.draining = False
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[None]] = set()
        self._second = 0
        self._date = b""

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before `listen`."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None and self._server.sockets else 0

    async def listen(self) -> None:
        """Listen where the settings say; raise `OSError`."""
        config = self._config
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), config.host, config.port, backlog=_BACKLOG, reuse_port=config.share_port or None
        )
        self._sweeping = asyncio.create_task(self._sweep())

    async def drain(self, timeout_s: float) -> int:
        """Listen no more and let requests under way end, each as the last of its connection; return how many are left after `timeout_s`."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        deadline = time.monotonic() + timeout_s
        while self._under_way() and time.monotonic() < deadline:  # noqa: ASYNC110  # simpler than an event per request
            await asyncio.sleep(_DRAIN_POLL_S)
        return self._under_way()

    async def close(self, timeout_s: float) -> None:
        """Close every connection, what was written first; those that do not read it in time are cut."""
        for connection in list(self.connections):
            connection.close()
        deadline = time.monotonic() + timeout_s
        while self.connections and time.monotonic() < deadline:  # noqa: ASYNC110  # simpler than an event per connection
            await asyncio.sleep(_DRAIN_POLL_S)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()

    # ---- what connections call ----

    def admit(self, request: Request) -> None:
        """Look at a head."""
        self._app.admit(request)

    def admit_late(self, request: Request, then: Callable[[], None]) -> None:
        """Look at it again once new API keys are known."""
        task = asyncio.create_task(self._app.admit_late(request))
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        task.add_done_callback(lambda _: then())

    def answer(self, request: Request, respond: Respond) -> None:
        """Answer a whole request."""
        self._app.answer(request, respond)

    def too_large(self) -> Problem:
        """Return what is told of a body over the limit."""
        return self._bodies.too_large().problem

    def opened(self, connection: Connection) -> None:
        """Take note of a connection."""
        self.connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)

    def date(self) -> bytes:
        """Return the Date header of this second."""
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._date

    def _under_way(self) -> int:
        return sum(connection.under_way for connection in self.connections)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_SWEEP_S, self.body_s / _SWEEPS, self.idle_s / _SWEEPS))
            for connection in list(self.connections):
                connection.sweep(loop.time())
