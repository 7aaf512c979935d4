"""TLS over a plain connection by two memory buffers, so that sessions are resumed and no read allocates."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from hookline.dispatcher.transport.connection import VIEW, Connection
from hookline.dispatcher.transport.phases import Keeper, Late
from hookline.kernel.recent import Recent
from hookline.webhooks.certificates import Identity

_READ: Final = 16 * 1024
"""As much as one record holds."""
_LOOKS: Final = 4
"""A server of TLS 1.3 sends its tickets when it likes, most with the handshake's end or the first answer; some send none.

CPython before 3.12.8 leaks a session at each look, 5 to 20 KiB (gh-116810), so nobody looks without hope, and not for ever.
"""
_LEAKS: Final = sys.version_info < (3, 12, 8) or (3, 13) <= sys.version_info < (3, 13, 1)
_LOOKS_FREE: Final = 4_000
_LOOKS_EVERY_S: Final = 60.0
_LOOKS_OF_ONE: Final = 8
_LOOKS_OF_ONE_EVERY_S: Final = 600.0
"""For one origin: one that gives tickets and never resumes would else spend what all have."""
_FULL_OF_HOPE: Final = 2
_HOPE_AGAIN: Final = 64
MOST_SESSIONS: Final = 4_000
"""Of those used lately, half of them at least: some 20 KiB each, with the server's certificates; a lost one costs a whole handshake."""
MOST_IDENTITIES: Final = 64
"""A context has the authorities of the world in it: 0.8 MiB each, and some 30 ms to make."""

READY_S: Final = 10.0
"""For a context, with the wait for those that are asked for before it: some 300."""


def tls_context() -> ssl.SSLContext:
    """Return a context that verifies names and certificates, TLS 1.2 and up."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def presenting(context: ssl.SSLContext, identity: Identity) -> ssl.SSLContext:
    """Return the context, which shows the identity from now on; raise `CertificateError` when OpenSSL does not take it."""
    identity.load_into(context)
    return context


class Allowance:
    """So many for nothing, never more than that at once, and one more as time goes by."""

    __slots__ = ("_every_s", "_most", "_since", "left")

    def __init__(self, free: int, most: int, every_s: float) -> None:
        self.left = free
        self._most, self._every_s = most, every_s
        self._since = time.monotonic()

    def some(self) -> bool:
        """Tell whether one may be taken now."""
        more = int((time.monotonic() - self._since) / self._every_s)
        self._since += more * self._every_s
        self.left = min(self._most, self.left + more)
        return self.left > 0


class Looks:
    """How often a process may ask for a session where that leaks: so many times, and once a minute after that; None: always.

    Of that an origin has 8, and one more every ten minutes, whatever certificates it is shown.
    """

    def __init__(self, free: int | None) -> None:
        self.all = None if free is None else Allowance(free, _LOOKS_FREE, _LOOKS_EVERY_S)
        self._of: Recent[object, Allowance] = Recent(MOST_SESSIONS)

    def take(self, origin: object) -> bool:
        """Tell whether to look now."""
        if self.all is None:
            return True
        own = self._of.get(origin)
        if own is None:
            own = Allowance(_LOOKS_OF_ONE, _LOOKS_OF_ONE, _LOOKS_OF_ONE_EVERY_S)
            self._of.put(origin, own)
        if not (own.some() and self.all.some()):
            return False
        own.left -= 1
        self.all.left -= 1
        return True


LOOKS: Final = Looks(_LOOKS_FREE if _LEAKS else None)


class TlsSessions:
    """The last session of each origin: presenting it saves the server's certificate and a signature per connect."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self._sessions: Recent[object, ssl.SSLSession] = Recent(MOST_SESSIONS)
        self._without: Recent[object, int] = Recent(MOST_SESSIONS)

    def of(self, origin: object) -> ssl.SSLSession | None:
        """Return the session to resume, None for a full handshake."""
        return self._sessions.get(origin)

    def keep(self, origin: object, session: ssl.SSLSession | None) -> bool:
        """Remember a session that can be resumed; return whether this one can."""
        if session is None or not session.has_ticket:
            return False
        self._sessions.put(origin, session)
        self._without.forget(origin)
        return True

    def hopeful(self, origin: object) -> bool:
        """Tell whether to look for a session: not always where the last connections brought none."""
        count = self._without.get(origin) or 0
        return count < _FULL_OF_HOPE or count % _HOPE_AGAIN == 0

    def in_vain(self, origin: object) -> None:
        """Note a connection that brought none."""
        self._without.put(origin, (self._without.get(origin) or 0) + 1)

    def forget(self, origin: object) -> None:
        """Drop a session, so that the next connect checks the certificate anew."""
        self._sessions.forget(origin)


class Identities:
    """A context, and its sessions, for each client certificate: nothing that one has proved is ever used for another.

    The last `MOST_IDENTITIES` used are kept, others as long as a connection of theirs is open. On the event loop's thread.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext]) -> None:
        self._make = make
        self._without = TlsSessions(make())
        self._kept: OrderedDict[Identity, TlsSessions] = OrderedDict()
        self._turn = asyncio.Lock()

    async def of(self, identity: Identity | None, within_s: float = READY_S) -> TlsSessions:
        """Return what connections are made with; raise `CertificateError`, or `Late` when it could not be made in time.

        Contexts are made in a thread, one at a time, for as long as somebody waits; what is made too late is there for the next one.
        """
        if identity is None:
            return self._without
        found = self._kept.get(identity)
        if found is None:
            try:
                async with asyncio.timeout(within_s):
                    found = await self._made(identity)
            except TimeoutError:
                raise Late(Keeper.READY, within_s) from None
        if identity in self._kept:
            self._kept.move_to_end(identity)
        return found

    async def _made(self, identity: Identity) -> TlsSessions:
        await self._turn.acquire()
        found = self._kept.get(identity)
        if found is not None:  # whoever had the turn before has made it
            self._turn.release()
            return found
        try:
            making = asyncio.get_running_loop().run_in_executor(None, lambda: TlsSessions(presenting(self._make(), identity)))
        except BaseException:  # no thread to be had: nobody else would give the turn back
            self._turn.release()
            raise
        making.add_done_callback(lambda done: self._keep(identity, done))  # it has the turn until then, whoever gives up
        return await asyncio.shield(making)

    def _keep(self, identity: Identity, made: asyncio.Future[TlsSessions]) -> None:
        self._turn.release()
        if made.cancelled() or made.exception() is not None:
            return
        self._kept[identity] = made.result()
        while len(self._kept) > MOST_IDENTITIES:
            self._kept.popitem(last=False)


class TlsConnection(Connection):
    """A connection whose bytes pass through TLS; `ready(None)` or `ready(error)` ends the handshake."""

    __slots__ = ("_found", "_handshaken", "_incoming", "_looks", "_outgoing", "_ready", "_sessions", "_tls")

    def __init__(self, origin: object, host: str, sessions: TlsSessions, ready: Callable[[Exception | None], None]) -> None:
        super().__init__(origin)
        self._sessions = sessions
        self._ready = ready
        self._handshaken = False
        self._looks = 0
        self._found = True
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = sessions.context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=sessions.of(origin))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        super().connection_made(transport)
        self._shake()

    def _write(self, data: bytes) -> None:
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._break(error)
        else:
            self._send()

    def _send(self) -> None:
        if self._outgoing.pending:
            super()._write(self._outgoing.read())

    def buffer_updated(self, nbytes: int) -> None:
        """Decrypt what came."""
        self._incoming.write(VIEW[:nbytes])
        if not self._handshaken:
            self._shake()
            if not self._handshaken:
                return
        self._decrypt()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._send()  # the alert tells the server why
            self._sessions.forget(self.origin)
            self._fail(error)
        else:
            self._handshaken = True
            self._found = self._tls.session_reused is True  # what is kept still works
            if not self._found and self._sessions.hopeful(self.origin):
                self._looks = _LOOKS
            self._send()
            self._ready(None)

    def _decrypt(self) -> None:
        try:
            while data := self._tls.read(_READ):
                self._look()
                self._received(data)
                if self.closed:
                    return
                if not self._incoming.pending and not self._tls.pending():
                    self._rest()  # what there was to read: to be told so by an error costs as much as to decrypt an answer
                    return
            self._ended(None)  # the server said good-bye
            self.close()
        except ssl.SSLWantReadError:
            self._rest()
        except ssl.SSLError as error:
            self._broken_off(error)

    def _rest(self) -> None:
        """Send what TLS itself has to say; a session may have come too."""
        self._send()
        if self.idle:
            self._look()

    def _broken_off(self, error: ssl.SSLError) -> None:
        """Keep the answer whose head has come: its status stands, whatever ends the body, as in plain HTTP; else fail."""
        if self.answering and not self.idle:
            self._answer(reusable=False)
        else:
            self._break(error)

    def _look(self) -> None:
        """Keep the session once it can be resumed."""
        if self._looks and LOOKS.take(self.origin):
            self._found = self._sessions.keep(self.origin, self._tls.session)
            self._looks = 0 if self._found else self._looks - 1

    def _ended(self, error: Exception | None) -> None:
        if not self._handshaken:
            self._fail(error or ConnectionResetError("the connection was closed within the TLS handshake"))
        if not self._found:
            self._found = True
            self._sessions.in_vain(self.origin)
        super()._ended(error)

    def _fail(self, error: Exception) -> None:
        ready, self._ready = self._ready, _nobody
        self.close()
        ready(error)


def _nobody(_error: Exception | None) -> None:
    """Take nothing: the handshake has ended already."""
