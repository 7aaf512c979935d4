"""The URL guard under grammar-made URLs: what passes is one public name, for every parser alike, and stays it on the wire."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from urllib.parse import urlsplit

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from hookline.dispatcher.transport.origins import target_of
from hookline.kernel.config import load
from hookline.kernel.errors import UrlNotAllowed
from hookline.webhooks.addresses import refused
from hookline.webhooks.urls import UrlPolicy, check_url
from tests.fuzz.effort import cpu_within, tries

pytestmark = pytest.mark.unit

SAFE = load(UrlPolicy, {})
WIDE = load(UrlPolicy, {"HOOKLINE_ALLOW_HTTP": "true", "HOOKLINE_ALLOWED_PORTS": "any"})

_NUMBERS = st.integers(0, 2**33).flatmap(
    lambda n: st.sampled_from([str(n), hex(n), f"0{n:o}", f"0x{n:X}", f"{n & 255}", f"0{n & 255:o}", f"0x{n & 255:02x}", f"{n:012d}"])
)
_ODD = st.sampled_from([*"①②⑦⓪。．｡％＠／：？#@:/\\[]%._-\0\t\r\n \u00ad\u200d\u202e", "%00", "%2e", "%40", "ß", "İ", "ſ", "xn--", "١"])  # noqa: RUF001
_LABELS = st.sampled_from(["hooks", "example", "com", "localhost", "internal", "local", "svc", "metadata", "a", "xn--bcher-kva", "bücher"])
_HOSTS = st.one_of(
    st.lists(_NUMBERS, min_size=1, max_size=5).map(".".join),
    st.lists(_LABELS | _NUMBERS | _ODD, min_size=1, max_size=6).map(".".join),
    st.lists(_LABELS | _ODD | st.text(max_size=3), min_size=1, max_size=8).map("".join),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=4).map(lambda ip: f"[::ffff:{ip}]"),
    st.ip_addresses(v=4).map(str),
)
_SCHEMES = st.sampled_from(
    ["https://", "https://", "https://", "http://", "HTTPS://", "https:/", "https:///", "https:\\\\", "//", "ftp://", ""]
)
_USERS = st.sampled_from(["", "", "", "", "user@", "a:b@", "@", "hooks.example.com@", "hooks.example.com\\@", "%40"])
_PORTS = st.sampled_from(["", "", "", ":443", ":8443", ":80", ":0", ":22", ":", ":65536", ":-1", ":4٤3", ":443:443"])
_TAILS = st.lists(
    st.sampled_from([*"/?#&=;,:@%!$'()*+~", "..", "%2e%2e", "%0d%0a", "%", "ä", "\r\n", "Host: a"]) | st.text(max_size=4), max_size=6
)
_GOOD = ("https://", "", "hooks.example.com", "", "/orders?x=1")
_PARTS = (_SCHEMES, _USERS, _HOSTS, _PORTS, _TAILS.map("".join))


@st.composite
def urls(draw: st.DrawFn) -> str:
    """Return a good URL with one to five of its parts made up, so that each part is what decides often enough."""
    made_up = draw(st.sets(st.integers(0, 4), min_size=1) | st.sets(st.integers(0, 4), min_size=1, max_size=1))
    return "".join(draw(part) if place in made_up else good for place, (part, good) in enumerate(zip(_PARTS, _GOOD, strict=True)))


def accepted(text: str, policy: UrlPolicy) -> str:
    """Return the stored form, an empty text when it is refused; nothing else may happen, and it may not take long."""
    with cpu_within(0.5):
        try:
            return check_url(text, policy)
        except UrlNotAllowed as error:
            error.message.encode()
            return ""


def is_public_name(host: str) -> bool:
    """Tell whether a host is a name by all that systems know: no address in any spelling, no name of this machine or network."""
    try:
        socket.inet_aton(host)  # reads 127.1, 0x7f.1, 2130706433, as many resolvers do
    except OSError:
        pass
    else:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+", host) is not None and not host.endswith((".localhost", ".local", ".internal"))
    return False


def holds(text: str, policy: UrlPolicy) -> None:
    """Check what is promised of a URL that passed."""
    stored = accepted(text, policy)
    event("accepted" if stored else "refused")
    if not stored:
        return
    assert check_url(stored, policy) == stored
    assert stored.isascii()
    assert not re.search(r"[\x00-\x20\x7f]", stored)
    split = urlsplit(stored)
    target = target_of(stored)
    assert split.hostname == target.host
    assert (split.port or {"https": 443, "http": 80}[split.scheme]) == target.port
    assert split.username is None
    assert split.fragment == ""
    assert is_public_name(target.host)
    assert is_public_name(unicodedata.normalize("NFKC", target.host))
    assert target.head.count(b"\r\n") == 2
    assert target.head.startswith(b"POST /")


@tries(800)
@given(urls())
@example("https://hooks.example.com/")
@example("https://①②⑦.⓪.⓪.①/")
@example("https://127.0.0.1\\@hooks.example.com/")
def test_a_made_up_url(text: str) -> None:
    """Schemes, users, hosts in all spellings, ports and tails, put together: refused, or safe for every parser."""
    holds(text, SAFE)
    holds(text, WIDE)


@tries(300)
@given(st.text(max_size=3_000))
def test_any_text(text: str) -> None:
    """Whatever text: refused, or safe."""
    holds(text, WIDE)
    holds("https://" + text, WIDE)


@tries(40)
@given(st.sampled_from([*"a.%-0[:/?#@ä①\u0130"]), st.integers(100, 200_000))
def test_a_long_text_of_one_character(character: str, count: int) -> None:
    """Length alone costs nothing."""
    holds("https://" + character * count, WIDE)


@tries(400)
@given(st.ip_addresses() | st.integers(0, 2**32 - 1).map(lambda n: ipaddress.IPv6Address((0xFFFF << 32) | n)))
def test_no_address_that_the_standard_library_calls_inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What Python's own tables call private, loopback, link-local, multicast or reserved is refused at every connect."""
    address = getattr(address, "ipv4_mapped", None) or address  # Python calls all mapped ones private
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast or address.is_reserved:
        assert refused(str(address), (), ())
