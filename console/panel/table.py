"""The page table: every page of the panel."""

from __future__ import annotations

from typing import Final

from hookline.console.panel.page import Page
from hookline.console.panel.pages import (
    account,
    api_keys,
    audit,
    catalogue,
    dead_letters,
    delivery,
    event,
    log,
    overview,
    replays,
    signing_in,
    stores,
    users,
    webhook,
    webhook_form,
    webhook_template,
    webhook_trial,
    webhooks,
)

PAGES: Final[tuple[Page, ...]] = (
    *signing_in.PAGES,
    *account.PAGES,
    *stores.PAGES,
    *users.PAGES,
    *audit.PAGES,
    *overview.PAGES,
    *log.PAGES,
    *delivery.PAGES,
    *event.PAGES,
    *webhooks.PAGES,
    *webhook_form.PAGES,
    *webhook_template.PAGES,
    *webhook.PAGES,
    *webhook_trial.PAGES,
    *dead_letters.PAGES,
    *replays.PAGES,
    *catalogue.PAGES,
    *api_keys.PAGES,
)
