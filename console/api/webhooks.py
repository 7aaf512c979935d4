"""`/webhooks`: who gets called, for what."""

from __future__ import annotations

from typing import Final, Literal

from hookline.console.api.webhook_models import WebhookCreate, WebhookCreated, WebhookPatch, WebhookView, created, view
from hookline.console.http.models import EventTypeName, Page, PageQuery
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import UNCHANGED, Answer, Call, Change, IfMatch, Route
from hookline.kernel.errors import NotFound
from hookline.webhooks.model import Webhook
from hookline.webhooks.store import NewWebhook

EXAMPLE: Final = {
    "url": "https://shop.example.com/hooks",
    "event_types": ["order.created", "order.paid"],
    "name": "Order desk",
    "filter": "data.order.totals.grand_total.amount_minor > 10000",
}


class WebhookQuery(PageQuery):
    """Which webhooks."""

    state: Literal["enabled", "paused", "disabled"] | None = None
    event_type: EventTypeName | None = None


def own(call: Call) -> Webhook:
    """Return the webhook of the path; raise `NotFound`, for another store's too. From memory: see `current` before a change."""
    found = call.parts.registry.get(call.id)
    if found is None or found.store_id != call.store_id:
        raise NotFound("There is no such webhook in this store", field="id")
    return found


def current(call: Call) -> Webhook:
    """Return the webhook of the path with all changes that any console has made; raise `NotFound`. Only in `Work.CHANGES`."""
    call.parts.webhooks.get(own(call).id)
    return own(call)


def list_webhooks(call: Call) -> Answer:
    """Answer a page of the store's webhooks, in the order of their making."""
    asked = call.asked(WebhookQuery)
    found = [
        webhook
        for webhook in call.parts.registry.of_store(call.store_id)
        if asked.state in {None, str(webhook.state)} and (asked.event_type is None or asked.event_type in webhook.event_types)
    ]
    return Answer(value=call.page(found, lambda webhook: (webhook.created_at_us, webhook.id), view))


def get_webhook(call: Call) -> Answer:
    """Answer one webhook."""
    found = own(call)
    return Answer(value=view(found), version=found.version)


def create_webhook(call: Call) -> Answer:
    """Make a webhook and answer it with its secret, this once."""
    asked = call.asked(WebhookCreate)
    wanted = NewWebhook(
        store_id=call.store_id,
        url=asked.url,
        event_types=tuple(asked.event_types),
        name=asked.name,
        filter=asked.filter,
        headers=tuple(asked.headers.items()),
        timeout_s=asked.timeout_s,
        schedule=asked.schedule,
        secret=asked.secret or "",
        template=asked.template,
        client_certificate=asked.client_certificate.given() if asked.client_certificate is not None else None,
    )
    made, secret = call.parts.webhooks.create(wanted)
    change = Change(target=made.id, after=view(made))
    return Answer(value=created(made, secret), version=made.version, location=f"/webhooks/{made.id}", change=change)


def patch_webhook(call: Call) -> Answer:
    """Change what is given."""
    before = current(call)
    call.if_match.expect(before.version)
    after = call.parts.webhooks.update(before.id, call.asked(WebhookPatch).given(), before.version)
    return changed(before, after)


def delete_webhook(call: Call) -> Answer:
    """Delete it for good."""
    before = current(call)
    call.if_match.expect(before.version)
    call.parts.webhooks.delete(before.id)
    return Answer(change=Change(target=before.id, before=view(before)))


def changed(before: Webhook, after: Webhook) -> Answer:
    """Answer a webhook as it is after a change; of the same version it was none."""
    change = Change(target=after.id, before=view(before), after=view(after)) if after.version != before.version else UNCHANGED
    return Answer(value=view(after), version=after.version, change=change)


_REFUSALS: Final = (
    Code.UNKNOWN_EVENT_TYPE,
    Code.URL_NOT_ALLOWED,
    Code.FILTER_INVALID,
    Code.TEMPLATE_INVALID,
    Code.CERTIFICATE_INVALID,
    Code.LIMIT_EXCEEDED,
    Code.CONFLICT,
)

ROUTES: Final = (
    Route(
        name="webhooks.list",
        method="GET",
        path="/webhooks",
        scope="hooks:read",
        summary="List the webhooks of the store, the oldest first",
        handler=list_webhooks,
        query=WebhookQuery,
        answer=Page[WebhookView],
        codes=(Code.CURSOR_INVALID, Code.UNKNOWN_EVENT_TYPE),
    ),
    Route(
        name="webhooks.create",
        method="POST",
        path="/webhooks",
        scope="hooks:write",
        summary="Make a webhook; its secret is in this answer and never again",
        handler=create_webhook,
        work=Work.CHANGES,
        body=WebhookCreate,
        answer=WebhookCreated,
        status=201,
        codes=_REFUSALS,
        action="webhook.create",
        version=True,
        example=EXAMPLE,
    ),
    Route(
        name="webhooks.get",
        method="GET",
        path="/webhooks/{id}",
        scope="hooks:read",
        summary="Show a webhook",
        handler=get_webhook,
        answer=WebhookView,
        codes=(Code.NOT_FOUND,),
        version=True,
    ),
    Route(
        name="webhooks.update",
        method="PATCH",
        path="/webhooks/{id}",
        scope="hooks:write",
        summary="Change a webhook",
        handler=patch_webhook,
        work=Work.CHANGES,
        body=WebhookPatch,
        answer=WebhookView,
        codes=(Code.NOT_FOUND, *_REFUSALS),
        action="webhook.update",
        version=True,
        if_match=IfMatch.MUST,
        example={"event_types": ["order.created"], "filter": ""},
    ),
    Route(
        name="webhooks.delete",
        method="DELETE",
        path="/webhooks/{id}",
        scope="hooks:write",
        summary="Delete a webhook for good; what still waits for it is cancelled",
        handler=delete_webhook,
        work=Work.CHANGES,
        status=204,
        codes=(Code.NOT_FOUND,),
        action="webhook.delete",
        if_match=IfMatch.MUST,
    ),
)
