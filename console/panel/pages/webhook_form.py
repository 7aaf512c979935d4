"""Making and changing a webhook: its form, the URL checked and the filter tried while one types, the secret shown once."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from hookline.console.api.template_trials import recent
from hookline.console.api.webhook_models import WebhookCreated, WebhookView
from hookline.console.event_samples import Samples
from hookline.console.http.pools import Work
from hookline.console.panel import wording
from hookline.console.panel.filter_lab import Lab, try_out
from hookline.console.panel.hosts import hindrance
from hookline.console.panel.page import Page
from hookline.console.panel.pages.webhook_template import COPY, KINDS, copied, filled
from hookline.console.panel.pages.webhook_template import TRY as TRY_TEMPLATE
from hookline.console.panel.snippets import SNIPPETS
from hookline.console.panel.visit import Visit
from hookline.console.panel.webhook_fields import Typed, changes, differences
from hookline.kernel.errors import BrokerError, HooklineError, Stale, UrlNotAllowed
from hookline.schemas.catalogue import EVENT_TYPES, EventType
from hookline.webhooks.filters import MAX_BYTES
from hookline.webhooks.model import Webhook
from hookline.webhooks.urls import check_url

PATH: Final = "/s/{store}/webhooks"
TRY: Final = "try"
"""The button that tries the filter, for browsers without a script."""
_ONE: Final = PATH + "/{id:wh_[^/]+}"
_FORM: Final = "webhook_form.html"


async def show_new(visit: Visit) -> web.Response:
    """Show an empty form; what the address gives (`event_types`, `url`, `name`, `filter`) is filled in."""
    return _shown(visit, Typed.of_form(visit.form))


async def create(visit: Visit) -> web.Response:
    """Make the webhook and show its secret, this once; or try the filter."""
    typed = Typed.of_form(visit.form)
    if visit.form.has(TRY):
        return _shown(visit, typed, lab=await _lab(visit, typed))
    if visit.form.has(COPY) or visit.form.has(TRY_TEMPLATE):
        return await _with_template(visit, typed)
    try:
        made = await visit.make(WebhookCreated, "webhooks.create", body=typed.new_body())
    except HooklineError as error:
        return await _refused(visit, error, typed)
    return visit.show("webhook_made.html", status=201, made=made, snippets=SNIPPETS)


async def show_edit(visit: Visit) -> web.Response:
    """Show the form of a webhook as it is."""
    view = await visit.ask(WebhookView, "webhooks.get", visit.ids["id"])
    return _shown(visit, Typed.of_view(view), view)


async def save(visit: Visit) -> web.Response:
    """Change the webhook, or try the filter; when somebody else changed it meanwhile, show both and what they differ in."""
    typed, id_ = Typed.of_form(visit.form), visit.ids["id"]
    view = await visit.ask(WebhookView, "webhooks.get", id_)
    if visit.form.has(TRY):
        return _shown(visit, typed, view, lab=await _lab(visit, typed))
    if visit.form.has(COPY) or visit.form.has(TRY_TEMPLATE):
        return await _with_template(visit, typed, view)
    try:
        changed = changes(view, typed.body())
        if not changed and typed.version == str(view.version):
            return visit.to(visit.url("webhooks", id_), "webhook-unchanged")
        await visit.change(WebhookView, "webhooks.update", id_, body=changed or typed.body(), version=typed.version or "0")
    except Stale:
        return await _overtaken(visit, typed)
    except HooklineError as error:
        return await _refused(visit, error, typed, view)
    return visit.to(visit.url("webhooks", id_), "webhook-saved")


async def check_address(visit: Visit) -> web.Response:
    """Return a piece: whether a URL may be called and its host is found, and which webhooks send some of the ticked types there already."""
    typed, parts = Typed.of_form(visit.form), visit.services.parts
    problem, stored = "", ""
    try:
        stored = check_url(typed.url, parts.urls) if typed.url else ""
    except UrlNotAllowed as error:
        problem = error.message
    twins = same_address(parts.registry.of_store(visit.store), stored, typed, visit.form.text("webhook"))
    missing = await hindrance(stored, parts.urls) if stored else ""
    return visit.show("webhook_url.html", typed=typed, stored=stored, refused=problem, twins=twins, missing=missing)


async def lab(visit: Visit) -> web.Response:
    """Return a piece: what the filter says to the last events of the ticked types."""
    typed = Typed.of_form(visit.form)
    return visit.show("webhook_lab.html", typed=typed, lab=await _lab(visit, typed))


def same_address(webhooks: list[Webhook], url: str, typed: Typed, own: str) -> list[tuple[Webhook, list[str]]]:
    """Return other webhooks that send some of the ticked types to the same URL, each with those types: they cannot both be."""
    found = []
    for webhook in webhooks:
        shared = [name for name in typed.known_types if name in webhook.event_types]
        if url and webhook.url == url and webhook.id != own and shared:
            found.append((webhook, shared))
    return found


def catalogue() -> dict[str, list[EventType]]:
    """Return the event types by category, in the words of people."""
    found: dict[str, list[EventType]] = {}
    for kind in EVENT_TYPES.values():
        found.setdefault(wording.CATEGORIES[kind.category], []).append(kind)
    return found


async def _lab(visit: Visit, typed: Typed) -> Lab | None:
    """Return what comes of trying the filter, None without types to try it on."""
    names = typed.known_types
    if not names:
        return None
    if len(typed.filter.encode()) > MAX_BYTES:  # told without reading anything
        return try_out(typed.filter, names, {}, visit.services.parts.clock, visit.store)
    return await visit.services.parts.pools[Work.QUERIES].run(lambda: _tried(visit, typed, names))


def _tried(visit: Visit, typed: Typed, names: list[str]) -> Lab:
    samples: Samples = {}
    unread = ""
    try:
        samples = recent(visit.services.parts, visit.store, names)
    except BrokerError:
        unread = "Kafka does not answer: the catalogue's examples stand in for real events"
    return try_out(typed.filter, names, samples, visit.services.parts.clock, visit.store, unread)


async def _overtaken(visit: Visit, typed: Typed) -> web.Response:
    """Show the form as it was typed, and what is there by now; saving again puts the one in place of the other, knowingly."""
    view = await visit.ask(WebhookView, "webhooks.get", visit.ids["id"])
    error = Stale(
        "Somebody else changed this webhook while you did",
        remedy="Nothing is lost: below is what differs. Saving again puts yours in place of what is there now.",
    )
    mine = Typed.of_form(visit.form)
    context = _context(mine, view) | {"differing": differences(view, typed), "version": str(view.version)}
    return visit.show_wrong(_FORM, error, **context)


async def _with_template(visit: Visit, typed: Typed, view: WebhookView | None = None) -> web.Response:
    """Show the form with its preset copied, where that is asked for, and with what is sent of the last events."""
    typed = copied(typed) if visit.form.has(COPY) else typed
    return visit.show(_FORM, **_context(typed, view) | {"filled": await filled(visit, typed)})


async def _refused(visit: Visit, error: HooklineError, typed: Typed, view: WebhookView | None = None) -> web.Response:
    """Show the form as it was typed. What is tried stands in it from the start: coming later, it would push the faulty field away."""
    context = _context(typed, view, await _lab(visit, typed)) | {"filled": await filled(visit, typed)}
    return visit.show_wrong(_FORM, error, **context)


def _shown(visit: Visit, typed: Typed, view: WebhookView | None = None, lab: Lab | None = None) -> web.Response:
    return visit.show(_FORM, **_context(typed, view, lab))


def _context(typed: Typed, view: WebhookView | None, lab: Lab | None = None) -> dict[str, Any]:
    return {
        "typed": typed,
        "view": view,
        "lab": lab,
        "filled": None,
        "kinds": KINDS,
        "version": typed.version,
        "differing": [],
        "catalogue": catalogue(),
    }


PAGES: Final = (
    Page(name="webhook_new", path=PATH + "/new", section="webhooks", scope="hooks:write", show=show_new, act=create, first=True),
    Page(name="webhook_url", path=PATH + "/check-url", section="webhooks", scope="hooks:write", act=check_address, first=True),
    Page(name="webhook_lab", path=PATH + "/lab", section="webhooks", scope="hooks:write", act=lab, first=True),
    Page(name="webhook_edit", path=_ONE + "/edit", section="webhooks", scope="hooks:write", show=show_edit, act=save),
)
