"""Whether the host of a URL can be found, asked while somebody types it: a URL may be allowed and lead nowhere."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from yarl import URL

from hookline.webhooks.urls import UrlPolicy, refusal

_WAIT_S: Final = 2.0
_POOL: Final = ThreadPoolExecutor(4, thread_name_prefix="hosts")
"""Names that hang hold these threads, and none that anything else waits for."""
_UNKNOWN: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


async def hindrance(url: str, policy: UrlPolicy) -> str:
    """Return what would keep a call from an allowed URL's host just now; empty for nothing, and for what cannot be told in two seconds."""
    host = URL(url).host or ""
    try:
        async with asyncio.timeout(_WAIT_S):
            found = await asyncio.get_running_loop().run_in_executor(_POOL, _addresses, host)
    except TimeoutError:
        return ""
    except (socket.gaierror, UnicodeError) as error:
        known = isinstance(error, socket.gaierror) and error.errno not in _UNKNOWN
        return "" if known else f"nobody knows the host name {host} just now. Mind its spelling: every call would fail"
    refused = [refusal(str(address[0]), policy) for _, _, _, _, address in found]
    return f"{host} leads to an address that is not called: {refused[0]}" if refused and all(refused) else ""


def _addresses(host: str) -> list[Any]:
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
