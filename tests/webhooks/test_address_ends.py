"""Both ends of every network that is closed, and what lies next to them."""

from __future__ import annotations

import ipaddress

import pytest

from hookline.webhooks.addresses import refused

pytestmark = pytest.mark.unit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
CLOSED = {
    "0.0.0.0/8": "unspecified",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud metadata",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "reserved",
    "192.52.193.0/24": "reserved",
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "reserved",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "2001::/23": "Teredo or protocol assignment",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "2620:4f:8000::/48": "reserved",
    "3fff::/20": "documentation",
    "::/128": "unspecified",
    "::1/128": "loopback",
    "64:ff9b::/96": "NAT64",
    "fc00::/7": "unique local",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}
"""Written out once more, and not read from the module: a network that shrinks or grows there is seen here."""
NETWORKS = {ipaddress.ip_network(text): why for text, why in CLOSED.items()}
PUBLIC = ipaddress.IPv6Network("2000::/3")


def meant(address: Address) -> str:
    """Return why an address is closed, by the table above and nothing else; an empty text when it is free."""
    found = [why for network, why in NETWORKS.items() if network.version == address.version and address in network]
    if found or (address.version == PUBLIC.version and address not in PUBLIC):
        return found[0] if found else "not a public IPv6 address"
    return ""


def spelt(address: Address) -> list[str]:
    """Return an address as resolvers give it: one of IPv4 also as IPv6 maps it."""
    return [str(address), f"::ffff:{address}"] if address.version == 4 else [str(address)]


def around(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> list[Address]:
    """Return what lies next to a network on both sides, where there is anything."""
    first, last = int(network.network_address), int(network.broadcast_address)
    make = type(network.network_address)
    return [make(number) for number in (first - 1, last + 1) if 0 <= number < 2**network.max_prefixlen]


@pytest.mark.parametrize("text", CLOSED)
def test_a_network_is_closed_from_its_first_address_to_its_last(text: str) -> None:
    """With its reason, in every spelling."""
    network = ipaddress.ip_network(text)
    for end in (network.network_address, network.broadcast_address):
        for address in spelt(end):
            assert refused(address, (), ()) == CLOSED[text], address


@pytest.mark.parametrize("network", [*NETWORKS, PUBLIC], ids=str)
def test_what_lies_next_to_a_network_is_what_the_table_says(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    """Free, or closed for the reason of the network that it is in itself; so no network reaches further than is written."""
    for neighbour in around(network):
        for address in spelt(neighbour):
            assert refused(address, (), ()) == meant(neighbour), address


def test_public_ipv6_is_free_at_both_ends() -> None:
    """2000::/3, from its first address to its last."""
    for end in (PUBLIC.network_address, PUBLIC.broadcast_address):
        assert refused(str(end), (), ()) == meant(end) == ""
