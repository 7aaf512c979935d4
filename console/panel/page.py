"""One row per page of the panel: where it is, who may see it, who shows it and who acts on its form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

if TYPE_CHECKING:
    from hookline.console.panel.visit import Visit

Handler: TypeAlias = "Callable[[Visit], Awaitable[web.StreamResponse]]"


class Access(StrEnum):
    """Who may come to a page."""

    PUBLIC = "public"
    """Anybody."""
    PERSON = "person"
    """Whoever is signed in."""
    STORE = "store"
    """Whoever is signed in and may see the store of the path; for others it is not there."""
    OPERATOR = "operator"
    """Operators; for others it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page: `show` answers GET, `act` answers POST. `section` is the entry of the menu that it belongs to.

    `grave` acts ask for the password again when it was typed long ago; `back` is where to go on after that when `show` is None, with the
    path's ids in braces; `carried` are the fields of the form that `show` fills in again from its address then. Neither `show` nor `act`
    runs for whom `access` shuts out, or who lacks `scope` (empty: none is needed). `first` pages are also of a store that has nothing yet.
    """

    name: str
    path: str
    access: Access = Access.STORE
    section: str = ""
    scope: str = ""
    show: Handler | None = None
    act: Handler | None = None
    grave: bool = False
    back: str = "/"
    carried: tuple[str, ...] = ()
    first: bool = False
