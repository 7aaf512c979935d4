"""One call of the native sender, and those that share connections: who waits, for whom, and whose fault it is when that takes too long."""

from __future__ import annotations

import math
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from hookline.dispatcher.transport.connection import Connection
from hookline.dispatcher.transport.contract import MAX_BODY, MAX_DETAIL, Failure, Reply, Request, Result, Unsendable, header_lines
from hookline.dispatcher.transport.origins import OURS, Blocked, Target
from hookline.dispatcher.transport.phases import Keeper, Late, Phase, Steps
from hookline.kernel.errors import CertificateError
from hookline.schemas.records import ErrorKind
from hookline.webhooks.certificates import Identity


class Sender(Protocol):
    """What an exchange tells its transport."""

    def release(self, exchange: Exchange, connection: Connection, *, reusable: bool) -> None:
        """Take a connection back."""

    def finish(self, exchange: Exchange, result: Result) -> None:
        """Call back, once."""


class Exchange:
    """One request on its way, rendered: `parts` are its bytes; it is its connection's listener. Raises `Unsendable` before it is any.

    `asked` is when we began to ask the receiver for anything, infinite while our own limits do not let us; `kept_by` is what kept it
    until then.
    """

    __slots__ = ("_sender", "asked", "connection", "kept_by", "on_done", "parts", "pool", "request", "started", "target")

    def __init__(self, sender: Sender, request: Request, target: Target, pool: Pool, on_done: Callable[[Result], None]) -> None:
        self.parts = (target.head, rest_of_head(request), request.body)
        self._sender = sender
        self.request = request
        self.target = target
        self.pool = pool
        self.on_done: Callable[[Result], None] | None = on_done
        self.started = self.asked = time.monotonic()
        self.kept_by = Keeper.ROOM
        self.connection: Connection | None = None

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        """Make the reply, then give the connection back, which may carry the next request at once."""
        reply = self._reply(connection)
        connection.forget()
        self._sender.release(self, connection, reusable=reusable)
        self._sender.finish(self, reply)

    def broken(self, connection: Connection, error: Exception) -> None:
        """Make the failure."""
        self._sender.release(self, connection, reusable=False)
        self._sender.finish(self, self.failed(error))

    def counts_on(self, steps: Steps) -> None:
        """Note the connect that this call waits for, or got: until what we make for it was ready, it was we who kept the call."""
        if steps.ready_at > self.asked:
            self.asked, self.kept_by = steps.ready_at, Keeper.READY

    def expired(self) -> Result:
        """Return what is known when the time is up: a status that was read counts, else there was no answer."""
        connection, timeout_s = self.connection, self.request.timeout_s
        if connection is not None and connection.serves(self) and connection.answering:
            return self._reply(connection)
        phase = self._phase()
        # With less than half of the time it is not the receiver's fault. Were it never its fault after a wait, no breaker would open then.
        if 2 * (self.asked - self.started) >= timeout_s:
            phase = self.kept_by
        return Failure(phase.kind, phase.late(timeout_s)[:MAX_DETAIL], self._elapsed())

    def failed(self, error: BaseException) -> Result:
        """Return the failure of a request without an answer."""
        kind, detail = reason(error)
        return Failure(kind, detail[:MAX_DETAIL], self._elapsed())

    def _phase(self) -> Phase | Keeper:
        """Return what is waited for, and note what kept the call until then."""
        if self.connection is None:
            self.counts_on(self.pool.steps)
            return self.pool.steps.phase
        if not self.connection.serves(self):  # not written yet: what the connection holds is the answer to the request before
            return Phase.CONNECT
        return Phase.HEAD if self.connection.begun else Phase.ANSWER

    def _reply(self, connection: Connection) -> Reply:
        body = b"".join(connection.body)[:MAX_BODY]
        return Reply(connection.status, connection.head(), body, self._elapsed(), connection.retry_after)

    def _elapsed(self) -> float:
        return time.monotonic() - self.started


class Pool:
    """The connections to one origin under one identity: idle ones, the last used first, and the requests that wait for one, in order.

    Who has ended waits no more. `kept` are those of the waiting for whom no connect is under way, for want of room: the last in line.
    `steps` are those of the connect that was begun last.
    """

    __slots__ = ("connecting", "identity", "idle", "kept", "open", "steps", "waiting")

    def __init__(self, identity: Identity | None) -> None:
        self.identity = identity
        self.idle: list[Connection] = []
        self.waiting: OrderedDict[Exchange, None] = OrderedDict()
        self.kept: OrderedDict[Exchange, None] = OrderedDict()
        self.open = 0
        self.connecting = 0
        self.steps = Steps()

    @property
    def short(self) -> int:
        """How many connects are to be begun for those who wait."""
        return len(self.waiting) - self.connecting

    def take(self) -> Exchange | None:
        """Return who is first in line, and waits no more; None when nobody does."""
        if not self.waiting:
            return None
        exchange, _ = self.waiting.popitem(last=False)
        if self.kept:
            self._goes_on(exchange)
        return exchange

    def leave(self, exchange: Exchange) -> None:
        """Let somebody wait no more."""
        self.waiting.pop(exchange, None)
        self.kept.pop(exchange, None)

    def keep(self, exchange: Exchange) -> None:
        """Note that there is no room for the last in line."""
        exchange.asked = math.inf
        self.kept[exchange] = None

    def go_on(self) -> None:
        """Note that there is room for so many: a connect is under way for all but the last ones."""
        while len(self.kept) > max(0, self.short):
            self._goes_on(next(iter(self.kept)))

    def _goes_on(self, exchange: Exchange) -> None:
        if exchange in self.kept:
            del self.kept[exchange]
            exchange.asked, exchange.kept_by = time.monotonic(), Keeper.ROOM


def rest_of_head(request: Request) -> bytes:
    """Return what follows a target's part of the head, from the length on; raise `Unsendable`."""
    return b"%d\r\n%b\r\n" % (len(request.body), request.lines or header_lines(request.headers))


def reason(error: BaseException) -> tuple[ErrorKind, str]:  # noqa: C901, PLR0911, PLR0912  # one line per kind
    """Say in plain words why there is no answer; the order matters, since the errors inherit from each other."""
    match error:
        case Blocked():
            return ErrorKind.BLOCKED, str(error)
        case CertificateError():
            return ErrorKind.TLS, f"TLS: {error.message}"
        case Late():
            return error.phase.kind, str(error)
        case Unsendable():
            return ErrorKind.INTERNAL, f"Hookline could not send: {error}"
        case TimeoutError():
            return ErrorKind.TIMEOUT, str(error)
        case ssl.SSLError():
            words = getattr(error, "verify_message", "") or error.reason or str(error)
            return ErrorKind.TLS, f"TLS: {words}"
        case socket.gaierror():
            return ErrorKind.DNS, f"the host name was not found: {error.strerror}"
        case ConnectionRefusedError():
            return ErrorKind.CONNECT, "no connection: Connection refused"
        case EOFError() | ConnectionError() | BrokenPipeError():
            return ErrorKind.RESET, f"the receiver closed the connection before it answered: {error}"
        case OSError() if error.errno in OURS:
            return ErrorKind.INTERNAL, f"Hookline could not send: {error.strerror}"
        case OSError():
            return ErrorKind.CONNECT, f"no connection: {error.strerror or error}"
        case ValueError():
            return ErrorKind.PROTOCOL, str(error)
        case _:
            return ErrorKind.INTERNAL, f"Hookline could not send: {type(error).__name__}"
