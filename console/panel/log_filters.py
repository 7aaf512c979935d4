"""The filters of the log and of the dead letters in addresses and forms: under the API's own names, times in UTC."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from yarl import URL

from hookline.console.panel.forms import Form
from hookline.console.panel.visit import Visit
from hookline.console.panel.wording import FILTER_WORDS, FILTERS, Moment, moment
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.webhooks.model import Webhook

LOG: Final = ("webhook", "event_type", "event", "status", "outcome", "error", "trigger", "job", "from", "to")
LETTERS: Final = ("webhook", "category", "reason", "event_type", "event", "from", "to")
TIMES: Final = ("from", "to")
_LOWER: Final = ("status",)
_LOCAL: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?\Z", re.ASCII)
_END: Final = 6
"""So many last characters of an id tell webhooks of one store apart."""
_MINUTES: Final = len("2026-11-23T14:02")
_SECONDS: Final = len("2026-11-23T14:02:07")


def given(form: Form, names: Iterable[str]) -> dict[str, str]:
    """Return the filters that a form has, ready for the API: a time as a browser's time field sends it is UTC, 5XX is 5xx."""
    found = form.given(*names)
    found |= {name: found[name].lower() for name in _LOWER if name in found}
    return found | {name: instant(found[name]) for name in TIMES if name in found}


def instant(text: str) -> str:
    """Return a time of a time field with its zone, which is UTC; any other text as it is."""
    if not _LOCAL.match(text):
        return text
    return f"{text}:00Z" if len(text) == _MINUTES else f"{text}Z"


def time_field(text: str) -> str:
    """Return what a time field shows of a filter: UTC without the zone, empty for what is no time."""
    at = _moment(text)
    return at.iso[:_SECONDS] if at is not None else ""


def _moment(text: str) -> Moment | None:
    """Return a time that somebody gave; None for what is no time, which the API refuses in its own words."""
    try:
        return moment(text)
    except (ValueError, OverflowError):  # the year 1 or 9999, and with a zone before or after it
        return None


def webhook_names(visit: Visit) -> dict[str, str]:
    """Return what the store's webhooks are called, by id; see `distinct_names`."""
    return distinct_names(visit.services.parts.registry.of_store(visit.store))


def distinct_names(webhooks: Iterable[Webhook]) -> dict[str, str]:
    """Return what webhooks are called, by id, in the order in which they are called so: their name, else their URL.

    Of those that are called alike each has its host behind the name, and where hosts are alike too, the end of its id.
    """
    alike: defaultdict[str, list[Webhook]] = defaultdict(list)
    for webhook in webhooks:
        alike[(webhook.name or webhook.url).casefold()].append(webhook)
    return {id_: name for _, group in sorted(alike.items()) for id_, name in _told_apart(group)}


def _told_apart(group: list[Webhook]) -> Iterator[tuple[str, str]]:
    hosts = Counter(URL(webhook.url).host for webhook in group) if len(group) > 1 else Counter()
    for webhook in group:
        host = URL(webhook.url).host if hosts else None
        mark = host if host and hosts[host] == 1 else f"…{webhook.id[-_END:]}"
        name = webhook.name or webhook.url
        yield webhook.id, f"{name} ({mark})" if hosts else name


def event_types() -> list[tuple[str, str]]:
    """Return the event types as choices of a form."""
    return [(name, name) for name in EVENT_TYPES]


def in_words(filters: Mapping[str, Any], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return filters as people read them: what is narrowed, and to what. `names` are the webhooks'."""
    return [(FILTERS.get(key, key), _said(key, value, names)) for key, value in filters.items()]


def _said(key: str, value: object, names: Mapping[str, str]) -> str:
    if isinstance(value, list):
        return f"{len(value)} chosen"
    text = str(value)
    if key == "webhook":
        return names.get(text, text)
    if key in TIMES:
        at = _moment(text)
        return at.text if at is not None else text
    return FILTER_WORDS.get(key, {}).get(text, text)
