"""The route table: every endpoint of the REST API."""

from __future__ import annotations

from typing import Final

from hookline.console.api import (
    api_keys,
    audit,
    dead_letters,
    deliveries,
    event_fates,
    event_types,
    events,
    explain,
    exports,
    reference,
    replays,
    statistics,
    stores,
    template_trials,
    trials,
    webhook_states,
    webhooks,
)
from hookline.console.http.routes import Route

RESOURCES: Final[tuple[Route, ...]] = (
    *event_types.ROUTES,
    *webhooks.ROUTES,
    *webhook_states.ROUTES,
    *trials.ROUTES,
    *template_trials.ROUTES,
    *events.ROUTES,
    *event_fates.ROUTES,
    *explain.ROUTES,
    *exports.ROUTES,
    *deliveries.ROUTES,
    *statistics.ROUTES,
    *dead_letters.ROUTES,
    *replays.ROUTES,
    *api_keys.ROUTES,
    *audit.ROUTES,
    *stores.ROUTES,
)
ROUTES: Final[tuple[Route, ...]] = (*RESOURCES, *reference.routes(RESOURCES))
