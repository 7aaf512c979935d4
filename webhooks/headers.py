"""The headers that a store may put on its calls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from hookline.kernel.errors import InputError

MOST: Final = 64
_MAX_VALUE: Final = 4_096
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_RESERVED: Final = frozenset(
    {
        "host",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "cookie",
        "user-agent",
        "keep-alive",
        "expect",
        "traceparent",
        "accept-encoding",
    }
)
_RESERVED_PREFIXES: Final = ("content-", "webhook-", "hookline-", "proxy-", "sec-", ":")


def check_headers(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the headers with lower-case names; raise `InputError` naming the one that is not allowed."""
    found: dict[str, str] = {}
    for name, value in pairs:
        lower = _name(name)
        if not isinstance(value, str) or len(value) > _MAX_VALUE or not _VALUE.match(value) or value != value.strip():
            said = f"The value of the header {lower} must be up to {_MAX_VALUE} printable Latin-1 characters"
            raise InputError(said, field=f"headers.{lower}")
        if lower in found:
            raise InputError(f"The header {lower} is given twice", field=f"headers.{lower}")
        found[lower] = value
    if len(found) > MOST:
        raise InputError(f"There are more than {MOST} headers", field="headers")
    return tuple(found.items())


def _name(name: object) -> str:
    if not isinstance(name, str) or not _TOKEN.match(name):
        raise InputError(f"{str(name)[:40]!r} is no header name", field="headers")
    lower = name.lower()
    if lower in _RESERVED or lower.startswith(_RESERVED_PREFIXES):
        raise InputError(f"The header {lower} is set by Hookline", field=f"headers.{lower}")
    return lower
