"""The panel's cookies: names, and how they are set. None can be read by a script, none goes with another site's request."""

from __future__ import annotations

import secrets
from typing import Final

from aiohttp import web

SESSION: Final = "hookline_session"
VISITOR: Final = "hookline_visitor"
THEME: Final = "hookline_theme"
THEMES: Final = ("light", "dark")
_HOST: Final = "__Host-"
_YEAR_S: Final = 31_536_000


class Cookies:
    """Reads and sets cookies; over TLS with the prefix that keeps other hosts and plain HTTP from setting them."""

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure

    def name(self, cookie: str) -> str:
        """Return what a cookie is called in browsers."""
        return _HOST + cookie if self._secure else cookie

    def read(self, request: web.Request, cookie: str) -> str:
        """Return a cookie's value, empty when there is none."""
        return request.cookies.get(self.name(cookie), "")

    def put(self, response: web.StreamResponse, cookie: str, value: str) -> None:
        """Set a cookie for as long as the browser runs; the theme for a year."""
        age = _YEAR_S if cookie == THEME else None
        response.set_cookie(self.name(cookie), value, max_age=age, path="/", secure=self._secure, httponly=True, samesite="Lax")

    def drop(self, response: web.StreamResponse, cookie: str) -> None:
        """Remove a cookie."""
        response.del_cookie(self.name(cookie), path="/", secure=self._secure, httponly=True, samesite="Lax")


def new_visitor() -> str:
    """Return a value for the cookie of somebody who has not signed in, to which the sign-in form is bound."""
    return secrets.token_urlsafe(24)
