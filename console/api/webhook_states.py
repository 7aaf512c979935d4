"""`/webhooks/{id}/...`: switch a webhook on and off, replace its secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hookline.console.api.webhook_models import DisableRequest, RotateRequest, SecretRotated, WebhookView, old_secret_until, view
from hookline.console.api.webhooks import changed, current
from hookline.console.http.models import Model
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import Answer, Call, Change, Handler, IfMatch, Route
from hookline.webhooks.model import Webhook
from hookline.webhooks.store import Webhooks

Move = Callable[[Webhooks, Call, int | None], Webhook]
"""Brings the webhook of a call into another state; None: whatever its version is."""


def moving(move: Move) -> Handler:
    """Return the handler that brings a webhook into another state; doing it twice changes nothing."""

    def handler(call: Call) -> Answer:
        before = current(call)
        return changed(before, move(call.parts.webhooks, call, call.if_match.expected(before.version)))

    return handler


def rotate_secret(call: Call) -> Answer:
    """Replace the secret and answer the new one, this once."""
    before, asked = current(call), call.asked(RotateRequest)
    expected = call.if_match.expected(before.version)
    secret = call.parts.webhooks.rotate_secret(before.id, asked.secret or "", asked.overlap_s, expected)
    after = current(call)
    value = SecretRotated(id=after.id, secret=secret, old_secret_signs_until=old_secret_until(after), version=after.version)
    return Answer(value=value, version=after.version, change=Change(target=after.id, before=view(before), after=view(after)))


def _state(verb: str, summary: str, move: Move, body: type[Model] | None = None, *, codes: tuple[Code, ...] = ()) -> Route:
    return Route(
        name=f"webhooks.{verb}",
        method="POST",
        path=f"/webhooks/{{id}}/{verb}",
        scope="hooks:write",
        summary=summary,
        handler=moving(move),
        work=Work.CHANGES,
        body=body,
        answer=WebhookView,
        codes=(Code.NOT_FOUND, *codes),
        action=f"webhook.{verb}",
        version=True,
        if_match=IfMatch.MAY,
        example={"reason": "the receiver moves house"} if body else {},
    )


ROUTES: Final = (
    _state(
        "enable",
        "Take events again, after it was disabled by you or by a 410",
        lambda webhooks, call, expected: webhooks.enable(call.id, expected),
        codes=(Code.LIMIT_EXCEEDED, Code.CONFLICT),
    ),
    _state(
        "disable",
        "Take no events until it is enabled; what waits becomes dead letters",
        lambda webhooks, call, expected: webhooks.disable(call.id, call.asked(DisableRequest).reason, expected),
        DisableRequest,
    ),
    _state(
        "pause",
        "Hold its deliveries until it is resumed",
        lambda webhooks, call, expected: webhooks.pause(call.id, expected),
        codes=(Code.CONFLICT,),
    ),
    _state(
        "resume",
        "Deliver what a pause held, and what comes",
        lambda webhooks, call, expected: webhooks.resume(call.id, expected),
        codes=(Code.CONFLICT,),
    ),
    Route(
        name="webhooks.rotate-secret",
        method="POST",
        path="/webhooks/{id}/rotate-secret",
        scope="hooks:write",
        summary="Replace the secret; the new one is in this answer and never again, the old one signs too for a day",
        handler=rotate_secret,
        work=Work.CHANGES,
        body=RotateRequest,
        answer=SecretRotated,
        codes=(Code.NOT_FOUND, Code.LIMIT_EXCEEDED),
        action="webhook.rotate-secret",
        version=True,
        if_match=IfMatch.MAY,
        example={"overlap_s": 3_600},
    ),
)
