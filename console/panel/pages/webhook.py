"""The page of one webhook: what it is, how it does, what was sent last; its states, its secret, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from aiohttp import web

from hookline.console.api.dead_letters import DeadLetterCount
from hookline.console.api.deliveries_filter import us_of
from hookline.console.api.deliveries_models import DeliveryLine
from hookline.console.api.statistics import StatisticsAnswer
from hookline.console.api.webhook_models import SecretRotated, WebhookView
from hookline.console.http.models import Page as Listed
from hookline.console.http.models import time_of
from hookline.console.http.pools import Work
from hookline.console.panel.checkup import evidence_of
from hookline.console.panel.doctor import diagnose
from hookline.console.panel.doctor_evidence import Diagnosis, Evidence
from hookline.console.panel.faults import fault_of
from hookline.console.panel.health import ended_of
from hookline.console.panel.page import Page
from hookline.console.panel.pages.overview import attempts_chart, error_shares, times_chart
from hookline.console.panel.pages.webhook_template import KINDS
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import HooklineError, NotFound, Stale, WarehouseError

PATH: Final = "/s/{store}/webhooks/{id:wh_[^/]+}"
BACK: Final = "/s/{store}/webhooks/{id}"
_TEMPLATE: Final = "webhook.html"
_SECRET: Final = "webhook_secret.html"  # noqa: S105  # the name of a template
_LAST: Final = 10
_DAY_US: Final = 86_400_000_000
_DONE: Final = {"pause": "webhook-paused", "resume": "webhook-resumed", "enable": "webhook-enabled"}


@dataclass(frozen=True, slots=True)
class Span:
    """How long back statistics go, in points of which length; `each` names one point."""

    key: str
    text: str
    days: int
    points: str
    each: str


SPANS: Final = (
    Span("30d", "30 days", 30, "day", "Day"),
    Span("7d", "7 days", 7, "hour", "Hour"),
    Span("24h", "24 hours", 1, "hour", "Hour"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the log has of a webhook, and what follows from it."""

    found: StatisticsAnswer
    last: list[DeliveryLine]
    evidence: Evidence
    diagnoses: list[Diagnosis]


async def show(visit: Visit) -> web.Response:
    """Show the webhook; a log that cannot be asked is told on the page, which shows the rest."""
    return await _page(visit)


async def _page(visit: Visit, wrong: HooklineError | None = None, **typed: object) -> web.Response:
    view = await visit.ask(WebhookView, "webhooks.get", visit.ids["id"])
    span = next((one for one in SPANS if one.key == visit.form.text("span")), SPANS[0])
    context: dict[str, Any] = {"view": view, "span": span, "spans": SPANS, "record": None, "reason": "", **typed}
    context["bodies"] = dict(KINDS)
    context["overlapping"] = us_of(view.old_secret_signs_until) > visit.now_us if view.old_secret_signs_until else False
    try:
        context |= await _recorded(visit, view, span)
    except WarehouseError as error:
        context["problem"] = fault_of(error)
    return visit.show_wrong(_TEMPLATE, wrong, **context) if wrong is not None else visit.show(_TEMPLATE, **context)


async def _recorded(visit: Visit, view: WebhookView, span: Span) -> Mapping[str, object]:
    query = {"days": str(span.days), "points": span.points}
    found, last, evidence = await asyncio.gather(
        visit.ask(StatisticsAnswer, "webhooks.statistics", view.id, query=query),
        visit.ask(Listed[DeliveryLine], "deliveries.list", query={"webhook": view.id, "limit": str(_LAST)}),
        _evidence(visit, view.id),
    )
    parts = visit.services.parts
    ended = await parts.pools[Work.QUERIES].run(lambda: ended_of(parts, found))
    times = found.total.response_time_ms
    evidence = replace(evidence, usual_p95_s=times.p95 / 1_000 if times is not None else None)
    return {
        "record": Record(found=found, last=last.data, evidence=evidence, diagnoses=diagnose(evidence)),
        "ended": ended,
        "attempts": attempts_chart(found),
        "times": times_chart(found),
        "errors": error_shares(visit, found.total, view.id),
    }


async def _evidence(visit: Visit, webhook_id: str) -> Evidence:
    parts, webhook = visit.services.parts, visit.services.parts.registry.get(webhook_id)
    if webhook is None:
        raise NotFound("There is no such webhook in this store", field="id")
    lanes, now_us = visit.services.dispatchers.lanes, visit.now_us
    letters = await visit.ask(DeadLetterCount, "dead-letters.count", query={"webhook": webhook_id})
    since = time_of(now_us - _DAY_US) or ""
    lately = await visit.ask(DeadLetterCount, "dead-letters.count", query={"webhook": webhook_id, "from": since})
    found = await parts.pools[Work.QUERIES].run(lambda: evidence_of(parts, webhook, lanes, now_us, letters.waiting))
    return replace(found, replayed=lately.total - lately.waiting)


async def move(visit: Visit) -> web.Response:
    """Pause, resume or enable."""
    verb = visit.ids["move"]
    try:
        await visit.change(WebhookView, f"webhooks.{verb}", visit.ids["id"])
    except HooklineError as error:
        return await _page(visit, error)
    return visit.to(visit.url("webhooks", visit.ids["id"]), _DONE[verb])


async def disable(visit: Visit) -> web.Response:
    """Disable, with the reason that was typed."""
    reason = visit.form.text("reason")
    try:
        await visit.change(WebhookView, "webhooks.disable", visit.ids["id"], body={"reason": reason} if reason else {})
    except HooklineError as error:
        return await _page(visit, error, reason=reason)
    return visit.to(visit.url("webhooks", visit.ids["id"]), "webhook-disabled")


async def delete(visit: Visit) -> web.Response:
    """Delete it, as it was when its page was shown."""
    try:
        await visit.answer("webhooks.delete", visit.ids["id"], version=visit.form.text("version"))
    except HooklineError as error:
        return await _page(visit, error)
    return visit.to(visit.url("webhooks"), "webhook-deleted")


async def show_rotate(visit: Visit) -> web.Response:
    """Show what rotating means, and how long the old secret may go on signing."""
    view = await visit.ask(WebhookView, "webhooks.get", visit.ids["id"])
    return visit.show(_SECRET, view=view, rotated=None, overlap=visit.form.text("overlap"))


async def rotate(visit: Visit) -> web.Response:
    """Rotate the secret and show the new one, this once: loading the page again does not rotate again."""
    view = await visit.ask(WebhookView, "webhooks.get", visit.ids["id"])
    overlap = visit.form.text("overlap")
    try:
        if visit.form.text("version") != str(view.version):
            raise Stale("The webhook was changed since, perhaps by this very form", remedy="Look at when its secret was made, then go on.")
        body = {"overlap_s": int(visit.form.number("overlap", "The overlap"))}
        rotated = await visit.change(SecretRotated, "webhooks.rotate-secret", view.id, body=body, version=str(view.version))
    except HooklineError as error:
        return visit.show_wrong(_SECRET, error, view=view, rotated=None, overlap=overlap)
    return visit.show(_SECRET, view=view, rotated=rotated, overlap=overlap)


PAGES: Final = (
    Page(name="webhook", path=PATH, section="webhooks", show=show),
    Page(name="webhook_move", path=f"{PATH}/{{move:pause|resume|enable}}", section="webhooks", act=move),
    Page(name="webhook_disable", path=f"{PATH}/disable", section="webhooks", act=disable),
    Page(name="webhook_delete", path=f"{PATH}/delete", section="webhooks", act=delete, grave=True, back=BACK),
    Page(
        name="webhook_rotate",
        path=f"{PATH}/rotate",
        section="webhooks",
        scope="hooks:write",
        show=show_rotate,
        act=rotate,
        grave=True,
        carried=("overlap",),
    ),
)
