"""The route table: every endpoint of the REST API."""

from __future__ import annotations

from typing import Final

from hookline.console.api import event_types
from hookline.console.http.routes import Route

ROUTES: Final[tuple[Route, ...]] = (*event_types.ROUTES,)
