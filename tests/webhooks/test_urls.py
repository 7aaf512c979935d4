"""URLs: every spelling of a place that must not be called is refused, and what is stored is what is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.config import load
from hookline.kernel.errors import ConfigError, UrlNotAllowed
from hookline.webhooks.urls import MAX_LENGTH, UrlPolicy, check_url

pytestmark = pytest.mark.unit

SAFE = load(UrlPolicy, {})
HTTP = load(UrlPolicy, {"HOOKLINE_ALLOW_HTTP": "true"})
DEMO = load(UrlPolicy, {"HOOKLINE_ALLOW_HTTP": "true", "HOOKLINE_ALLOW_ADDRESSES": "127.0.0.0/8,::1/128"})

ADDRESSES = [
    # loopback in every spelling
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0X7F000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "127.0.0.1.",
    "127.0.0.1..",
    "127.0.0.0x1",
    "127.00.00.01",
    "127%2e0%2e0%2e1",
    # the same in other alphabets
    "①②⑦.⓪.⓪.①",
    "127.0.0.1",  # full-width digits are the point
    "127。0。0。1",
    "127．0．0．1",  # noqa: RUF001
    "127｡0｡0｡1",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏",  # noqa: RUF001
    "²127.0.0.1",
    # unspecified, private, shared, link-local, metadata, the rest
    "0.0.0.0",
    "0",
    "0.1.2.3",
    "10.0.0.1",
    "10.1",
    "167772161",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "168.63.129.16",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.168.257",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "256.256.256.256",
    "4294967296",
    "1.2.3.4.5",
    # public addresses are no names either
    "8.8.8.8",
    "134744072",
    # IPv6
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[fec0::1]",
    "[ff02::1]",
    "[::ffff:0:127.0.0.1]",
    "[2606:4700:4700::1111]",
    "[::1",
    "::1",
    "[]",
    "[v1.fe80]",
    "[127.0.0.1]",
]
NAMES = [
    "localhost",
    "LOCALHOST",
    "LocalHost.",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "localhost",
    "a.localhost",
    "localhost.localdomain",
    "printer.local",
    "metadata",
    "metadata.google.internal",
    "METADATA.GOOGLE.INTERNAL.",
    "x.internal",
    "instance-data",
    "kubernetes.default.svc",
    "api.default.svc.cluster.local",
    "kafka.svc",
    "nas.lan",
    "wiki.intranet",
    "router.home.arpa",
    "abc.onion",
    "intranet",
    "com",
    "example.123",
    "example.0x7f",
    "-a.example.com",
    "a-.example.com",
    "a..example.com",
    ".example.com",
    "example.com..",
    "a" * 64 + ".example.com",
    ".".join(["a" * 60] * 5) + ".com",
    "exa mple.com",
    "exam%70le.com",
    "example.com%00.evil.net",
    "exa_mple.c*m",
    "*.example.com",
    "exa‍mple.com",
    "\u00ad.com",
    "xn--.com",
    "example!.com",
    "a,b.com",
    "",
]
WHOLE = [
    "",
    " ",
    "hooks.example.com",
    "//hooks.example.com/x",
    "https:hooks.example.com",
    "https:/hooks.example.com",
    "https:///hooks.example.com",
    "https:////hooks.example.com",
    "https://",
    "https:///",
    "https://?x",
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "gopher://hooks.example.com/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "unix:///var/run/x.sock",
    "wss://hooks.example.com/",
    " https://hooks.example.com/",
    "https://hooks.example.com/ ",
    "https://hooks.example.com/a b",
    "https://hooks.example.com/\r\nHost: evil",
    "https://hooks.example.com/\tx",
    "https://hooks.example.com/\x00",
    "https://hooks.example.com/\x7f",
    "https://hooks.example.com/\u2028",
    "https://hooks.example.com/\u202egpj",
    "https://hooks.example.com\\@127.0.0.1/",
    "https://127.0.0.1\\@hooks.example.com/",
    "https:\\\\hooks.example.com/",
    "https://user@hooks.example.com/",
    "https://user:secret@hooks.example.com/",
    "https://:@hooks.example.com/",
    "https://@hooks.example.com/",
    "https://hooks.example.com@127.0.0.1/",
    "https://127.0.0.1#@hooks.example.com/",
    "https://hooks.example.com#@127.0.0.1/",
    "https://hooks.example.com/#",
    "https://hooks.example.com/x#part",
    "https://hooks.example.com:/x",
    "https://hooks.example.com:0/",
    "https://hooks.example.com:-1/",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:80/",
    "https://hooks.example.com:9092/",
    "https://hooks.example.com:65536/",
    "https://hooks.example.com:99999/",
    "https://hooks.example.com:443x/",
    "https://hooks.example.com:４４３0/",  # noqa: RUF001
    "https://hooks.example.com:443:443/",
    "https://hooks.example.com:0x1bb/",
    "https://hooks.example.com:4 43/",
    "https://hooks.example.com/<script>",
    "https://hooks.example.com/{x}",
    "https://hooks.example.com/" + "a" * MAX_LENGTH,
]
GOOD = {
    "https://hooks.example.com": "https://hooks.example.com/",
    "https://hooks.example.com/": "https://hooks.example.com/",
    "HTTPS://Hooks.Example.COM/Path": "https://hooks.example.com/Path",
    "https://hooks.example.com:443/x": "https://hooks.example.com/x",
    "https://hooks.example.com:8443/x": "https://hooks.example.com:8443/x",
    "https://example.com/a/b/c?x=1&y=2": "https://example.com/a/b/c?x=1&y=2",
    "https://example.com?x=1": "https://example.com/?x=1",
    "https://example.com/a%20b": "https://example.com/a%20b",
    "https://example.com/%2e%2e/x": "https://example.com/x",
    "https://example.com/a/../b": "https://example.com/b",
    "https://example.com./x": "https://example.com/x",
    "https://example.com/?next=https://127.0.0.1/": "https://example.com/?next=https://127.0.0.1/",
    "https://example.com/@name": "https://example.com/@name",
    "https://example.com/a:b@c": "https://example.com/a:b@c",
    "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example/",
    "https://bücher.example/": "https://xn--bcher-kva.example/",
    "https://BÜCHER.example/": "https://xn--bcher-kva.example/",
    "https://1.example.com/": "https://1.example.com/",
    "https://127.0.0.1.example.com/": "https://127.0.0.1.example.com/",
    "https://a-b_c.example.co.uk/": "https://a-b_c.example.co.uk/",
    "https://localhost.example.com/": "https://localhost.example.com/",
    "https://internal.example.com/": "https://internal.example.com/",
    "https://localnet.dev/": "https://localnet.dev/",
    "https://example.com/path;v=1/$x,y": "https://example.com/path;v=1/$x,y",
    "https://example.com/%E2%82%AC": "https://example.com/%E2%82%AC",
}


def test_the_list_is_long_enough() -> None:
    """The bad and good spellings below are as many as the rules ask for."""
    assert len(ADDRESSES) + len(NAMES) + len(WHOLE) >= 100
    assert len(GOOD) >= 20


@pytest.mark.parametrize("policy", [SAFE, HTTP], ids=["safe", "http"])
@pytest.mark.parametrize("host", ADDRESSES + NAMES)
def test_a_host_that_is_no_public_name_is_refused(host: str, policy: UrlPolicy) -> None:
    """No spelling of an address, and no local or malformed name, becomes a webhook's URL."""
    with pytest.raises(UrlNotAllowed) as refused:
        check_url(f"https://{host}/hook", policy)
    assert refused.value.field == "url"


@pytest.mark.parametrize("url", WHOLE)
def test_a_malformed_url_is_refused(url: str) -> None:
    """Schemes, ports, user names, fragments, controls and slashes that do not belong are refused with a reason."""
    with pytest.raises(UrlNotAllowed, match=r"The URL is not allowed: [a-z]"):
        check_url(url, SAFE)


@pytest.mark.parametrize(("given_url", "stored"), GOOD.items())
def test_a_public_url_is_stored_in_one_form(given_url: str, stored: str) -> None:
    """A good URL is accepted, and its stored form is a fixed point."""
    assert check_url(given_url, SAFE) == stored
    assert check_url(stored, SAFE) == stored


@pytest.mark.parametrize("url", ["http://127.0.0.1:9999/x", "http://localhost:81/x", "http://[::1]:9999/x"])
def test_an_allow_list_opens_its_addresses_on_any_port(url: str) -> None:
    """Where the operator allows loopback, it may be called, and only there."""
    assert check_url(url, DEMO) == url
    with pytest.raises(UrlNotAllowed):
        check_url(url, SAFE)


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "8.8.8.8", "a.localhost", "0x7f000001", "2130706433"])
def test_an_allow_list_opens_nothing_else(host: str) -> None:
    """Allowing loopback allows no other address and no disguise."""
    with pytest.raises(UrlNotAllowed):
        check_url(f"http://{host}/", DEMO)


def test_http_needs_the_operators_word() -> None:
    """Plain http, and port 80, come with HOOKLINE_ALLOW_HTTP only."""
    assert check_url("http://hooks.example.com/", HTTP) == "http://hooks.example.com/"
    with pytest.raises(UrlNotAllowed, match="https"):
        check_url("http://hooks.example.com/", SAFE)


def test_ports_and_hosts_of_the_operator() -> None:
    """The operator chooses the ports, and names that must not be called."""
    policy = load(UrlPolicy, {"HOOKLINE_ALLOWED_PORTS": "443,9443", "HOOKLINE_DENY_HOSTS": "Shop.example.com,.intern.example.com"})
    assert check_url("https://hooks.example.com:9443/", policy) == "https://hooks.example.com:9443/"
    for url in (
        "https://hooks.example.com:8443/",
        "https://shop.example.com/",
        "https://SHOP.example.com./",
        "https://a.b.intern.example.com/",
    ):
        with pytest.raises(UrlNotAllowed):
            check_url(url, policy)
    assert check_url("https://hooks.example.com:1/", load(UrlPolicy, {"HOOKLINE_ALLOWED_PORTS": "any"})) == "https://hooks.example.com:1/"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("HOOKLINE_ALLOWED_PORTS", "0"),
        ("HOOKLINE_ALLOWED_PORTS", "x"),
        ("HOOKLINE_ALLOWED_PORTS", ","),
        ("HOOKLINE_DENY_ADDRESSES", "10.0.0.1/8"),
    ],
)
def test_a_wrong_policy_is_refused_at_start(variable: str, text: str) -> None:
    """A policy that cannot be read ends the start, naming its variable."""
    with pytest.raises(ConfigError, match=variable):
        load(UrlPolicy, {variable: text})


@given(st.text(max_size=80))
def test_any_text_is_refused_cleanly_or_stored_stably(text: str) -> None:
    """Whatever follows the scheme: a clear refusal, or a form that is accepted as it is."""
    try:
        stored = check_url("https://" + text, SAFE)
    except UrlNotAllowed:
        return
    assert check_url(stored, SAFE) == stored
