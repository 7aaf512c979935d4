"""Which IP addresses a webhook may lead to; asked at every connect.

The list is our own: `ipaddress.is_global` lets NAT64, mapped, site-local and multicast addresses through.
IPv6 is allowed only inside 2000::/3, less the transition and documentation ranges.
"""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

from hookline.kernel.config import words

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_DENIED_V4: Final = tuple(
    (ipaddress.IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud metadata"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_ALLOWED_V6: Final = ipaddress.IPv6Network("2000::/3")
_DENIED_V6: Final = tuple(
    (ipaddress.IPv6Network(network), why)
    for network, why in (
        ("2001::/23", "Teredo or protocol assignment"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "reserved"),
        ("3fff::/20", "documentation"),
    )
)
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_NAMED_V6: Final = tuple(
    (ipaddress.IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b::/96", "NAT64"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)


def networks(text: str) -> tuple[Network, ...]:
    """Parse `127.0.0.0/8,::1/128`; networks of IPv4-mapped addresses become those of IPv4. Raise `ValueError`."""
    return tuple(_unmapped(ipaddress.ip_network(part)) for part in words(text))


def _unmapped(network: Network) -> Network:
    """Return the IPv4 network that a mapped one holds: `refused` judges mapped addresses as IPv4, and would never find them in it."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - _MAPPED.prefixlen))
    return network


def refused(ip: str, allow: tuple[Network, ...], deny: tuple[Network, ...]) -> str:
    """Return why an address must not be called, an empty text when it may.

    `deny` wins over `allow`, `allow` over the built-in list. Scope ids are ignored, IPv4-mapped addresses count as
    the IPv4 address they hold; anything that is not an address is refused.
    """
    try:
        address: Address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return "not an address"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if _within(address, deny):
        return "denied by the operator"
    if _within(address, allow):
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return next((why for network, why in _DENIED_V4 if address in network), "")
    return _refused_v6(address)


def _refused_v6(address: ipaddress.IPv6Address) -> str:
    if address in _ALLOWED_V6:
        return next((why for network, why in _DENIED_V6 if address in network), "")
    return next((why for network, why in _NAMED_V6 if address in network), "not a public IPv6 address")


def _within(address: Address, those: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in those)
