"""Addresses: what a webhook may lead to, asked of every address at every connect."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.webhooks.addresses import networks, refused
from tests.webhooks.spellings import INSIDE, NO_ADDRESS, OUTSIDE

pytestmark = pytest.mark.unit

BAD = {**INSIDE, **dict.fromkeys(NO_ADDRESS, "not an")}


@pytest.mark.parametrize("address", BAD)
def test_an_address_inside_is_refused_with_its_kind(address: str) -> None:
    """Loopback, private, link-local, metadata, reserved, multicast, transition: each spelling is refused."""
    assert BAD[address] in refused(address, (), ())


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_may_be_called(address: str) -> None:
    """What lies next to a refused network is free."""
    assert refused(address, (), ()) == ""


def test_there_are_enough_of_both() -> None:
    """At least 50 bad and 11 good ones."""
    assert len(BAD) >= 50
    assert len(OUTSIDE) >= 11


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


@pytest.mark.parametrize(
    ("text", "closed", "free"),
    [
        ("::ffff:8.8.8.8/128", "8.8.8.8", "8.8.8.9"),
        ("::ffff:8.8.8.8", "8.8.8.8", "8.8.8.9"),
        ("::ffff:808:0/112", "8.8.255.255", "8.9.0.0"),
        ("::ffff:0:0/96", "203.0.114.1", "2606:4700::1111"),
        ("::/0", "2606:4700::1111", "8.8.8.8"),
    ],
)
def test_a_mapped_network_is_the_one_inside(text: str, closed: str, free: str) -> None:
    """An operator who writes a network as mapped addresses closes and opens what they hold; a wider IPv6 network is about IPv6."""
    assert refused(closed, (), networks(text)) == "denied by the operator"
    assert refused(free, (), networks(text)) == ""
    if "." in closed:
        assert refused(f"::ffff:{closed}", (), networks(text)) == "denied by the operator"
    assert refused("::ffff:10.1.2.3", networks("::ffff:10.0.0.0/104"), ()) == refused("10.1.2.3", networks("::ffff:a00:0/104"), ()) == ""


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
