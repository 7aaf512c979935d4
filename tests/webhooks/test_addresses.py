"""Addresses: what a webhook may lead to, asked of every address at every connect."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.webhooks.addresses import networks, refused

pytestmark = pytest.mark.unit

BAD = {
    # IPv4
    **dict.fromkeys(["0.0.0.0", "0.255.255.255"], "unspecified"),
    **dict.fromkeys(["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"], "private"),
    **dict.fromkeys(["100.64.0.0", "100.127.255.255"], "carrier-grade NAT"),
    **dict.fromkeys(["127.0.0.1", "127.255.255.255"], "loopback"),
    **dict.fromkeys(["169.254.0.0", "169.254.169.254", "169.254.255.255"], "link-local"),
    "168.63.129.16": "cloud metadata",
    **dict.fromkeys(
        ["192.0.0.0", "192.0.0.192", "192.31.196.1", "192.52.193.1", "192.175.48.1", "240.0.0.0", "255.255.255.255"], "reserved"
    ),
    **dict.fromkeys(["192.0.2.1", "198.51.100.1", "203.0.113.255"], "documentation"),
    "192.88.99.1": "6to4 relay",
    **dict.fromkeys(["198.18.0.0", "198.19.255.255"], "benchmarking"),
    **dict.fromkeys(["224.0.0.1", "239.255.255.255"], "multicast"),
    # IPv6
    "::": "unspecified",
    "::1": "loopback",
    "0:0:0:0:0:0:0:1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:7f00:1": "loopback",
    "::ffff:169.254.169.254": "link-local",
    "::ffff:10.0.0.1": "private",
    "::127.0.0.1": "not a public",
    "::ffff:0:127.0.0.1": "not a public",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b:1::1": "not a public",
    "100::1": "not a public",
    "2001::1": "Teredo",
    "2001:0:7f00:1::": "Teredo",
    "2001:20::1": "Teredo or protocol",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "6to4",
    "2620:4f:8000::1": "reserved",
    "3fff::1": "documentation",
    "4000::1": "not a public",
    "5f00::1": "not a public",
    "fc00::1": "unique local",
    "fd00:ec2::254": "unique local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fe80::1%25lo": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    # no addresses at all
    **dict.fromkeys(
        ["", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "1.2.3.4.5", "1.2.3.256", "::g", "1.2.3.4 ", "①"], "not an"
    ),
}
GOOD = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"),
    *("172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
    *("2606:4700:4700::1111", "2a00:1450:4001::1", "2003::1", "2620:4f:7fff::1", "::ffff:8.8.8.8"),
]


@pytest.mark.parametrize("address", BAD)
def test_an_address_inside_is_refused_with_its_kind(address: str) -> None:
    """Loopback, private, link-local, metadata, reserved, multicast, transition: each spelling is refused."""
    assert BAD[address] in refused(address, (), ())


@pytest.mark.parametrize("address", GOOD)
def test_a_public_address_may_be_called(address: str) -> None:
    """What lies next to a refused network is free."""
    assert refused(address, (), ()) == ""


def test_there_are_enough_of_both() -> None:
    """At least 50 bad and 11 good ones."""
    assert len(BAD) >= 50
    assert len(GOOD) >= 11


def test_an_allow_list_opens_and_a_deny_list_closes() -> None:
    """The operator's word: allow opens what is closed, deny closes even that, mapped addresses count as IPv4."""
    allow, deny = networks("127.0.0.0/8, ::1/128"), networks("127.0.0.9/32,8.8.8.0/24")
    assert refused("127.0.0.1", allow, deny) == ""
    assert refused("::ffff:127.0.0.1", allow, deny) == ""
    assert refused("::1", allow, deny) == ""
    assert refused("127.0.0.9", allow, deny) == "denied by the operator"
    assert refused("::ffff:8.8.8.8", allow, deny) == "denied by the operator"
    assert refused("10.0.0.1", allow, deny) == "private"
    assert refused("fe80::1", allow, deny) == "link-local"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "x", "10.0.0.0/33", "1.2.3", "::/129"])
def test_a_network_that_is_none_is_refused(text: str) -> None:
    """A list that cannot be read is no list."""
    with pytest.raises(ValueError, match=r".+"):
        networks(text)


@given(st.integers(0, 2**32 - 1))
def test_ipv4_is_never_freer_than_python_says(number: int) -> None:
    """Whatever Python calls private, loopback, link-local, multicast, reserved or unspecified is refused here too."""
    address = ipaddress.IPv4Address(number)
    inside = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast or address.is_reserved
    if inside or address.is_unspecified:
        assert refused(str(address), (), ())


@given(st.integers(0, 2**32 - 1))
def test_a_mapped_address_is_judged_as_the_one_inside(number: int) -> None:
    """`::ffff:a.b.c.d` is what a.b.c.d is."""
    address = ipaddress.IPv4Address(number)
    assert refused(f"::ffff:{address}", (), ()) == refused(str(address), (), ())


@given(st.text(max_size=40))
def test_any_text_is_judged(text: str) -> None:
    """Whatever a resolver hands over, there is an answer."""
    assert isinstance(refused(text, (), ()), str)
