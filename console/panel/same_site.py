"""Whether a request that changes something was sent by a page of ours."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import hdrs, web

from hookline.console.http.problems import Code, Refused

_FETCH_SITE = "Sec-Fetch-Site"
_OPAQUE = "null"


def check(request: web.Request, own_url: str) -> None:
    """Raise `Refused` (403) for what another site sent.

    Browsers say so in Sec-Fetch-Site, where the connection is trustworthy; else the Origin counts. It is `null` for forms of pages
    that send no referrer, as ours do: then the form's token decides alone, which is asked for in any case.
    """
    site = request.headers.get(_FETCH_SITE)
    if site is not None:
        if site != "same-origin":
            raise _foreign()
        return
    origin = request.headers.get(hdrs.ORIGIN, _OPAQUE)
    if origin == _OPAQUE:
        return
    if origin != own_url and urlsplit(origin).netloc != request.host:
        raise _foreign()


def _foreign() -> Refused:
    return Refused(Code.MISSING_SCOPE, "This request came from another site", remedy="Open the panel itself and repeat what you did there.")
