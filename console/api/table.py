"""The route table: every endpoint of the REST API."""

from __future__ import annotations

from typing import Final

from hookline.console.api import event_types, webhook_states, webhooks
from hookline.console.http.routes import Route

ROUTES: Final[tuple[Route, ...]] = (*event_types.ROUTES, *webhooks.ROUTES, *webhook_states.ROUTES)
