"""TLS sessions: what one origin has proved opens no other, since a session that is resumed shows no certificate."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from hookline.dispatcher.transport import tls
from hookline.dispatcher.transport.contract import Transport
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.schemas.records import ErrorKind
from tests.dispatcher.guard_conformance import answering, trusting
from tests.dispatcher.hostile import OK, Answer, Caller, Peer, Server
from tests.dispatcher.suite import LOCAL, heard

pytestmark = pytest.mark.unit

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def authority() -> trustme.CA:
    """Give a certificate authority."""
    return trustme.CA()


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def context(request: pytest.FixtureRequest, authority: trustme.CA) -> ssl.SSLContext:
    """Give a server's context, with a certificate for hooks.test and one key for all tickets, of each version."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.test").configure_cert(made)
    made.maximum_version = request.param
    return made


@contextlib.asynccontextmanager
async def started(authority: trustme.CA) -> AsyncIterator[Transport]:
    """Give a started sender that trusts the authority."""
    transport = NativeTransport(LOCAL, lambda: trusting(authority))
    await transport.start()
    try:
        yield transport
    finally:
        await transport.stop()


def noting(resumed: list[bool]) -> Answer:
    """Return an answer to one request a connection that notes whether the connection was resumed."""

    async def answer(peer: Peer) -> None:
        resumed.append(peer.writer.get_extra_info("ssl_object").session_reused)
        await peer.request()
        await peer.send(OK)

    return answer


async def twice(caller: Caller, server: Server) -> None:
    """Call hooks.test at a server on two connections, with time for the tickets."""
    for _ in range(2):
        assert (await caller.reply(server.url(scheme="https", host="hooks.test"))).status == 200
        await heard(0.05)


class TestSessions:
    """Hookline's own sender, which alone resumes sessions."""

    both_loops = True

    @pytest.fixture(autouse=True)
    def looking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Look for sessions as often as it takes, and find both names here."""
        monkeypatch.setattr(tls, "LOOKS", tls.Looks(None))
        answering(monkeypatch).update(dict.fromkeys(("hooks.test", "other.test"), lambda: ["127.0.0.1"]))

    async def test_a_session_opens_only_the_host_that_gave_it(self, authority: trustme.CA, context: ssl.SSLContext) -> None:
        """A server that has one host's certificate, and takes its tickets back, is no other host: its certificate is asked for."""
        resumed: list[bool] = []
        async with started(authority) as transport, Server(noting(resumed)).running(context) as server:
            caller = Caller(transport)
            await twice(caller, server)
            assert resumed == [False, True], "there is a session to misuse"
            failure = await caller.failure(server.url(scheme="https", host="other.test"))
        assert failure.kind is ErrorKind.TLS
        assert "match" in failure.detail
        assert len(server.seen) == 2

    async def test_a_session_opens_only_the_port_that_gave_it(self, authority: trustme.CA, context: ssl.SSLContext) -> None:
        """Behind another port of the same host is another server, which shows its own certificate first."""
        resumed: list[bool] = []
        async with (
            started(authority) as transport,
            Server(noting(resumed)).running(context) as server,
            Server(noting(resumed)).running(context) as other,
        ):
            caller = Caller(transport)
            await twice(caller, server)
            await twice(caller, other)
        assert resumed == [False, True, False, True]
