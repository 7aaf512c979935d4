"""The template of a webhook's form: tried on the last events while one types, and begun from a preset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from hookline.console.api.template_trials import TemplateTried
from hookline.console.panel.page import Page
from hookline.console.panel.visit import Visit
from hookline.console.panel.webhook_fields import OWN, Typed
from hookline.kernel.errors import HooklineError, InputError
from hookline.webhooks.presets import PRESETS
from hookline.webhooks.templates import source_of

TRY: Final = "try_template"
COPY: Final = "copy_preset"
"""The buttons, for browsers with a script and without."""
KINDS: Final = (
    ("", "The whole event, as it is"),
    *((name, preset.title) for name, preset in PRESETS.items()),
    (OWN, "A template of your own"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What came of trying a template: `problem` says why it could not be, empty when it could; then `tried` is what it made."""

    tried: TemplateTried | None = None
    problem: str = ""


async def preview(visit: Visit) -> web.Response:
    """Return a piece: what the chosen template makes of the last events of the ticked types."""
    typed = Typed.of_form(visit.form)
    return visit.show("webhook_filled.html", typed=typed, filled=await filled(visit, typed))


async def filled(visit: Visit, typed: Typed) -> Filled | None:
    """Return what the chosen template makes of the last events, None without one or without types to try it on."""
    if not typed.template_kind or not typed.known_types:
        return None
    try:
        body = {"template": typed.template, "event_types": typed.known_types}
        return Filled(tried=await visit.change(TemplateTried, "templates.try", body=body))
    except InputError as error:
        return Filled(problem=str(error))
    except HooklineError as error:
        return Filled(problem=error.message)


def copied(typed: Typed) -> Typed:
    """Return the form with its preset as a template of one's own, for the first ticked type; others stay as they are."""
    if typed.template_kind not in PRESETS:
        return typed
    return replace(typed, template_kind=OWN, own_template=source_of(typed.template_kind, (*typed.known_types, "order.created")[0]))


PAGES: Final = (
    Page(name="webhook_template", path="/s/{store}/webhooks/template", section="webhooks", scope="hooks:write", act=preview, first=True),
)
