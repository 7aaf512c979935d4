"""Hookline's own sender: HTTP/1.1 over pooled kept-alive connections, callbacks from end to end.

No task, future or timer belongs to a request: connects have a task each, deadlines one sweep for all. A request is
written to a connection once and never again elsewhere: when a kept-alive connection breaks after the first byte was
written, the server may have read it, so the attempt has failed and the schedule decides.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from hookline.dispatcher.transport.connecting import connect
from hookline.dispatcher.transport.connection import Connection
from hookline.dispatcher.transport.contract import MAX_BODY, MAX_DETAIL, Failure, Reply, Request, Result
from hookline.dispatcher.transport.origins import Blocked, Resolver, Target, target_of
from hookline.dispatcher.transport.phases import CONNECT_S, Phase, Steps
from hookline.dispatcher.transport.tls import Identities, tls_context
from hookline.kernel.errors import CertificateError
from hookline.schemas.records import ErrorKind
from hookline.webhooks.certificates import Identity
from hookline.webhooks.urls import UrlPolicy

_SWEEP_S: Final = 0.05
_TIDY_S: Final = 1.0  # it looks at every origin: 5 ms at 20,000 of them
_IDLE_S: Final = 30.0
_PEEK_AFTER_S: Final = 0.02
# Lanes and the budget bound the calls; a limit per origin would let one store's calls to a shared host keep another's waiting.
_CONNECTIONS: Final = 20_000
_MOST_TARGETS: Final = 200_000
# Our own machine's limits: no fault of the receiver.
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
_CLOSED: Final = "the transport is closed"


class _Exchange:
    """One request on its way; it is its connection's listener."""

    __slots__ = ("_transport", "connection", "on_done", "pool", "request", "started", "target")

    def __init__(self, transport: NativeTransport, request: Request, target: Target, on_done: Callable[[Result], None]) -> None:
        self._transport = transport
        self.request = request
        self.target = target
        self.on_done: Callable[[Result], None] | None = on_done
        self.started = time.monotonic()
        self.connection: Connection | None = None
        self.pool: _Pool | None = None

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        """Make the reply, then give the connection back, which may carry the next request at once."""
        reply = self._reply(connection)
        self._transport.release(self, connection, reusable=reusable)
        self._transport.finish(self, reply)

    def broken(self, connection: Connection, error: Exception) -> None:
        """Make the failure."""
        self._transport.release(self, connection, reusable=False)
        self._transport.finish(self, self._failure(error))

    def expired(self) -> Result:
        """Return what is known when the time is up: a status that was read counts, else there was no answer."""
        connection = self.connection
        if connection is None:
            return self._late(self.pool.steps.phase if self.pool is not None else Phase.CONNECT)
        if not connection.serves(self):  # not written yet: what the connection holds is the answer to the request before
            return self._late(Phase.CONNECT)
        if connection.answering:
            return self._reply(connection)
        return self._late(Phase.HEAD if connection.begun else Phase.ANSWER)

    def failed(self, error: BaseException) -> Result:
        """Return the failure of a request that never got a connection."""
        return self._failure(error)

    def _late(self, phase: Phase) -> Failure:
        return Failure(ErrorKind.TIMEOUT, phase.late(self.request.timeout_s), self._elapsed())

    def _reply(self, connection: Connection) -> Reply:
        body = b"".join(connection.body)[:MAX_BODY]
        return Reply(connection.status, connection.head(), body, self._elapsed(), connection.retry_after)

    def _failure(self, error: BaseException) -> Failure:
        kind, detail = reason(error)
        return Failure(kind, detail[:MAX_DETAIL], self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self.started


class _Pool:
    """The connections to one origin under one identity: idle ones, the last used first, and the requests that wait for one.

    `steps` are those of the connect that was begun last.
    """

    __slots__ = ("connecting", "identity", "idle", "open", "steps", "waiting")

    def __init__(self, identity: Identity | None) -> None:
        self.identity = identity
        self.idle: list[Connection] = []
        self.waiting: deque[_Exchange] = deque()
        self.open = 0
        self.connecting = 0
        self.steps = Steps()


class NativeTransport:
    """The `Transport` of this module; all calls on the event loop's thread."""

    def __init__(self, policy: UrlPolicy, tls: Callable[[], ssl.SSLContext] = tls_context) -> None:
        self._resolver = Resolver(policy)
        self._identities = Identities(tls)
        self._pools: dict[tuple[bool, str, int, Identity | None], _Pool] = {}
        self._targets: dict[str, Target] = {}
        self._due: dict[float, OrderedDict[_Exchange, None]] = {}
        self._connects: set[asyncio.Task[None]] = set()
        self._outbox: list[tuple[_Exchange, Connection]] = []
        self._open = 0
        self._tidied = 0.0
        self._sweeping: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Make ready."""
        self._loop = asyncio.get_running_loop()
        self._sweeping = self._loop.call_later(_SWEEP_S, self._sweep)

    async def stop(self) -> None:
        """Close every connection; requests under way end as failures."""
        self._loop = None
        if self._sweeping is not None:
            self._sweeping.cancel()
        for exchanges in self._due.values():
            for exchange in list(exchanges):
                self._abandon(exchange, Failure(ErrorKind.INTERNAL, _CLOSED, 0.0))
        for task in list(self._connects):
            task.cancel()
        await asyncio.gather(*self._connects, return_exceptions=True)
        for pool in self._pools.values():
            for connection in pool.idle:
                connection.close()
        self._pools.clear()
        self._resolver.close()
        await asyncio.sleep(0)  # let the loop close the sockets

    def send(self, request: Request, on_done: Callable[[Result], None]) -> None:
        """Send on an idle connection, or on a new one; never raise."""
        try:
            target = self._target(request.url)
        except ValueError as error:
            on_done(Failure(ErrorKind.INTERNAL, f"Hookline could not send: {error}"[:MAX_DETAIL], 0.0))
            return
        if self._loop is None:
            on_done(Failure(ErrorKind.INTERNAL, _CLOSED, 0.0))
            return
        exchange = _Exchange(self, request, target, on_done)
        self._due.setdefault(request.timeout_s, OrderedDict())[exchange] = None
        key = (target.tls, target.host, target.port, request.identity)
        pool = exchange.pool = self._pools.get(key) or self._pools.setdefault(key, _Pool(request.identity))
        connection = self._idle(pool)
        if connection is not None:
            self._write(exchange, connection)
        else:
            pool.waiting.append(exchange)
            self._connect_more(target, pool)

    # ---- what exchanges call ----

    def release(self, exchange: _Exchange, connection: Connection, *, reusable: bool) -> None:
        """Take a connection back: on to the next request of its origin, or to the idle ones."""
        pool = exchange.pool
        exchange.connection = None
        if pool is None:
            return
        if not reusable:
            self._gone(exchange.target, pool)
            return
        while pool.waiting:
            following = pool.waiting.popleft()
            if following.on_done is not None:
                self._write(following, connection)
                return
        pool.idle.append(connection)

    def finish(self, exchange: _Exchange, result: Result) -> None:
        """Call back, once."""
        on_done, exchange.on_done = exchange.on_done, None
        bucket = self._due.get(exchange.request.timeout_s)
        if bucket is not None:
            bucket.pop(exchange, None)
        if on_done is not None:
            on_done(result)

    # ---- connections ----

    def _target(self, url: str) -> Target:
        found = self._targets.get(url)
        if found is None:
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.clear()
            found = self._targets[url] = target_of(url)
        return found

    def _idle(self, pool: _Pool) -> Connection | None:
        """Return an idle connection that the server has not closed."""
        while pool.idle:
            connection = pool.idle.pop()
            idle_s = time.monotonic() - connection.idle_since
            if not connection.closed and (idle_s < _PEEK_AFTER_S or not connection.stale):
                return connection
            connection.close()
            self._lost(pool)
        return None

    def _write(self, exchange: _Exchange, connection: Connection) -> None:
        """Give a request its connection, and write it at the end of this turn of the loop.

        A receiver that sleeps is woken by each write at some 25 µs; written together, most find it awake.
        """
        exchange.connection = connection
        if not self._outbox and self._loop is not None:
            self._loop.call_soon(self._flush)
        self._outbox.append((exchange, connection))

    def _flush(self) -> None:
        outbox, self._outbox = self._outbox, []
        for exchange, connection in outbox:
            if exchange.connection is not connection or exchange.on_done is None:
                continue  # its time was up
            try:
                self._request(exchange, connection)
            except Exception as error:  # noqa: BLE001  # whatever one request does, the others are written
                self._abandon(exchange, exchange.failed(error))

    def _request(self, exchange: _Exchange, connection: Connection) -> None:
        """Write a request, or have it wait for another connection when the server has closed this one: nothing was written."""
        pool, request = exchange.pool, exchange.request
        if pool is not None and connection.used and (connection.closed or connection.stale):
            connection.close()
            exchange.connection = None
            pool.waiting.appendleft(exchange)
            self._gone(exchange.target, pool)
            return
        connection.request((exchange.target.head, _rest(request), request.body), exchange)

    def _connect_more(self, target: Target, pool: _Pool) -> None:
        """Open connections for the requests that wait, within the limits."""
        wanted = len(pool.waiting) - pool.connecting
        while wanted > 0 and self._loop is not None and (self._open < _CONNECTIONS or self._evict()):
            wanted -= 1
            pool.connecting += 1
            pool.open += 1
            self._open += 1
            task = self._loop.create_task(self._connect(target, pool))
            self._connects.add(task)
            task.add_done_callback(self._connects.discard)

    def _evict(self) -> bool:
        """Close an idle connection of some other origin to make room; return False when there is none."""
        pool = next((pool for pool in self._pools.values() if pool.idle), None)
        if pool is None:
            return False
        pool.idle.pop(0).close()
        self._lost(pool)
        return True

    async def _connect(self, target: Target, pool: _Pool) -> None:
        """Open one connection for whoever is first in line; what prevents it is that one's failure."""
        steps = pool.steps = Steps()
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await connect(target, self._resolver, await self._identities.of(pool.identity), steps)
        except TimeoutError:
            pool.connecting -= 1
            self._failed(target, pool, TimeoutError(steps.phase.late(CONNECT_S)))
        except Exception as error:  # noqa: BLE001  # the contract: whatever happens, there is a result
            pool.connecting -= 1
            self._failed(target, pool, error)
        except asyncio.CancelledError:
            pool.connecting -= 1
            self._lost(pool)
            raise
        else:
            pool.connecting -= 1
            self._ready(pool, connection)

    def _ready(self, pool: _Pool, connection: Connection) -> None:
        while pool.waiting:
            exchange = pool.waiting.popleft()
            if exchange.on_done is not None:
                self._write(exchange, connection)
                return
        pool.idle.append(connection)

    def _failed(self, target: Target, pool: _Pool, error: Exception) -> None:
        while pool.waiting:
            exchange = pool.waiting.popleft()
            if exchange.on_done is not None:
                self._gone(target, pool)
                self.finish(exchange, exchange.failed(error))
                return
        self._lost(pool)

    def _gone(self, target: Target, pool: _Pool) -> None:
        """Count a connection off; whoever waits gets a new one."""
        self._lost(pool)
        if pool.waiting:
            self._connect_more(target, pool)

    def _lost(self, pool: _Pool) -> None:
        pool.open -= 1
        self._open -= 1

    # ---- time ----

    def _sweep(self) -> None:
        """End what is overdue: of each timeout the oldest come first, so only those are looked at."""
        if self._loop is None:
            return
        now = time.monotonic()
        self._sweeping = self._loop.call_later(_SWEEP_S, self._sweep)  # first: a call-back that raises must not end all deadlines
        for timeout_s, exchanges in list(self._due.items()):
            while exchanges:
                oldest = next(iter(exchanges))
                if now - oldest.started < timeout_s:
                    break
                self._abandon(oldest, oldest.expired())
            if not exchanges:
                del self._due[timeout_s]
        if now - self._tidied >= _TIDY_S:
            self._tidied = now
            self._tidy(now)

    def _abandon(self, exchange: _Exchange, result: Result) -> None:
        connection, exchange.connection = exchange.connection, None
        if connection is not None:
            connection.abandon()
            if exchange.pool is not None:
                self._gone(exchange.target, exchange.pool)
        self.finish(exchange, result)

    def _tidy(self, now: float) -> None:
        """Close what has been idle for long, connect for whom the limits kept waiting, forget origins without use."""
        for key, pool in list(self._pools.items()):
            while pool.waiting and pool.waiting[0].on_done is None:
                pool.waiting.popleft()
            if pool.waiting:
                self._connect_more(pool.waiting[0].target, pool)
            while pool.idle and (pool.idle[0].closed or now - pool.idle[0].idle_since > _IDLE_S):
                pool.idle.pop(0).close()
                self._lost(pool)
            if not pool.open and not pool.waiting:
                del self._pools[key]


def _rest(request: Request) -> bytes:
    """Return the head's end, from the length on."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in request.headers])
    return f"{len(request.body)}\r\n{lines}\r\n".encode("latin-1")


def reason(error: BaseException) -> tuple[ErrorKind, str]:  # noqa: C901, PLR0911  # one line per kind
    """Say in plain words why there is no answer; the order matters, since the errors inherit from each other."""
    match error:
        case Blocked():
            return ErrorKind.BLOCKED, str(error)
        case CertificateError():
            return ErrorKind.TLS, f"TLS: {error.message}"
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
        case OSError() if error.errno in _OURS:
            return ErrorKind.INTERNAL, f"Hookline could not send: {error.strerror}"
        case OSError():
            return ErrorKind.CONNECT, f"no connection: {error.strerror or error}"
        case ValueError():
            return ErrorKind.PROTOCOL, str(error)
        case _:
            return ErrorKind.INTERNAL, f"Hookline could not send: {type(error).__name__}"
