"""Hookline's own sender: HTTP/1.1 over pooled kept-alive connections, callbacks from end to end.

No task, future or timer belongs to a request: connects have a task each, deadlines one sweep for all. A request is
written to a connection once and never again elsewhere: when a kept-alive connection breaks after the first byte was
written, the server may have read it, so the attempt has failed and the schedule decides.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from hookline.dispatcher.transport.connecting import connect
from hookline.dispatcher.transport.connection import Connection
from hookline.dispatcher.transport.contract import MAX_DETAIL, Failure, Request, Result
from hookline.dispatcher.transport.exchange import Exchange, Pool, reason
from hookline.dispatcher.transport.origins import MOST_URLS, Resolver, Target, allowed_target
from hookline.dispatcher.transport.phases import CONNECT_S, Keeper, Late, Phase, Steps
from hookline.dispatcher.transport.proxy import Proxy
from hookline.dispatcher.transport.tls import Identities, TlsSessions, tls_context
from hookline.kernel.recent import Recent
from hookline.schemas.records import ErrorKind
from hookline.webhooks.certificates import Identity
from hookline.webhooks.urls import UrlPolicy

_SWEEP_S: Final = 0.05
_TIDY_S: Final = 1.0  # it looks at every origin: 5 ms at 20,000 of them
_IDLE_S: Final = 30.0
_PEEK_AFTER_S: Final = 0.02
# Lanes and the budget bound the calls; a limit per origin would let one store's calls to a shared host keep another's waiting.
MOST_CONNECTIONS: Final = 20_000
_OTHER_FILES: Final = 1_000
"""For Kafka's connections, look-ups, metrics, and the connects that race each other."""
_NO_FILE: Final = frozenset({errno.EMFILE, errno.ENFILE})
_CLOSED: Final = "the transport is closed"


def connections_within(files: int) -> int:
    """Return how many connections a process may hold that may open so many files: all but 1,000 of them, half at least, 20,000 at most."""
    return min(MOST_CONNECTIONS, max(1, files // 2, files - _OTHER_FILES))


class NativeTransport:
    """The `Transport` of this module; all calls on the event loop's thread.

    `connections`: how many may be open at once. `proxy`: what all of them lead through, None: nothing.
    """

    def __init__(
        self,
        policy: UrlPolicy,
        tls: Callable[[], ssl.SSLContext] = tls_context,
        *,
        connections: int = MOST_CONNECTIONS,
        proxy: Proxy | None = None,
    ) -> None:
        self._policy = policy
        self._most = connections
        self._proxy = proxy
        self._resolver = Resolver(policy)
        self._identities = Identities(tls)
        self._pools: dict[tuple[bool, str, int, Identity | None], Pool] = {}
        self._rested: OrderedDict[Pool, None] = OrderedDict()
        self._targets: Recent[str, Target] = Recent(MOST_URLS)
        self._due: dict[float, OrderedDict[Exchange, None]] = {}
        self._connects: set[asyncio.Task[None]] = set()
        self._outbox: list[tuple[Exchange, Connection]] = []
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
        self._rested.clear()
        self._resolver.close()
        await asyncio.sleep(0)  # let the loop close the sockets

    def send(self, request: Request, on_done: Callable[[Result], None]) -> None:
        """Send on an idle connection, or on a new one; never raise."""
        if self._loop is None:
            on_done(Failure(ErrorKind.INTERNAL, _CLOSED, 0.0))
            return
        try:  # all that may be wrong with a request is found before it costs a connection
            target = self._target(request.url)
            pool = self._pool(target, request.identity)
            exchange = Exchange(self, request, target, pool, on_done)
        except Exception as error:  # noqa: BLE001  # the contract: whatever happens, there is a result
            kind, detail = reason(error)
            on_done(Failure(kind, detail[:MAX_DETAIL], 0.0))
            return
        due = self._due.get(request.timeout_s)
        if due is None:
            due = self._due[request.timeout_s] = OrderedDict()
        due[exchange] = None
        connection = self._idle(pool, exchange.started)
        if connection is not None:
            self._write(exchange, connection)
            return
        pool.waiting[exchange] = None
        self._connect_more(target, pool)
        if pool.short > 0:
            pool.keep(exchange)

    # ---- what exchanges call ----

    def release(self, exchange: Exchange, connection: Connection, *, reusable: bool) -> None:
        """Take a connection back: on to the next request of its origin, or to the idle ones."""
        exchange.connection = None
        if reusable:
            self._hand_on(exchange.pool, connection)
        else:
            self._gone(exchange.target, exchange.pool)

    def finish(self, exchange: Exchange, result: Result) -> None:
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
            found = allowed_target(url, self._policy)
            self._targets.put(url, found)  # so only what may be called is kept
        return found

    def _pool(self, target: Target, identity: Identity | None) -> Pool:
        key = (target.tls, target.host, target.port, identity)
        found = self._pools.get(key)
        if found is None:
            found = self._pools[key] = Pool(identity)
        return found

    def _idle(self, pool: Pool, now: float) -> Connection | None:
        """Return an idle connection that the server has not closed."""
        while pool.idle:
            connection = pool.idle.pop()
            if not connection.closed and (now - connection.idle_since < _PEEK_AFTER_S or not connection.stale):
                return connection
            connection.close()
            self._lost(pool)
        return None

    def _write(self, exchange: Exchange, connection: Connection) -> None:
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

    def _request(self, exchange: Exchange, connection: Connection) -> None:
        """Write a request, or have it wait for another connection when the server has closed this one: nothing was written."""
        pool = exchange.pool
        if connection.used and (connection.closed or connection.stale):
            connection.close()
            exchange.connection = None
            pool.waiting[exchange] = None
            pool.waiting.move_to_end(exchange, last=False)
            self._gone(exchange.target, pool)
            return
        connection.request(exchange.parts, exchange)

    def _connect_more(self, target: Target, pool: Pool) -> None:
        """Open connections for the requests that wait, within the limits."""
        while pool.short > 0 and self._loop is not None and (self._open < self._most or self._evict()):
            pool.connecting += 1
            pool.open += 1
            self._open += 1
            task = self._loop.create_task(self._connect(target, pool))
            self._connects.add(task)
            task.add_done_callback(self._connects.discard)
        if pool.kept:
            pool.go_on()

    def _evict(self) -> bool:
        """Close an idle connection to make room for another origin's; return False when there is none.

        An origin is passed over once for each time that it came to rest, so that this costs the same however many there are.
        """
        while self._rested:
            pool = next(iter(self._rested))
            if pool.idle:
                pool.idle.pop(0).close()
                self._lost(pool)
                return True
            del self._rested[pool]
        return False

    async def _connect(self, target: Target, pool: Pool) -> None:
        """Open one connection for whoever is first in line; what prevents it is that one's failure."""
        steps = pool.steps = Steps()
        try:
            connection = await self._connected(target, pool.identity, steps)
        except Exception as error:  # noqa: BLE001  # the contract: whatever happens, there is a result
            pool.connecting -= 1
            self._failed(target, pool, error)
        except asyncio.CancelledError:
            pool.connecting -= 1
            self._lost(pool)
            raise
        else:
            pool.connecting -= 1
            self._hand_on(pool, connection, steps)

    async def _connected(self, target: Target, identity: Identity | None, steps: Steps) -> Connection:
        """Make ready what is ours, within a bound of its own: the receiver's seconds begin when that is there."""
        if identity is not None:
            steps.phase = Keeper.READY
        sessions = await self._identities.of(identity)
        if identity is not None:
            steps.phase, steps.ready_at = Phase.LOOK_UP, time.monotonic()
        try:
            async with asyncio.timeout(CONNECT_S):
                return await self._with_a_file(target, sessions, steps)
        except TimeoutError:
            raise Late(steps.phase, CONNECT_S) from None

    async def _with_a_file(self, target: Target, sessions: TlsSessions, steps: Steps) -> Connection:
        """Connect; where the machine has no file left for that, an idle connection gives its own, once."""
        try:
            return await connect(target, self._resolver, sessions, steps, self._proxy)
        except OSError as error:
            if error.errno not in _NO_FILE or not self._evict():
                raise
        await asyncio.sleep(0)  # in which the loop closes its socket
        return await connect(target, self._resolver, sessions, steps, self._proxy)

    def _hand_on(self, pool: Pool, connection: Connection, steps: Steps | None = None) -> None:
        """Give a connection to whoever is first in line, else to the idle ones."""
        exchange = pool.take()
        if exchange is not None:
            if steps is not None:
                exchange.counts_on(steps)
            self._write(exchange, connection)
            return
        if not pool.idle:
            self._rested[pool] = None
        pool.idle.append(connection)

    def _failed(self, target: Target, pool: Pool, error: Exception) -> None:
        exchange = pool.take()
        self._gone(target, pool)
        if exchange is not None:
            self.finish(exchange, exchange.failed(error))

    def _gone(self, target: Target, pool: Pool) -> None:
        """Count a connection off; whoever waits gets a new one."""
        self._lost(pool)
        if pool.waiting:
            self._connect_more(target, pool)

    def _lost(self, pool: Pool) -> None:
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

    def _abandon(self, exchange: Exchange, result: Result) -> None:
        connection, exchange.connection = exchange.connection, None
        if connection is not None:
            connection.abandon()
            self._gone(exchange.target, exchange.pool)
        else:
            exchange.pool.leave(exchange)
        self.finish(exchange, result)

    def _tidy(self, now: float) -> None:
        """Close what has been idle for long, connect for whom the limits kept waiting, forget origins without use."""
        for key, pool in list(self._pools.items()):
            if pool.waiting:
                self._connect_more(next(iter(pool.waiting)).target, pool)
            while pool.idle and (pool.idle[0].closed or now - pool.idle[0].idle_since > _IDLE_S):
                pool.idle.pop(0).close()
                self._lost(pool)
            if not pool.open and not pool.waiting:
                del self._pools[key]
                self._rested.pop(pool, None)
