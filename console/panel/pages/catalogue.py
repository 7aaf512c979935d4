"""The event catalogue: which events there are, what each carries, how it is published, and which webhooks get it."""

from __future__ import annotations

import json
import pprint
from typing import Final

from aiohttp import web

from hookline.console.panel import log_filters, wording
from hookline.console.panel.first_run import origin_of
from hookline.console.panel.page import Page
from hookline.console.panel.visit import Visit
from hookline.kernel.errors import NotFound
from hookline.schemas.catalogue import EVENT_TYPES, EventType
from hookline.schemas.fields import Field, fields_of
from hookline.webhooks.model import Webhook

_DATA: Final = "data."
_WIDTH: Final = 110


async def catalogue(visit: Visit) -> web.Response:
    """Show all types by category, and how many webhooks of the store get each."""
    webhooks = visit.services.parts.registry.of_store(visit.store)
    groups = [
        (words, [(kind, len(takers(webhooks, kind))) for kind in EVENT_TYPES.values() if kind.category == category])
        for category, words in wording.CATEGORIES.items()
    ]
    return visit.show("catalogue.html", groups=groups)


async def event_type(visit: Visit) -> web.Response:
    """Show one type."""
    kind = EVENT_TYPES.get(visit.ids["type"])
    if kind is None:
        raise NotFound("There is no such event type", remedy="The event catalogue has them all.")
    base = origin_of(visit.services.config, visit.request)
    example = json.dumps(kind.example, indent=2, ensure_ascii=False)
    return visit.show(
        "event_type.html",
        kind=kind,
        fields=data_fields(kind),
        example=example,
        curl=curl(base, kind),
        python=python(base, kind),
        webhooks=takers(visit.services.parts.registry.of_store(visit.store), kind),
        names=log_filters.webhook_names(visit),
    )


def takers(webhooks: list[Webhook], kind: EventType) -> list[Webhook]:
    """Return those of some webhooks that asked for a type."""
    return [webhook for webhook in webhooks if kind.name in webhook.event_types]


def data_fields(kind: EventType) -> list[Field]:
    """Return the fields of what publishers give and receivers get as `data`."""
    return [field for field in fields_of(kind.schema) if field.path.startswith(_DATA)]


def curl(base: str, kind: EventType) -> str:
    """Return the command that publishes the example of a type."""
    body = json.dumps({"type": kind.name, "data": kind.example}, indent=1, ensure_ascii=False).replace("'", "'\\''")
    return f"curl {base}/api/v1/events -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' -d '{body}'"


def python(base: str, kind: EventType) -> str:
    """Return the program that does the same with nothing but Python."""
    data = pprint.pformat(dict(kind.example), width=_WIDTH, sort_dicts=False).replace("\n", "\n    ")
    return f"""import json, os, urllib.request

event = {{
    "type": "{kind.name}",
    "data": {data},
}}
request = urllib.request.Request(
    "{base}/api/v1/events",
    json.dumps(event).encode(),
    {{"Authorization": "Bearer " + os.environ["KEY"], "Content-Type": "application/json"}},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["id"])
"""


PAGES: Final = (
    Page(name="catalogue", path="/s/{store}/catalogue", section="catalogue", show=catalogue),
    Page(name="event_type", path="/s/{store}/catalogue/{type}", section="catalogue", show=event_type),
)
