"""URLs: every spelling of a place that must not be called is refused, and what is stored is what is called."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.config import load
from hookline.kernel.errors import ConfigError, UrlNotAllowed
from hookline.webhooks.urls import UrlPolicy, check_url, closed
from tests.webhooks.spellings import GOOD, HOSTS, INSIDE, NAMES, OUTSIDE, WHOLE

pytestmark = pytest.mark.unit

SAFE = load(UrlPolicy, {})
HTTP = load(UrlPolicy, {"HOOKLINE_ALLOW_HTTP": "true"})
DEMO = load(UrlPolicy, {"HOOKLINE_ALLOW_HTTP": "true", "HOOKLINE_ALLOW_ADDRESSES": "127.0.0.0/8,::1/128"})

LITERALS = [f"[{ip}]" if ":" in ip else ip for ip in (*INSIDE, *OUTSIDE)]


def test_the_table_is_long_enough() -> None:
    """Bad and good spellings are as many as the rules ask for, each once."""
    bad = [*INSIDE, *HOSTS, *NAMES, *WHOLE]
    assert len(set(HOSTS)) >= 80
    assert len(set(bad)) >= 200
    assert len({*GOOD, *OUTSIDE}) >= 40


@pytest.mark.parametrize("policy", [SAFE, HTTP], ids=["safe", "http"])
@pytest.mark.parametrize("host", HOSTS + NAMES + LITERALS)
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


@pytest.mark.parametrize("written", ["b\u00fccher.example.com", "B\u00dcCHER.example.com.", ".example.com", "xn--bcher-kva.example.com"])
def test_a_denied_name_may_be_written_as_it_is_read(written: str) -> None:
    """Names of other alphabets are compared in the form that URLs are called in."""
    with pytest.raises(UrlNotAllowed, match="not a public host"):
        check_url("https://b\u00fccher.example.com/", load(UrlPolicy, {"HOOKLINE_DENY_HOSTS": written}))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_closing_wins(host: str) -> None:
    """A host that is denied is refused though its address is open."""
    opened = {"HOOKLINE_ALLOW_HTTP": "true", "HOOKLINE_ALLOW_ADDRESSES": "127.0.0.0/8"}
    assert check_url(f"http://{host}:81/", load(UrlPolicy, opened)) == f"http://{host}:81/"
    with pytest.raises(UrlNotAllowed, match="not a public host"):
        check_url(f"http://{host}:81/", load(UrlPolicy, {**opened, "HOOKLINE_DENY_HOSTS": host}))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"HOOKLINE_ALLOW_HTTP": "true"},
        {"HOOKLINE_ALLOWED_PORTS": "any"},
        {"HOOKLINE_ALLOWED_PORTS": "8443", "HOOKLINE_ALLOW_HTTP": "true"},
        {"HOOKLINE_DENY_HOSTS": ".example.com"},
        {"HOOKLINE_DENY_HOSTS": "hooks.example.com", "HOOKLINE_ALLOW_HTTP": "true", "HOOKLINE_ALLOWED_PORTS": "any"},
        {"HOOKLINE_ALLOW_HTTP": "true", "HOOKLINE_ALLOW_ADDRESSES": "127.0.0.0/8"},
    ],
)
def test_what_is_asked_at_each_call_is_what_was_asked_when_it_was_saved(settings: dict[str, str]) -> None:
    """Scheme, host and port are judged alike, so that what may be saved may be called, and nothing else of those."""
    policy = load(UrlPolicy, settings)
    for host, port in itertools.product(("hooks.example.com", "shop.example.org"), (80, 443, 8443, 9443)):
        for scheme in ("http", "https"):
            try:
                check_url(f"{scheme}://{host}:{port}/", policy)
                saved = True
            except UrlNotAllowed:
                saved = False
            assert (closed(scheme, host, port, policy) == "") == saved


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("HOOKLINE_ALLOWED_PORTS", "0"),
        ("HOOKLINE_ALLOWED_PORTS", "x"),
        ("HOOKLINE_ALLOWED_PORTS", ","),
        ("HOOKLINE_DENY_ADDRESSES", "10.0.0.1/8"),
        ("HOOKLINE_DENY_HOSTS", "*.example.com"),
        ("HOOKLINE_DENY_HOSTS", "https://shop.example.com"),
        ("HOOKLINE_DENY_HOSTS", "shop.example.com/hook"),
        ("HOOKLINE_DENY_HOSTS", "."),
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
