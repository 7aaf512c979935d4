"""One delivery: every attempt with what was sent and what came back; having it made again."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hookline.console.api.deliveries_models import DeliveryDetail, DeliveryResent
from hookline.console.panel.page import Page
from hookline.console.panel.visit import Visit
from hookline.webhooks.model import State

_SENT: Final = "resent"


async def delivery(visit: Visit) -> web.Response:
    """Show the delivery."""
    found = await visit.ask(DeliveryDetail, "deliveries.get", visit.ids["id"])
    webhook = visit.services.parts.registry.get(found.webhook_id)
    awaited = found.outcome == "retrying" or visit.done == _SENT
    return visit.show(
        "delivery.html",
        found=found,
        webhook=webhook,
        hindrance=hindrance(found, webhook.state if webhook is not None else None),
        news=visit.url("log", found.id, "news", after=found.attempts[-1].id) if awaited else "",
    )


def hindrance(found: DeliveryDetail, state: State | None) -> str:
    """Return why the delivery cannot be made again, empty when it can be; None is the state of a webhook that was deleted."""
    if all(attempt.trigger == "test" for attempt in found.attempts):
        return "This was a test call; send another from the webhook's page."
    if state is None:
        return "Its webhook was deleted, so it cannot be sent again."
    return "Its webhook is disabled; enable it to send this again." if state is State.DISABLED else ""


async def attempts(visit: Visit) -> web.Response:
    """Answer the attempts in short, for a row of the log that is opened in its place."""
    found = await visit.ask(DeliveryDetail, "deliveries.get", visit.ids["id"])
    return visit.show("delivery_attempts.html", found=found)


async def news(visit: Visit) -> web.Response:
    """Answer whether there is an attempt since the one that the page shows."""
    found = await visit.ask(DeliveryDetail, "deliveries.get", visit.ids["id"])
    newest = found.attempts[-1]
    return visit.show("delivery_news.html", found=found, newest=newest if newest.id != visit.form.text("after") else None)


async def resend(visit: Visit) -> web.Response:
    """Have the delivery made again."""
    made = await visit.make(DeliveryResent, "deliveries.resend", visit.ids["id"])
    return visit.to(visit.url("log", made.id), _SENT)


PAGES: Final = (
    Page(name="delivery", path="/s/{store}/log/{id}", section="log", show=delivery),
    Page(name="delivery_attempts", path="/s/{store}/log/{id}/attempts", section="log", show=attempts),
    Page(name="delivery_news", path="/s/{store}/log/{id}/news", section="log", show=news),
    Page(name="delivery_resend", path="/s/{store}/log/{id}/resend", section="log", act=resend, back="/s/{store}/log/{id}"),
)
