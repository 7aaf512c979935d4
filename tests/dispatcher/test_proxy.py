"""Calls through an HTTP proxy: the guard holds, TLS is the receiver's, and what the proxy does wrong is no receiver's fault."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme

from hookline.dispatcher import process
from hookline.dispatcher.config import DispatchConfig
from hookline.dispatcher.transport import native_transport
from hookline.dispatcher.transport import proxy as proxy_module
from hookline.dispatcher.transport.contract import Transport
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.dispatcher.transport.origins import Address, dial
from hookline.dispatcher.transport.phases import CONNECT_S, Keeper, Phase
from hookline.dispatcher.transport.proxy import Proxy, proxy_of
from hookline.dispatcher.transport.tls import tls_context
from hookline.kernel.config import load, masked
from hookline.kernel.errors import ConfigError
from hookline.local.kafka_broker import free_port
from hookline.schemas.records import ErrorKind
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.guard_conformance import STRICT, Guard, Names, answering, trusting
from tests.dispatcher.hostile import OK, Caller, Server, always
from tests.dispatcher.proxying import Says, Tunneller, saying, silent
from tests.dispatcher.suite import LOCAL

pytestmark = pytest.mark.unit

PROXY_STATES = (429, 500, 501, 503, 505, 511, 599, 999, 101, 99)
"""Answers that may be the same for all receivers."""


@contextlib.asynccontextmanager
async def through(proxy: Proxy, policy: UrlPolicy = LOCAL, tls: Callable[[], ssl.SSLContext] = tls_context) -> AsyncIterator[Caller]:
    """Give a caller whose calls lead through a proxy."""
    transport = NativeTransport(policy, tls, proxy=proxy)
    await transport.start()
    try:
        yield Caller(transport)
    finally:
        await transport.stop()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Give the table that look-ups are answered from."""
    return answering(monkeypatch)


class TestGuard(Guard):
    """The guard's whole suite, with a proxy on the way that would open any tunnel."""

    running: Tunneller

    @pytest.fixture(autouse=True)
    async def proxy(self) -> AsyncIterator[None]:
        """Run the proxy."""
        async with Tunneller().running() as running:
            self.running = running
            yield

    def make(self, policy: UrlPolicy, tls: Callable[[], ssl.SSLContext] = tls_context) -> Transport:
        """Return the sender."""
        return NativeTransport(policy, tls, proxy=self.running.address)


# ---- what is asked of it ----


async def test_it_is_asked_for_an_address_and_no_name(names: Names) -> None:
    """A tunnel to the address that was checked; the receiver gets its own name, the path, and no word of the proxy's."""
    names["hooks.test"] = lambda: ["127.0.0.1"]
    async with Server(always(OK, close=False)).running() as server, Tunneller().running() as proxy:
        async with through(Proxy("127.0.0.1", proxy.port, b"Proxy-Authorization: Basic dTpw\r\n")) as caller:
            for _ in range(3):
                await caller.reply(server.url("/hook?a=1", host="hooks.test"))
        wanted = f"127.0.0.1:{server.port}".encode()
        assert proxy.asked == [b"CONNECT %b HTTP/1.1\r\nHost: %b\r\nProxy-Authorization: Basic dTpw\r\n\r\n" % (wanted, wanted)]
        head = [b"POST /hook?a=1 HTTP/1.1", b"Host: hooks.test:%d" % server.port]
        assert [one.split(b"\r\n")[:2] for one in server.seen] == [head] * 3
        assert not any(b"roxy" in one for one in server.seen)


@pytest.mark.parametrize(
    ("family", "ip", "authority"),
    [(socket.AF_INET, "203.0.113.5", b"203.0.113.5:443"), (socket.AF_INET6, "2001:db8::1", b"[2001:db8::1]:443")],
)
def test_an_authority_is_written_as_it_must_be(family: socket.AddressFamily, ip: str, authority: bytes) -> None:
    """Addresses of IPv6 stand in brackets."""
    address = Address(family, (ip, 443) if family is socket.AF_INET else (ip, 443, 0, 0))
    assert Proxy("proxy", 3128).connect_to(address) == b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (authority, authority)


async def test_tls_is_the_receivers(names: Names) -> None:
    """The certificate is that of the receiver's name; one for another name is refused, through a proxy as without."""
    authority = trustme.CA()
    names.update({"hooks.test": lambda: ["127.0.0.1"], "other.test": lambda: ["127.0.0.1"]})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.test").configure_cert(context)
    async with Server(always(OK)).running(context) as server, Tunneller().running() as proxy:
        async with through(proxy.address, tls=lambda: trusting(authority)) as caller:
            await caller.reply(server.url(scheme="https", host="hooks.test"))
            assert (await caller.failure(server.url(scheme="https", host="other.test"))).kind is ErrorKind.TLS
        assert len(proxy.asked) == 2
        assert len(server.seen) == 1


async def test_what_must_not_be_called_is_not_asked_of_it(names: Names) -> None:
    """A name that leads inside, also from one look-up to the next: no tunnel is asked for."""
    names["hooks.test"] = lambda: ["127.0.0.1"]
    async with Tunneller().running() as proxy, through(proxy.address, STRICT) as caller:
        for host in ("hooks.test", "127.0.0.1", "169.254.169.254"):
            assert (await caller.failure(f"http://{host}:8080/hook")).kind is ErrorKind.BLOCKED
        assert proxy.asked == []


# ---- what it does wrong ----


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        (saying(b"HTTP/1.1 407 No\r\n\r\n"), ErrorKind.INTERNAL, "it wants other credentials (407)"),
        (saying(b"HTTP/1.1 400 Bad\r\n\r\n"), ErrorKind.INTERNAL, "it answered 400 to CONNECT"),
        (saying(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n"), ErrorKind.INTERNAL, "it answered 302 to CONNECT"),
        (
            saying(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
            ErrorKind.BLOCKED,
            "the proxy lets nobody through to 127.0.0.1: 403",
        ),
        (saying(b"HTTP/1.0 502 Bad\r\n\r\n"), ErrorKind.CONNECT, "no connection: the proxy did not reach 127.0.0.1 (502)"),
        (saying(b"HTTP/1.1 504\r\n\r\n"), ErrorKind.CONNECT, "no connection: the proxy did not reach 127.0.0.1 (504)"),
        (saying(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad\r\n\r\n"), ErrorKind.CONNECT, "did not reach 127.0.0.1 (502)"),
        *((saying(b"HTTP/1.1 %03d x\r\n\r\n" % status), ErrorKind.INTERNAL, f"it answered {status} to CONNECT") for status in PROXY_STATES),
        (saying(b"HTTP/1.1 100 Continue\r\n\r\n"), ErrorKind.INTERNAL, "it gave no HTTP answer to CONNECT"),
        (saying(b"SSH-2.0-x\r\n\r\n"), ErrorKind.INTERNAL, "it gave no HTTP answer to CONNECT"),
        (saying(b"HTTP/1.1 200 OK\r\n"), ErrorKind.INTERNAL, "it gave no HTTP answer to CONNECT"),
        (saying(b""), ErrorKind.INTERNAL, "it gave no HTTP answer to CONNECT"),
        (saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), ErrorKind.INTERNAL, "it "),
        (saying(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), ErrorKind.INTERNAL, "bytes followed its answer"),
        (saying(b"HTTP/1.1 200 OK\r\n\r\n" + OK), ErrorKind.INTERNAL, "bytes followed its answer, before the receiver was asked for any"),
    ],
)
async def test_an_answer_that_opens_nothing(says: Says, kind: ErrorKind, words: str) -> None:
    """Each has words of its own; what is the proxy's fault is none of the receiver's, and nothing is sent after it."""
    async with Server(always(OK)).running() as server, Tunneller(says).running() as proxy, through(proxy.address) as caller:
        failure = await caller.failure(server.url())
        assert failure.kind is kind
        assert words in failure.detail
        assert failure.detail.startswith("Hookline could not send: the proxy of HOOKLINE_PROXY: ") is (kind is ErrorKind.INTERNAL)
        assert server.seen == []


async def test_a_proxy_that_is_away_comes_back() -> None:
    """Nobody listens: our fault, at once; when it is there again, calls are made."""
    port = free_port()
    async with Server(always(OK)).running() as server, through(Proxy("127.0.0.1", port)) as caller:
        failure = await caller.failure(server.url())
        assert (failure.kind, failure.detail) == (
            ErrorKind.INTERNAL,
            "Hookline could not send: the proxy of HOOKLINE_PROXY: no connection to it: Connection refused",
        )
        async with Tunneller(port=port).running():
            await caller.reply(server.url())


async def test_a_proxy_whose_name_is_unknown(names: Names) -> None:
    """Our fault too, and not the receiver's name."""
    assert names == {}
    async with Server(always(OK)).running() as server, through(Proxy("proxy.test", 3128)) as caller:
        failure = await caller.failure(server.url())
        assert failure.kind is ErrorKind.INTERNAL
        assert "no connection to it: Name or service not known" in failure.detail


async def test_its_name_waits_for_no_other_name(names: Names) -> None:
    """More names hang than can be looked up at once, and calls to others leave by the proxy all the same."""
    release = threading.Event()
    names.update({f"hanging{number}.test": lambda: ["127.0.0.1"] if release.wait(60) else [] for number in range(100)})
    names["proxy.test"] = lambda: ["127.0.0.1"]
    served, proxied = Server(always(OK)).running(), Tunneller().running()
    async with served as server, proxied as proxy, through(Proxy("proxy.test", proxy.port)) as caller:
        slow = [asyncio.create_task(caller.call(server.url(host=f"hanging{number}.test"))) for number in range(100)]
        try:
            await asyncio.sleep(0.05)
            await caller.reply(server.url())
        finally:
            release.set()
            await asyncio.gather(*slow)


async def test_an_address_of_the_proxy_that_refuses_is_passed_over(names: Names) -> None:
    """The next one is asked."""
    names["proxy.test"] = lambda: ["127.0.0.2", "127.0.0.1"]
    served, proxied = Server(always(OK)).running(), Tunneller().running()
    async with served as server, proxied as proxy, through(Proxy("proxy.test", proxy.port)) as caller:
        await caller.reply(server.url())


@pytest.mark.parametrize("lost", ["fe80::1", "255.255.255.255"])
async def test_an_address_of_the_proxy_without_a_way_to_it_is_passed_over(names: Names, lost: str) -> None:
    """A link-local one without its network, one that nobody has: errors of other kinds than a refusal."""
    names["proxy.test"] = lambda: [lost, "127.0.0.1"]
    served, proxied = Server(always(OK)).running(), Tunneller().running()
    async with served as server, proxied as proxy, through(Proxy("proxy.test", proxy.port)) as caller:
        await caller.reply(server.url())


async def test_an_address_of_the_proxy_that_is_deaf_delays_calls_and_stops_none(names: Names) -> None:
    """Nothing comes back from there, not even a refusal: the next one is asked meanwhile, as with a receiver's addresses."""
    names["proxy.test"] = lambda: ["127.0.0.2", "127.0.0.1"]
    with socket.create_server(("127.0.0.2", 0), backlog=0) as deaf, contextlib.ExitStack() as held:
        await _fill(deaf, held)
        port = deaf.getsockname()[1]
        served, proxied = Server(always(OK)).running(), Tunneller(port=port).running()
        async with served as server, proxied as proxy, through(Proxy("proxy.test", port)) as caller:
            for number in range(2):
                assert (await caller.reply(server.url())).elapsed_s < 1.0
                assert len(proxy.asked) == number + 1


async def test_an_address_of_the_proxy_of_a_kind_that_this_machine_lacks_is_passed_over(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container without IPv6 has no way to ::1, which `localhost` leads to first."""
    names["proxy.test"] = lambda: ["::1", "127.0.0.1"]

    async def without_v6(address: Address) -> socket.socket:
        if address.family is socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return await dial(address)

    monkeypatch.setattr(proxy_module, "dial", without_v6)
    served, proxied = Server(always(OK)).running(), Tunneller().running()
    async with served as server, proxied as proxy, through(Proxy("proxy.test", proxy.port)) as caller:
        await caller.reply(server.url())


@pytest.mark.parametrize(
    ("code", "tried"),
    [(errno.EHOSTUNREACH, 2), (errno.EINVAL, 2), (errno.ETIMEDOUT, 2), (errno.EADDRNOTAVAIL, 2), (errno.EMFILE, 1)],
)
async def test_the_way_to_the_proxy_is_looked_for_as_long_as_it_is_not_our_fault(
    names: Names, monkeypatch: pytest.MonkeyPatch, code: int, tried: int
) -> None:
    """With no file left here, the next address would not do better."""
    names["proxy.test"] = lambda: ["127.0.0.1", "127.0.0.2"]
    asked: list[str] = []

    async def refused(address: Address) -> socket.socket:
        asked.append(address.ip)
        raise OSError(code, "no")

    monkeypatch.setattr(proxy_module, "dial", refused)
    async with through(Proxy("proxy.test", 3128)) as caller:
        assert (await caller.failure("http://127.0.0.1:9/hook")).kind is ErrorKind.INTERNAL
    assert asked[:2] == ["127.0.0.1", "127.0.0.2"][:tried]


async def test_whose_fault_a_silence_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes the request for a tunnel and says nothing waits for the receiver; a proxy that is not reached is ours."""
    monkeypatch.setattr(native_transport, "CONNECT_S", 0.3)
    async with Tunneller(silent).running() as proxy, through(proxy.address) as caller:
        failure = await caller.failure("http://127.0.0.1:9/hook")
        assert (failure.kind, failure.detail) == (ErrorKind.TIMEOUT, Phase.CONNECT.late(0.3))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as held:
        await _fill(deaf, held)
        async with through(Proxy("127.0.0.1", deaf.getsockname()[1])) as caller:
            failure = await caller.failure("http://127.0.0.1:9/hook")
            assert (failure.kind, failure.detail) == (ErrorKind.INTERNAL, Keeper.PROXY.late(0.3))
    assert CONNECT_S == 3.0


async def _fill(deaf: socket.socket, held: contextlib.ExitStack) -> None:
    """Connect until the queue of a server that takes nobody is full."""
    loop = asyncio.get_running_loop()
    for _ in range(8):
        one = held.enter_context(socket.socket())
        one.setblocking(False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await loop.sock_connect(one, deaf.getsockname())


# ---- the setting ----


def basic(pair: str) -> bytes:
    """Return the line that shows a user and a password."""
    return b"Proxy-Authorization: Basic " + base64.b64encode(pair.encode()) + b"\r\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("http://proxy.test:3128", Proxy("proxy.test", 3128)),
        ("http://10.0.0.1:80/", Proxy("10.0.0.1", 80)),
        ("http://[2001:db8::1]:3128", Proxy("2001:db8::1", 3128)),
        (
            "http://u:p%40%C3%BC@proxy.test:1",
            Proxy("proxy.test", 1, basic("u:p@ü")),
        ),
        ("http://my_proxy.test.:3128", Proxy("my_proxy.test.", 3128)),
        ("http://u@proxy.test:1", Proxy("proxy.test", 1, basic("u:"))),
    ],
)
def test_a_proxy_is_read(text: str, found: Proxy | None) -> None:
    """Percent-encoded where the URL needs it."""
    assert proxy_of(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "proxy.test:3128",
        "https://u:hush@proxy.test:3128",
        "http://u:hush@proxy.test",
        "http://u:hush@:3128",
        "socks5://u:hush@p:1",
        "http://p:1/hush",
        "http://p:1?hush",
        "http://p:1#hush",
        "http://u:hush@p:99999",
        "http://u:hush@[::1",
        "http://:hush@p:1",
        "http://u%3Ahush:x@p:1",
        "http://u:hush@p:0",
        "http://u:hush@a proxy:1",
        "http://u:hush@a%20proxy:1",
        "http://u:hush@p..test:1",
        "http://u:hush@[fe80::1%25eth0]:1",
        "hush",
    ],
)
def test_what_is_none_is_refused_without_its_words(text: str) -> None:
    """The error says what to write, and shows no password."""
    with pytest.raises(ConfigError, match=r"HOOKLINE_PROXY=\(hidden\) is not valid: must be http://host:port") as error:
        load(DispatchConfig, {"HOOKLINE_PROXY": text})
    assert "hush" not in f"{error.value} {error.value.remedy}"
    assert error.value.__suppress_context__ or "hush" not in str(error.value.__context__)


def test_its_password_is_not_shown() -> None:
    """Neither by `hookline config` nor where the settings are printed."""
    environ = {"HOOKLINE_PROXY": "http://u:hush@proxy.test:3128"}
    assert masked(DispatchConfig, environ)["HOOKLINE_PROXY"] == "********"
    assert "hush" not in repr(load(DispatchConfig, environ))
    assert base64.b64encode(b"u:hush").decode() not in repr(load(DispatchConfig, environ))


def test_the_other_transport_has_none(tmp_path: Path) -> None:
    """A dispatcher that would call past the proxy does not start."""
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HOOKLINE_SECRET_KEYS": "test:" + base64.b64encode(bytes(32)).decode(),
        "HOOKLINE_STATE_DIR": str(tmp_path),
        "HOOKLINE_PROXY": "http://proxy.test:3128",
    }
    assert process.Settings.read(environ).dispatch.proxy == Proxy("proxy.test", 3128)
    with pytest.raises(ConfigError, match="HOOKLINE_PROXY is set, and HOOKLINE_TRANSPORT=aiohttp calls through none"):
        process.Settings.read({**environ, "HOOKLINE_TRANSPORT": "aiohttp"})
