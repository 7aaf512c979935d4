"""What every transport must refuse: addresses inside, names that lead there, servers whose certificates do not hold."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import resource
import socket
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from hookline.dispatcher.transport.contract import Reply
from hookline.dispatcher.transport.tls import tls_context
from hookline.schemas.records import ErrorKind
from hookline.webhooks.urls import UrlPolicy
from tests.calm import calmly_async
from tests.dispatcher.hostile import OK, Caller, Peer, Server, always
from tests.dispatcher.suite import LOCAL, Suite

STRICT = UrlPolicy(allow_http=True, allowed_ports=(), allow_addresses=(), deny_addresses=(), deny_hosts=())
Names = dict[str, Callable[[], list[str]]]
WRONG_IN = ("what", "names_in", "days", "trusted")
"""What is wrong with a server's certificate, in the words of an error; the names in it, its days, whether we trust who made it."""
WRONG = [("expired", ["hooks.test"], -1, True), ("mismatch", ["other.test"], 1, True), ("certificate", ["hooks.test"], 1, False)]


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Return a client's context as the transport makes its own, which trusts the authority too."""
    context = tls_context()
    authority.configure_trust(context)
    return context


def answering(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Return a table from which the system's look-ups are answered from now on: a name not in it does not exist."""
    table: Names = {}
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **more: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name in table:
            return [found for ip in table[name]() for found in real(ip, port, type=socket.SOCK_STREAM)]
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return real(host, port, *args, **more)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table


class Guard(Suite):
    """Addresses, names, certificates."""

    @contextlib.asynccontextmanager
    async def calling(self, policy: UrlPolicy = LOCAL, tls: Callable[[], ssl.SSLContext] = tls_context) -> AsyncIterator[Caller]:
        """Give a caller over a started transport."""
        transport = self.make(policy, tls)
        await transport.start()
        try:
            yield Caller(transport)
        finally:
            await transport.stop()

    @pytest.fixture
    def names(self, monkeypatch: pytest.MonkeyPatch) -> Names:
        """Give the table that the system's look-ups are answered from."""
        return answering(monkeypatch)

    # ---- addresses ----

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "169.254.169.254",
            "10.0.0.1",
            "192.168.1.1",
            "0.0.0.0",
            "100.64.0.1",
            "168.63.129.16",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[fe80::1]",
            "[fd00::1]",
            "[2002:7f00:1::]",
        ],
    )
    async def test_inside_by_its_address(self, host: str) -> None:
        """An address that must not be called is refused before a packet leaves, though a URL check should have stopped it."""
        async with Server(always(OK)).running() as server, self.calling(STRICT) as caller:
            assert (await caller.failure(server.url(host=host))).kind is ErrorKind.BLOCKED
            assert server.connections == 0

    @pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "127.0.0.1."])
    async def test_inside_in_disguise(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Other spellings of an inside address lead nowhere, whatever the system's resolver makes of them."""
        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda _host, port, *a, **k: real("127.0.0.1", port, *a, **k))
        async with Server(always(OK)).running() as server, self.calling(STRICT) as caller:
            assert (await caller.failure(server.url(host=host))).kind in {ErrorKind.BLOCKED, ErrorKind.INTERNAL}
            assert server.connections == 0

    @pytest.mark.parametrize(
        "answers", [["10.1.2.3"], ["127.0.0.1", "10.1.2.3"], ["10.1.2.3", "127.0.0.1"], ["127.0.0.1", "::ffff:10.0.0.1"]]
    )
    async def test_inside_by_its_name(self, names: Names, answers: list[str]) -> None:
        """A name is refused when any of its addresses must not be called, the first or the last."""
        names["hooks.test"] = lambda: answers
        async with Server(always(OK)).running() as server, self.calling() as caller:
            assert (await caller.failure(server.url(host="hooks.test"))).kind is ErrorKind.BLOCKED
            assert server.connections == 0

    async def test_name_that_changes_its_address(self, names: Names) -> None:
        """A name that leads outside when it is checked and inside when it is called leads nowhere inside, however often it turns."""
        turns = iter(range(1_000))
        names["turn.test"] = lambda: ["127.0.0.1" if next(turns) % 2 == 0 else "127.0.0.2"]
        async with Server(always(OK)).running() as server, Server(always(OK), host="127.0.0.2", port=server.port).running() as inside:
            for _ in range(6):
                async with self.calling() as caller:  # a new one has no answer in memory
                    results = [await caller.call(server.url(host="turn.test")) for _ in range(3)]
                    assert all(isinstance(r, Reply) or r.kind is ErrorKind.BLOCKED for r in results)
            assert inside.connections == 0
            assert server.connections > 0

    async def test_operators_deny_list_wins(self) -> None:
        """What the operator denies is refused though it is allowed too."""
        policy = UrlPolicy(
            allow_http=True,
            allowed_ports=(),
            allow_addresses=LOCAL.allow_addresses,
            deny_addresses=LOCAL.allow_addresses,
            deny_hosts=(),
        )
        async with Server(always(OK)).running() as server, self.calling(policy) as caller:
            assert (await caller.failure(server.url())).kind is ErrorKind.BLOCKED

    @pytest.mark.parametrize(
        ("closing", "host", "words"),
        [
            ({"allow_http": False}, "hooks.test", "plain http is not allowed"),
            ({"allow_http": False}, "127.0.0.1", "plain http is not allowed"),
            ({"deny_hosts": ("hooks.test",)}, "hooks.test", "the operator denies this host"),
            ({"deny_hosts": (".test",)}, "hooks.test", "the operator denies this host"),
            ({"deny_hosts": ("hooks.test",)}, "HOOKS.Test.", "the operator denies this host"),
            ({"deny_hosts": ("localhost",)}, "localhost", "the operator denies this host"),
            ({"deny_hosts": ("127.0.0.1",)}, "127.0.0.1", "the operator denies this host"),
            ({"allowed_ports": (443, 8443)}, "hooks.test", "is not allowed"),
        ],
    )
    async def test_closed_since_it_was_saved(self, names: Names, closing: dict[str, Any], host: str, words: str) -> None:
        """A URL whose scheme, host or port the operator has closed is refused at each call: nothing is looked up, nothing connected."""
        asked: list[str] = []

        def found() -> list[str]:
            asked.append(host)
            return ["127.0.0.1"]

        names.update(dict.fromkeys((host, host.lower()), found))
        async with Server(always(OK)).running() as server, self.calling(replace(LOCAL, **closing)) as caller:
            for _ in range(2):
                failure = await caller.failure(server.url(host=host))
                assert failure.kind is ErrorKind.BLOCKED
                assert words in failure.detail
            assert (asked, server.connections) == ([], 0)

    async def test_open_though_much_is_closed(self, names: Names, authority: trustme.CA) -> None:
        """What is open still is: https on a port of the operator's, and the operator's own addresses on any port."""
        names["hooks.test"] = lambda: ["127.0.0.1"]
        with self.certified(authority, "hooks.test", "127.0.0.1") as context:
            async with Server(always(OK)).running(context) as server:
                for host, ports in (("hooks.test", (443, server.port)), ("127.0.0.1", (443,))):
                    policy = replace(LOCAL, allow_http=False, allowed_ports=ports, deny_hosts=(".intern.test",))
                    async with self.calling(policy, tls=lambda: trusting(authority)) as caller:
                        assert (await caller.reply(server.url(scheme="https", host=host))).status == 200

    # ---- names ----

    async def test_name_that_is_found(self, names: Names) -> None:
        """A name is called at its address, with itself as Host."""
        names["hooks.test"] = lambda: ["127.0.0.1"]
        async with Server(always(OK)).running() as server, self.calling() as caller:
            assert (await caller.reply(server.url(host="hooks.test"))).status == 200
            assert f"host: hooks.test:{server.port}".encode() in server.seen[0].lower()

    async def test_name_that_does_not_exist(self, names: Names) -> None:
        """A name without an address is a DNS error."""
        assert names == {}
        async with self.calling() as caller:
            assert (await caller.failure("http://nowhere.test/")).kind is ErrorKind.DNS

    async def test_name_server_that_is_silent(self, names: Names) -> None:
        """Look-ups that hang, of many names and of one name many times, end at the timeout, and delay no other name."""
        release = threading.Event()

        def hang() -> list[str]:
            release.wait(60)
            return ["127.0.0.1"]

        names.update({f"slow{number}.test": hang for number in range(40)})
        names["quick.test"] = lambda: ["127.0.0.1"]

        async def attempt() -> None:
            async with Server(always(OK)).running() as server, self.calling() as caller:
                slow = [asyncio.create_task(caller.failure(f"http://slow{number % 40}.test/", 2.0)) for number in range(120)]
                await asyncio.sleep(0.05)
                assert (await caller.reply(server.url(host="quick.test"))).status == 200
                assert not any(task.done() for task in slow)
                assert {failure.kind for failure in await asyncio.gather(*slow)} <= {ErrorKind.TIMEOUT, ErrorKind.DNS}

        try:
            await calmly_async(attempt)
        finally:
            release.set()

    @pytest.mark.parametrize(("hanging", "host"), [("hanging{}.test", "127.0.0.1"), ("{}.hanging.test", "good.test")])
    async def test_more_names_hang_than_can_be_looked_up(self, names: Names, hanging: str, host: str) -> None:
        """A literal address is called whatever hangs; a name too, while those that hang are of one domain, which is not its own."""
        release = threading.Event()
        names.update({hanging.format(number): lambda: ["127.0.0.1"] if release.wait(60) else [] for number in range(100)})
        names["good.test"] = lambda: ["127.0.0.1"]
        async with Server(always(OK)).running() as server, self.calling() as caller:
            slow = [asyncio.create_task(caller.call(server.url(host=hanging.format(number)))) for number in range(100)]
            try:
                await asyncio.sleep(0.05)
                assert (await caller.reply(server.url(host=host))).status == 200
                assert not any(task.done() for task in slow)
            finally:
                release.set()
                await asyncio.gather(*slow)

    async def test_one_dead_address_of_several(self, names: Names) -> None:
        """When the first address refuses, the next one is called."""
        names["two.test"] = lambda: ["127.0.0.3", "127.0.0.1"]
        policy = UrlPolicy(
            allow_http=True,
            allowed_ports=(),
            allow_addresses=(ipaddress.ip_network("127.0.0.0/8"),),
            deny_addresses=(),
            deny_hosts=(),
        )
        async with Server(always(OK)).running() as server, self.calling(policy) as caller:
            assert (await caller.reply(server.url(host="two.test"))).status == 200

    # ---- TLS ----

    @pytest.fixture
    def authority(self) -> trustme.CA:
        """Give a certificate authority."""
        return trustme.CA()

    @contextlib.contextmanager
    def certified(self, authority: trustme.CA, *names: str, days: int = 1) -> Iterator[ssl.SSLContext]:
        """Give a server's context with a certificate for the names that runs out in so many days."""
        now = datetime.now(UTC)
        leaf = authority.issue_cert(*names, not_before=now - timedelta(days=30), not_after=now + timedelta(days=days))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        yield context

    async def test_tls(self, names: Names, authority: trustme.CA) -> None:
        """A certificate that holds is accepted; the server is told the name it is called by; the connection is kept."""
        names["hooks.test"] = lambda: ["127.0.0.1"]
        told: list[str | None] = []
        with self.certified(authority, "hooks.test") as context:
            context.sni_callback = lambda _socket, name, _context: told.append(name)
            async with (
                Server(always(OK, close=False)).running(context) as server,
                self.calling(tls=lambda: trusting(authority)) as caller,
            ):
                body = os.urandom(300_000)
                for _ in range(3):
                    assert isinstance(await caller.call(server.url(scheme="https", host="hooks.test"), body=body), Reply)
                assert told == ["hooks.test"]
                assert server.connections == 1
                assert all(whole.endswith(body) for whole in server.seen)

    async def test_tls_connections_one_after_another(self, names: Names, authority: trustme.CA) -> None:
        """Connections made one after another work as the first did."""
        names["hooks.test"] = lambda: ["127.0.0.1"]
        with self.certified(authority, "hooks.test") as context:
            async with Server(always(OK)).running(context) as server, self.calling(tls=lambda: trusting(authority)) as caller:
                for _ in range(3):
                    assert (await caller.reply(server.url(scheme="https", host="hooks.test"))).body == b"ok"
                assert server.connections == 3

    @pytest.mark.parametrize(WRONG_IN, WRONG)
    async def test_tls_that_does_not_hold(
        self, names: Names, authority: trustme.CA, what: str, names_in: list[str], days: int, trusted: bool
    ) -> None:
        """A certificate that ran out, is for another host, or comes from nobody we trust: a TLS error that says so; nothing is sent."""
        names["hooks.test"] = lambda: ["127.0.0.1"]
        with self.certified(authority, *names_in, days=days) as context:
            known = (lambda: trusting(authority)) if trusted else tls_context
            async with Server(always(OK)).running(context) as server, self.calling(tls=known) as caller:
                failure = await caller.failure(server.url(scheme="https", host="hooks.test"))
                assert failure.kind is ErrorKind.TLS
                assert what in failure.detail.lower()
                assert server.seen == []

    async def test_tls_too_old(self, names: Names, authority: trustme.CA) -> None:
        """A server that speaks nothing newer than TLS 1.1 is not called, whether it says why or hangs up.

        OpenSSL's own level of security, which refuses the same on most machines, is taken away from both ends: our minimum decides.
        """

        def lax() -> ssl.SSLContext:
            context = trusting(authority)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            return context

        names["hooks.test"] = lambda: ["127.0.0.1"]
        with self.certified(authority, "hooks.test") as context:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
            async with Server(always(OK)).running(context) as server, self.calling(tls=lax) as caller:
                failure = await caller.failure(server.url(scheme="https", host="hooks.test"))
                assert failure.kind in {ErrorKind.TLS, ErrorKind.RESET}
                assert server.seen == []

    async def test_plain_server_behind_https(self, names: Names) -> None:
        """A server that answers TLS in plain text is a TLS error, and is told nothing in plain text."""
        names["hooks.test"] = lambda: ["127.0.0.1"]
        heard: list[bytes] = []

        async def answer(peer: Peer) -> None:
            heard.append(await peer.reader.read(65_536))
            await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        async with Server(answer).running() as server, self.calling() as caller:
            assert (await caller.failure(server.url(scheme="https", host="hooks.test"))).kind is ErrorKind.TLS
            assert b"POST" not in b"".join(heard)

    async def test_handshake_that_hangs(self, names: Names) -> None:
        """A server that accepts and never shakes hands ends at the timeout."""
        names["hooks.test"] = lambda: ["127.0.0.1"]

        async def answer(peer: Peer) -> None:
            await peer.hang()

        async with Server(answer).running() as server, self.calling() as caller:
            failure = await caller.failure(server.url(scheme="https", host="hooks.test"), 0.7)
            assert failure.kind is ErrorKind.TIMEOUT
            assert failure.elapsed_s < 10

    async def test_url_that_is_none(self) -> None:
        """A URL that could never have been saved is an internal error, and is not repeated in its words."""
        async with self.calling() as caller:
            for url in ("", "nonsense", "ftp://hooks.test/?token=hush", "http://"):
                failure = await caller.failure(url)
                assert failure.kind is ErrorKind.INTERNAL
                assert "hush" not in failure.detail

    async def test_no_file_left(self) -> None:
        """When this machine has no file descriptor left, that is our fault and not the receiver's."""
        async with Server(always(OK)).running() as server, self.calling() as caller:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            try:
                failure = await caller.failure(server.url())
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert failure.kind is ErrorKind.INTERNAL
            assert (await caller.reply(server.url())).status == 200
