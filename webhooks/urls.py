"""Which URLs a webhook may have: checked when saved, rebuilt from its parts, and that form alone is stored and called."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

import idna
from yarl import URL

from hookline.kernel.config import boolean, setting, words
from hookline.kernel.errors import UrlNotAllowed
from hookline.webhooks import addresses
from hookline.webhooks.addresses import Network, networks

MAX_LENGTH: Final = 2_048
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f-\x9f\\<>\"`{}|^\u2028\u2029\u200b-\u200f\u202a-\u202e\ufeff]")
_SHAPE: Final = re.compile(r"(https?)://(?!/)", re.IGNORECASE)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_NAMES: Final = frozenset({"localhost", "metadata", "metadata.google.internal", "instance-data", "kubernetes.default.svc"})
_SUFFIXES: Final = (
    ".localhost",
    ".local",
    ".internal",
    ".localdomain",
    ".svc",
    ".cluster.local",
    ".home.arpa",
    ".intranet",
    ".lan",
    ".onion",
)
_MAX_HOST: Final = 253
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def ports(text: str) -> tuple[int, ...]:
    """Parse `443,8443`, or `any`, which is the empty tuple; raise `ValueError`."""
    if text == "any":
        return ()
    found = tuple(int(part) for part in words(text))
    if not found or not all(0 < port < 2**16 for port in found):  # the range of ports
        raise ValueError("must be ports from 1 to 65535, or any")
    return found


def hosts(text: str) -> tuple[str, ...]:
    """Parse `shop.example.com,.intern.example.com`; a leading dot stands for every name below. Raise `ValueError` for what is no name."""
    return tuple(_host_setting(name) for name in words(text))


def _host_setting(text: str) -> str:
    """Return a name as URLs hold it: one that could match none would close nothing, and nobody would notice."""
    try:
        name = _ascii_host(text.removeprefix("."))
    except UrlNotAllowed:
        name = ""
    if _address(name) is None and not all(_LABEL.match(label) for label in name.split(".")):
        raise ValueError(f"{text!r} is no host name: write shop.example.com, or .example.com for all below it")
    return f".{name}" if text.startswith(".") else name


_REMEDY: Final = "Give a public https URL with a host name."
_PLAIN: Final = f"{_REMEDY} For receivers of your own, whoever runs Hookline may set HOOKLINE_ALLOW_HTTP=true."
_OWN_NETWORK: Final = f"{_REMEDY} For receivers in your own network, whoever runs Hookline may name it in HOOKLINE_ALLOW_ADDRESSES."


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlPolicy:
    """What the operator lets webhooks call. The defaults are the safe ones; an allow list is for tests and the demo."""

    allow_http: bool = setting("HOOKLINE_ALLOW_HTTP", "false", "whether webhooks may use http", boolean)
    allowed_ports: tuple[int, ...] = setting(
        "HOOKLINE_ALLOWED_PORTS", "443,8443", "ports webhooks may use (80 too where http is allowed), or any", ports
    )
    allow_addresses: tuple[Network, ...] = setting(
        "HOOKLINE_ALLOW_ADDRESSES", "", "networks that may be called although they are not public, any port", networks
    )
    deny_addresses: tuple[Network, ...] = setting(
        "HOOKLINE_DENY_ADDRESSES", "", "networks that must not be called, such as your own", networks
    )
    deny_hosts: tuple[str, ...] = setting(
        "HOOKLINE_DENY_HOSTS", "", "host names that must not be called, such as your own; .example.com stands for all below it", hosts
    )


def refusal(ip: str, policy: UrlPolicy) -> str:
    """Return why an address must not be called, an empty text when it may."""
    return addresses.refused(ip, policy.allow_addresses, policy.deny_addresses)


def closed(scheme: str, host: str, port: int, policy: UrlPolicy) -> str:
    """Return why the operator lets nobody call such a place, an empty text when it may be called; `refusal` tells of its addresses.

    The same rules as `check_url` has, for URLs that were saved under another policy, or by somebody who asked nobody.
    """
    name = host.lower().removesuffix(".")
    if scheme == "http" and not policy.allow_http:
        return "plain http is not allowed"
    if _denied(name, policy):
        return "the operator denies this host"
    if not _local(name, policy) and not _open(port, policy):
        return f"port {port} is not allowed"
    return ""


def check_url(text: str, policy: UrlPolicy) -> str:
    """Return the URL as it is stored and called; raise `UrlNotAllowed` with the reason."""
    if not isinstance(text, str) or not text:
        raise _no("it is empty")
    if len(text) > MAX_LENGTH:
        raise _no(f"it is longer than {MAX_LENGTH} characters")
    if _FORBIDDEN.search(text):
        raise _no("it holds spaces, control characters or characters that URLs do not have")
    found = _parsed(text)
    if found.scheme == "http" and not policy.allow_http:
        raise _no("it must begin with https://", _PLAIN)
    _host(found.host, policy)
    _port(found, policy)
    stored = str(found)
    if len(stored) > MAX_LENGTH:
        raise _no(f"it is longer than {MAX_LENGTH} characters when it is written in ASCII")
    return stored


@dataclass(frozen=True, slots=True)
class _Parts:
    """A URL taken apart: `host` is ASCII without brackets, `target` the encoded path and query."""

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


def _parsed(text: str) -> _Parts:
    if not _SHAPE.match(text):
        raise _no("it must begin with https:// and a host")
    authority = re.split(r"[/?#]", text.split("//", 1)[1], maxsplit=1)[0]
    if "@" in authority:
        raise _no("it must not hold a user name or password: put them into a header")
    if "#" in text:
        raise _no("it must not hold a fragment (#…)")
    if authority.endswith(":"):
        raise _no("its port is empty")
    try:
        url = URL(text)
        host, port = url.host, url.port
    except (ValueError, TypeError, UnicodeError) as error:
        raise _no("it cannot be parsed") from error
    if not host or port is None or not 0 < port < 2**16:  # the range of ports
        raise _no("it has no valid host and port")
    if authority.startswith("[") and ":" not in host:
        raise _no("what stands in [ ] is no IPv6 address")
    return _Parts(url.scheme, _ascii_host(host), port, url.raw_path_qs or "/")


def _ascii_host(host: str) -> str:
    """Return the host in lower-case ASCII (UTS 46, IDNA 2008) without a dot at its end, so that what is checked is what is called."""
    if ":" in host:
        return host
    try:
        found = host if host.isascii() else idna.encode(host, uts46=True, std3_rules=True).decode()
    except idna.IDNAError as error:
        raise _no("its host is not a valid name") from error
    return found.lower().removesuffix(".")


def _host(host: str, policy: UrlPolicy) -> None:
    """Refuse hosts that are no public name, but for those in the operator's own network that were opened."""
    if _denied(host, policy):
        raise _no(f"{host[:80]!r} is not a public host", _OWN_NETWORK)
    if _local(host, policy):
        return
    address = _address(host)
    if address is not None:
        why = refusal(address, policy)
        raise _no(f"it leads to an address ({why}): use a host name" if why else "it must use a host name, not an address", _OWN_NETWORK)
    _name(host)


def _denied(host: str, policy: UrlPolicy) -> bool:
    return host in policy.deny_hosts or any(name.startswith(".") and host.endswith(name) for name in policy.deny_hosts)


def _local(host: str, policy: UrlPolicy) -> bool:
    """Tell whether the host itself is an address that the operator has opened, on any port; `localhost` is one."""
    address = "127.0.0.1" if host == "localhost" else _address(host)
    if address is None or not policy.allow_addresses or refusal(address, policy):
        return False
    return host == "localhost" or any(ipaddress.ip_address(address) in network for network in policy.allow_addresses)


def _address(host: str) -> str | None:
    """Return the address when the host is one in plain spelling, None otherwise."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None


def _name(host: str) -> None:
    labels = host.split(".")
    if host in _NAMES or host.endswith(_SUFFIXES):
        raise _no(f"{host[:80]!r} is not a public host", _OWN_NETWORK)
    if len(host) > _MAX_HOST or not all(_LABEL.match(label) for label in labels):
        raise _no("its host is not a valid name")
    if len(labels) < 2 or labels[-1].isdigit() or not re.search("[a-z]", labels[-1]):  # noqa: PLR2004  # a name and a domain
        raise _no("its host must be a full name such as hooks.example.com")
    if re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)", labels[-1]):
        raise _no("its host is an address in disguise")


def _port(found: _Parts, policy: UrlPolicy) -> None:
    if not _local(found.host, policy) and not _open(found.port, policy):
        allowed = " or ".join(str(good) for good in sorted(_ports(policy)))
        raise _no(f"port {found.port} is not allowed: use {allowed}")


def _open(port: int, policy: UrlPolicy) -> bool:
    return not policy.allowed_ports or port in _ports(policy)


def _ports(policy: UrlPolicy) -> tuple[int, ...]:
    return (*policy.allowed_ports, 80) if policy.allow_http else policy.allowed_ports


def _no(reason: str, remedy: str = _REMEDY) -> UrlNotAllowed:
    return UrlNotAllowed(f"The URL is not allowed: {reason}", field="url", remedy=remedy)
