"""The menu: which pages whoever comes can go to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hookline.console.panel.visit import Visit


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu."""

    title: str
    path: str
    current: bool


_OF_A_STORE: Final = (
    ("overview", "Overview", "", "results:read"),
    ("webhooks", "Webhooks", "webhooks", "hooks:read"),
    ("log", "Delivery log", "log", "results:read"),
    ("dead_letters", "Dead letters", "dead-letters", "results:read"),
    ("replays", "Replays", "replays", "results:read"),
    ("catalogue", "Event catalogue", "catalogue", "hooks:read"),
    ("keys", "API keys", "keys", "admin"),
    ("users", "Users", "users", "admin"),
    ("audit", "Audit trail", "audit", "admin"),
)
"""Section, title, place below the store, and the scope without which it is not shown."""


def menu(visit: Visit) -> list[Entry]:
    """Return the menu of a page: that of its store, or the operator's."""
    section = visit.page.section
    if visit.store:
        return [
            Entry(title, visit.url(place) if place else visit.url(), section == name)
            for name, title, place, scope in _OF_A_STORE
            if visit.can(scope)
        ]
    if visit.can("operator"):
        return [
            Entry("Stores", "/stores", section == "stores"),
            Entry("Users", "/users", section == "users"),
            Entry("Audit trail", "/audit", section == "audit"),
        ]
    return [Entry("Back to the store", "/", current=False)]
