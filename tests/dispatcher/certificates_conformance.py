"""As whom a transport calls: the client certificate of each webhook, and never that of another."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
import trustme

from hookline.dispatcher.transport import tls
from hookline.dispatcher.transport.contract import Failure, Reply, Result
from hookline.dispatcher.transport.phases import Keeper, Phase
from hookline.schemas.records import ErrorKind
from hookline.webhooks.certificates import Identity
from tests.calm import calmly_async
from tests.dispatcher.guard_conformance import WRONG, WRONG_IN, Guard, Names, trusting
from tests.dispatcher.hostile import OK, Caller, Peer, Server, always

HOST = "hooks.test"


def identity(authority: trustme.CA, name: str) -> Identity:
    """Return a client certificate for a name."""
    leaf = authority.issue_cert(common_name=name)
    key = leaf.private_key_pem.bytes()
    return Identity(name, b"".join(one.bytes() for one in leaf.cert_chain_pems), key)


def _making(authority: trustme.CA, takes_s: float) -> Callable[[], ssl.SSLContext]:
    """Return what makes contexts and takes so long; only the first, for calls without a certificate, is made at once."""
    made: list[int] = []

    def make() -> ssl.SSLContext:
        made.append(1)
        time.sleep(takes_s if len(made) > 1 else 0)
        return trusting(authority)

    return make


@contextlib.contextmanager
def refusing(context: ssl.SSLContext, authority: trustme.CA) -> Iterator[int]:
    """Give the port of a server that insists on a certificate of the authority and says why it refuses; asyncio's servers just hang up."""
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:  # it was closed: the test is over
                return
            with peer, contextlib.suppress(OSError):
                peer.settimeout(10)
                shaking = context.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
                with contextlib.suppress(ssl.SSLError):
                    shaking.do_handshake()
                with socket.socket(fileno=shaking.detach()) as rest:  # the request lies unread: closing at once would reset
                    rest.shutdown(socket.SHUT_WR)
                    while rest.recv(65_536):
                        pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(20)


class Certificates(Guard):
    """Client certificates."""

    @contextlib.asynccontextmanager
    async def asking(
        self, authority: trustme.CA, names: Names, mode: ssl.VerifyMode = ssl.CERT_REQUIRED, *, close: bool = False
    ) -> AsyncIterator[tuple[Server, list[str]]]:
        """Give a server that asks for a client certificate, and whom it was called by: a name for each request, empty for nobody."""
        names[HOST] = lambda: ["127.0.0.1"]
        came: list[str] = []

        async def answer(peer: Peer) -> None:
            shown = peer.writer.get_extra_info("peercert") or {}
            subject = dict(pair for part in shown.get("subject", ()) for pair in part)
            while await peer.request():
                came.append(subject.get("commonName", ""))
                await peer.send(OK.replace(b"Content-Length", b"Connection: close\r\nContent-Length") if close else OK)
                if close:
                    return

        with self.certified(authority, HOST) as context:
            authority.configure_trust(context)
            context.verify_mode = mode
            async with Server(answer).running(context) as server:
                yield server, came

    @staticmethod
    async def call_as(caller: Caller, server: Server, who: Identity | None) -> Result:
        """Call a server with a certificate, or None."""
        return await caller.send(replace(caller.request(server.url(scheme="https", host=HOST)), identity=who))

    async def test_server_that_wants_a_client_certificate_gets_it(self, names: Names, authority: trustme.CA) -> None:
        """The webhook's certificate is shown and its key proven; the connection is kept for the next call with it."""
        own = identity(authority, "shop-a")
        async with self.asking(authority, names) as (server, came), self.calling(tls=lambda: trusting(authority)) as caller:
            for _ in range(3):
                assert isinstance(await self.call_as(caller, server, own), Reply)
            assert came == ["shop-a"] * 3
            assert server.connections == 1

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_server_that_wants_a_client_certificate_and_gets_none(
        self, names: Names, authority: trustme.CA, version: ssl.TLSVersion
    ) -> None:
        """Its refusal is a TLS error that says so, though TLS 1.3 tells it only after the request was written."""
        names[HOST] = lambda: ["127.0.0.1"]
        stranger = trustme.CA()
        cases: tuple[tuple[Identity | None, str], ...] = ((None, ""), (identity(stranger, "shop-a"), "unknown_ca"))

        def context() -> ssl.SSLContext:
            found = trusting(authority)
            found.maximum_version = version
            return found

        with self.certified(authority, HOST) as serving, refusing(serving, authority) as port:
            async with self.calling(tls=context) as caller:
                for who, words in cases:
                    request = replace(caller.request(f"https://{HOST}:{port}/"), identity=who)
                    failure = await caller.send(request)
                    assert not isinstance(failure, Reply)
                    assert (failure.kind, failure.detail[:5]) == (ErrorKind.TLS, "TLS: ")
                    assert words in failure.detail.lower(), failure.detail

    @pytest.mark.parametrize("close", [False, True])
    async def test_no_connection_is_shared_between_certificates(self, names: Names, authority: trustme.CA, close: bool) -> None:
        """Calls to one host come each as their own webhook, one after the other and at once, on kept and on resumed connections."""
        callers = (identity(authority, "shop-a"), identity(authority, "shop-b"), None)
        asked = [who.name if who else "" for who in callers]
        async with (
            self.asking(authority, names, ssl.CERT_OPTIONAL, close=close) as (server, came),
            self.calling(tls=lambda: trusting(authority)) as caller,
        ):
            for _ in range(3):
                for who in callers:
                    assert isinstance(await self.call_as(caller, server, who), Reply)
            assert came == asked * 3
            assert server.connections == (9 if close else 3)
            results = await asyncio.gather(*(self.call_as(caller, server, who) for who in callers * 4))
            assert all(isinstance(result, Reply) for result in results)
            assert sorted(came[9:]) == sorted(asked * 4)

    @pytest.mark.parametrize(WRONG_IN, WRONG)
    async def test_server_is_checked_by_who_shows_a_certificate(
        self, names: Names, authority: trustme.CA, what: str, names_in: list[str], days: int, trusted: bool
    ) -> None:
        """A server's certificate that ran out, is for another host, or from nobody we trust gets no request with a client certificate."""
        names[HOST] = lambda: ["127.0.0.1"]
        own = identity(trustme.CA(), "shop-a")
        with self.certified(authority, *names_in, days=days) as context:
            known = (lambda: trusting(authority)) if trusted else tls.tls_context
            async with Server(always(OK)).running(context) as server, self.calling(tls=known) as caller:
                failure = await self.call_as(caller, server, own)
                assert not isinstance(failure, Reply)
                assert failure.kind is ErrorKind.TLS
                assert what in failure.detail.lower()
                assert server.seen == []

    async def test_more_certificates_than_are_kept(self, names: Names, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
        """A certificate whose context was given up meanwhile is shown again when it is needed."""
        monkeypatch.setattr(tls, "MOST_IDENTITIES", 2)
        callers = [identity(authority, f"shop-{number}") for number in range(4)]
        async with self.asking(authority, names, close=True) as (server, came), self.calling(tls=lambda: trusting(authority)) as caller:
            for who in callers * 2:
                assert isinstance(await self.call_as(caller, server, who), Reply)
            assert came == [who.name for who in callers] * 2

    async def test_certificate_that_cannot_be_loaded(self, names: Names, authority: trustme.CA) -> None:
        """What OpenSSL does not take is a TLS error of that webhook alone."""
        good = identity(authority, "shop-a")
        wrong = replace(good, name="wrong", private_key=identity(authority, "shop-b").private_key)
        async with self.asking(authority, names) as (server, came), self.calling(tls=lambda: trusting(authority)) as caller:
            failure = await self.call_as(caller, server, wrong)
            assert not isinstance(failure, Reply)
            assert failure.kind is ErrorKind.TLS
            assert isinstance(await self.call_as(caller, server, good), Reply)
            assert came == ["shop-a"]

    async def test_certificate_that_is_not_ready_in_time(self, names: Names, authority: trustme.CA) -> None:
        """A context that we do not make in time is our fault; other calls go on, and the next one finds what was made meanwhile."""
        go, made = threading.Event(), list[int]()

        def make() -> ssl.SSLContext:
            made.append(1)
            assert len(made) == 1 or go.wait(30)  # the first is for calls without a certificate
            return trusting(authority)

        own = identity(authority, "shop-a")
        async with self.asking(authority, names, ssl.CERT_OPTIONAL) as (server, came), self.calling(tls=make) as caller:
            url = server.url(scheme="https", host=HOST)
            try:
                late = asyncio.gather(*(caller.send(replace(caller.request(url, 0.7), identity=own)) for _ in range(3)))
                assert (await caller.reply(url)).status == 200
                for failure in await late:
                    assert isinstance(failure, Failure)
                    assert (failure.kind, failure.detail) == (ErrorKind.INTERNAL, Keeper.READY.late(0.7))
                    assert failure.elapsed_s < 10
            finally:
                go.set()
            assert isinstance(await self.call_as(caller, server, own), Reply)
            assert (came, len(made)) == (["", "shop-a"], 2)

    async def test_certificate_takes_none_of_the_receivers_time(
        self, names: Names, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The time for look-up, connect and handshake begins when the context is there."""
        for module in ("native_transport", "aiohttp_transport"):
            monkeypatch.setattr(f"hookline.dispatcher.transport.{module}.CONNECT_S", 1.0)

        async def attempt() -> None:
            make = _making(authority, 1.3)
            async with self.asking(authority, names) as (server, came), self.calling(tls=make) as caller:
                assert isinstance(await self.call_as(caller, server, identity(authority, "shop-a")), Reply)
                assert came == ["shop-a"]

        await calmly_async(attempt)

    @pytest.mark.parametrize(("takes_s", "timeout_s", "kind"), [(0.8, 1.2, ErrorKind.INTERNAL), (0.2, 2.0, ErrorKind.TIMEOUT)])
    async def test_receiver_is_not_to_blame_for_what_we_left_it(
        self, names: Names, authority: trustme.CA, takes_s: float, timeout_s: float, kind: ErrorKind
    ) -> None:
        """A receiver that does not answer is to blame if it had half of the call's time at least."""
        names[HOST] = lambda: ["127.0.0.1"]
        words = (Keeper.READY if kind is ErrorKind.INTERNAL else Phase.ANSWER).late(timeout_s)

        async def hang(peer: Peer) -> None:
            await peer.request()
            await peer.hang()

        async def attempt() -> None:
            make = _making(authority, takes_s)
            async with Server(hang).running(context) as server, self.calling(tls=make) as caller:
                url = server.url(scheme="https", host=HOST)
                failure = await caller.send(replace(caller.request(url, timeout_s), identity=identity(authority, "shop-a")))
                assert isinstance(failure, Failure)
                assert (failure.kind, failure.detail, len(server.seen)) == (kind, words, 1)

        with self.certified(authority, HOST) as context:
            await calmly_async(attempt)
