"""One test call to a webhook: choose an event, send it, read what the receiver said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
from aiohttp import web
from yarl import URL

from hookline.console.api.trials import TrialResult
from hookline.console.api.webhook_models import WebhookView
from hookline.console.panel.doctor_faults import Ailment, Site, Words, words_of
from hookline.console.panel.page import Page
from hookline.console.panel.pages.webhook import PATH
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import HooklineError, InputError
from hookline.schemas.catalogue import EVENT_TYPES

_TEMPLATE: Final = "webhook_test.html"


async def show(visit: Visit) -> web.Response:
    """Show the form with the first of the webhook's types."""
    view = await visit.ask(WebhookView, "webhooks.get", visit.ids["id"])
    wanted = visit.form.text("event_type")
    return visit.show(_TEMPLATE, **_form(view, wanted if wanted in EVENT_TYPES else view.event_types[0], ""), result=None)


async def act(visit: Visit) -> web.Response:
    """Send the test and show the answer, or put the example of a type into the form."""
    view = await visit.ask(WebhookView, "webhooks.get", visit.ids["id"])
    name, data = visit.form.text("event_type"), visit.form.raw("data")
    form = _form(view, name, data)
    try:
        if visit.form.has("example"):
            return visit.show(_TEMPLATE, **_form(view, name, example_of(name)), result=None)
        body = {"event_type": name, **({"data": read(data)} if data.strip() else {})}
        result = await visit.make(TrialResult, "webhooks.test", view.id, body=body)
    except HooklineError as error:
        return visit.show_wrong(_TEMPLATE, error, **form, result=None)
    return visit.show(_TEMPLATE, **form, result=result, said=said(result, view.timeout_s))


def example_of(name: str) -> str:
    """Return the example of an event type as it is put into the form; raise `InputError`."""
    kind = EVENT_TYPES.get(name)
    if kind is None:
        raise InputError("There is no such event type", field="event_type", remedy="Choose one of the list.")
    return orjson.dumps(kind.example, option=orjson.OPT_INDENT_2).decode()


def read(text: str) -> dict[str, Any]:
    """Return the JSON object that was typed; raise `InputError` with the place of the fault."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputError(f"The data is no JSON: {error.msg} in line {error.lineno}, column {error.colno}", field="data") from error
    if not isinstance(found, dict):
        raise InputError("The data must be a JSON object", field="data", remedy="Put its example in, and change that.")
    return found


def said(result: TrialResult, timeout_s: float) -> Words | None:
    """Return what a failed test means in plain words, None for one that the receiver took."""
    if result.outcome == "delivered":
        return None
    host = URL(result.url).host or result.url
    words = words_of(result.error or "", result.http_status or 0, result.detail, Site(host, timeout_s))
    if words.ailment is Ailment.REDIRECT and (leads := _location(result.response_headers)):
        return replace(words, remedy=f"It leads to {leads}: if that is the receiver, set the URL of the webhook to it.")
    return words


def _location(head: str) -> str:
    """Return where a redirect leads, empty when its head does not say."""
    lines = (line.partition(":") for line in head.split("\n"))
    return next((value.strip() for name, _, value in lines if name.strip().lower() == "location"), "")


def _form(view: WebhookView, event_type: str, data: str) -> Mapping[str, Any]:
    others = [name for name in EVENT_TYPES if name not in view.event_types]
    return {"view": view, "event_type": event_type, "data": data, "own": view.event_types, "others": others}


PAGES: Final = (Page(name="webhook_test", path=f"{PATH}/test", section="webhooks", scope="hooks:write", show=show, act=act),)
