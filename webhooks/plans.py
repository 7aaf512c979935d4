"""From webhooks as they are to webhooks as they are declared: a plan of changes to look at, then the changes one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from hookline.kernel.errors import Conflict, NotFound
from hookline.webhooks.declared import Declaration, Declared
from hookline.webhooks.model import State, Webhook
from hookline.webhooks.store import NewWebhook, Webhooks

_FIELDS: Final = ("name", "url", "event_types", "filter", "template", "timeout_s", "schedule")
_REASON: Final = "declared disabled"
_MASK: Final = "********"
Opened = Callable[[Webhook], Iterable[tuple[str, str]]]
"""Returns the headers of a webhook with their values."""


class Action(StrEnum):
    """What is to be done with a webhook."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A webhook of the store that sends an event type to the URL of one that is to be made; `declared`: the file has it too."""

    id: str
    name: str
    event_type: str
    declared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step: `fields` is name → (now, wanted) as may be shown, `changes` what the store is given, `id` empty for a new one.

    `twin` is given with a new one that the store would refuse beside it: mostly a webhook that was renamed in the file.
    """

    action: Action
    id: str
    name: str
    fields: dict[str, tuple[str, str]]
    version: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)
    declared: Declared | None = None
    twin: Twin | None = None


def plan(declaration: Declaration, there: Iterable[Webhook], opened: Opened, *, prune: bool) -> list[Change]:
    """Return the steps from the store's webhooks to the declared ones, deletions first; raise `Conflict`, `NotFound`. Pure.

    A webhook is known by its id where the file gives one, else by its name. Those that the file does not have stay, unless `prune`.
    """
    mine = [webhook for webhook in there if webhook.store_id == declaration.store_id]
    pairs = _matched(declaration, mine)
    kept = {webhook.id for _, webhook in pairs if webhook is not None}
    surplus = sorted((webhook for webhook in mine if webhook.id not in kept), key=lambda webhook: (webhook.name, webhook.id))
    steps = [_deletion(webhook) for webhook in surplus] if prune else []
    steps += [change for one, webhook in pairs if webhook is not None and (change := _change(one, webhook, opened)) is not None]
    found = [(webhook.id, one, True) for one, webhook in pairs if webhook is not None]
    taken = found + [(webhook.id, webhook, False) for webhook in surplus]
    return steps + [replace(_creation(one), twin=_twin(one, taken)) for one, webhook in pairs if webhook is None]


def _twin(new: Declared, taken: Iterable[tuple[str, Declared | Webhook, bool]]) -> Twin | None:
    """Return the first of what will be there, as it will be then, with the URL and an event type of a new webhook."""
    for webhook_id, other, declared in taken:
        shared = sorted(set(new.event_types) & set(other.event_types))
        if shared and other.url == new.url:
            return Twin(id=webhook_id, name=other.name, event_type=shared[0], declared=declared)
    return None


def _matched(declaration: Declaration, mine: list[Webhook]) -> list[tuple[Declared, Webhook | None]]:
    by_id = {webhook.id: webhook for webhook in mine}
    claimed: dict[str, str] = {}
    for one in declaration.webhooks:
        if one.id and one.id not in by_id:
            remedy = "Take the id out to have a new one made."
            raise NotFound(f"{declaration.store_id} has no webhook {one.id[:80]!r} ({one.name})", field="id", remedy=remedy)
        if one.id in claimed:
            raise Conflict(f"{one.id} is declared as {claimed[one.id]} and as {one.name}", field="id", remedy="Declare it once.")
        if one.id:
            claimed[one.id] = one.name
    unclaimed = [webhook for webhook in mine if webhook.id not in claimed]
    return [(one, by_id[one.id] if one.id else _named(one, unclaimed)) for one in declaration.webhooks]


def _named(one: Declared, mine: list[Webhook]) -> Webhook | None:
    found = [webhook for webhook in mine if webhook.name == one.name]
    if len(found) > 1:
        remedy = f"Rename all but one of {', '.join(webhook.id for webhook in found)}, or give the id in the file."
        raise Conflict(f"{len(found)} webhooks are called {one.name}", field="name", remedy=remedy)
    return found[0] if found else None


def _deletion(webhook: Webhook) -> Change:
    return Change(action=Action.DELETE, id=webhook.id, name=webhook.name, version=webhook.version, fields={"url": (webhook.url, "")})


def _creation(one: Declared) -> Change:
    fields = {name: ("", _shown(getattr(one, name))) for name in _FIELDS if getattr(one, name)}
    fields |= _shown_headers({}, dict(one.headers))
    if one.state not in {None, State.ENABLED}:
        fields["state"] = ("", str(one.state))
    return Change(action=Action.CREATE, id="", name=one.name, fields=fields, declared=one)


def _change(one: Declared, webhook: Webhook, opened: Opened) -> Change | None:
    changes = {name: getattr(one, name) for name in _FIELDS if _meaning(getattr(one, name)) != _meaning(getattr(webhook, name))}
    fields = {name: (_shown(getattr(webhook, name)), _shown(value)) for name, value in changes.items()}
    now, wanted = dict(opened(webhook)), dict(one.headers)
    if now != wanted:
        changes["headers"] = one.headers
        fields |= _shown_headers(now, wanted)
    if one.state not in {None, webhook.state}:
        fields["state"] = (str(webhook.state), str(one.state))
    if not fields:
        return None
    return Change(
        action=Action.CHANGE,
        id=webhook.id,
        name=webhook.name,
        version=webhook.version,
        fields=fields,
        changes=changes,
        declared=one,
    )


def _meaning(value: object) -> object:
    """Return what two values are compared by: the order of event types means nothing."""
    return frozenset(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    if isinstance(value, str):
        return " ".join(value.split())  # a template has lines
    return ", ".join(sorted(value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def _shown_headers(now: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the headers that differ, values masked: they may be passwords."""
    names = sorted({*now, *wanted})
    differ = [name for name in names if now.get(name) != wanted.get(name)]
    another = {name: f"{_MASK} (another value)" if name in now else _MASK for name in wanted}
    return {f"header {name}": (_MASK if name in now else "", another.get(name, "")) for name in differ}


# ---- doing it ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step that was taken; `secret` is that of a new webhook, shown this once, empty when the file gave it and for other steps."""

    change: Change
    id: str
    secret: str = ""


def apply(changes: Iterable[Change], store_id: str, webhooks: Webhooks) -> Iterator[Done]:
    """Take the steps one by one; raise `Stale` when a webhook was changed since the plan, and what the store raises."""
    for change in changes:
        yield _applied(change, store_id, webhooks)


def _applied(change: Change, store_id: str, webhooks: Webhooks) -> Done:
    one = change.declared
    if one is None:
        webhooks.delete(change.id)
        return Done(change=change, id=change.id)
    secret, webhook_id = "", change.id
    if change.action is Action.CREATE:
        made, secret = webhooks.create(_new(one, store_id))
        webhook_id = made.id
    elif change.changes:
        webhooks.update(webhook_id, change.changes, change.version)
    if "state" in change.fields:
        _move(webhook_id, one.state, webhooks)
    return Done(change=change, id=webhook_id, secret="" if one.secret else secret)


def _new(one: Declared, store_id: str) -> NewWebhook:
    return NewWebhook(
        store_id=store_id,
        url=one.url,
        event_types=one.event_types,
        name=one.name,
        filter=one.filter,
        template=one.template,
        headers=one.headers,
        timeout_s=one.timeout_s,
        schedule=one.schedule,
        secret=one.secret,
    )


def _move(webhook_id: str, state: State | None, webhooks: Webhooks) -> None:
    match state:
        case State.DISABLED:
            webhooks.disable(webhook_id, _REASON)
        case State.PAUSED:
            webhooks.enable(webhook_id)  # a disabled one cannot be paused
            webhooks.pause(webhook_id)
        case _:
            webhooks.enable(webhook_id)
