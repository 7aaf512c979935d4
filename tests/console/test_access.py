"""Every route of the table, by everybody who may not use it, and by somebody who may."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from hookline.console.api.table import ROUTES
from hookline.console.http.routes import ANY_KEY, OPERATOR, PUBLIC, Route
from hookline.producers.api_keys import SCOPES, compose

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Client = Any
Until = Any


@dataclass
class World:
    """What the cases of one store need: a webhook and a key, made by an admin, and a delivery that ended as a dead letter."""

    stack: Stack
    store: str
    admin: Client
    webhook_id: str
    key_id: str
    delivery_id: str
    event_id: str
    letter_id: str
    replay_id: str


@dataclass(frozen=True)
class Case:
    """How a route is called when all is right: the ids of its path, its query and body, and what it answers then."""

    query: str = ""
    ids: Callable[[World], str] = lambda _: ""
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200


def _webhook(world: World) -> str:
    return world.webhook_id


def _key(world: World) -> str:
    return world.key_id


def _event(world: World) -> str:
    return world.event_id


def _delivery(world: World) -> str:
    return world.delivery_id


def _letter(world: World) -> str:
    return world.letter_id


def _replay(world: World) -> str:
    return world.replay_id


NEW_WEBHOOK = {"url": "http://127.0.0.1:9/access", "event_types": ["order.paid"]}
PAID = {"type": "order.paid", "data": {"nothing": "is checked before the key"}}
CASES: dict[str, Case] = {
    "event-types.list": Case(),
    "event-types.get": Case(ids=lambda _: "order.paid"),
    "webhooks.list": Case(),
    "webhooks.create": Case(body=NEW_WEBHOOK, status=201),
    "webhooks.get": Case(ids=_webhook),
    "webhooks.update": Case(ids=_webhook, body={"name": "x"}, headers={"If-Match": "*"}),
    "webhooks.enable": Case(ids=_webhook),
    "webhooks.disable": Case(ids=_webhook),
    "webhooks.pause": Case(ids=_webhook, status=409),  # the access is right, the state is not: disabled by the case before
    "webhooks.resume": Case(ids=_webhook, status=409),
    "webhooks.rotate-secret": Case(ids=_webhook),
    "webhooks.test": Case(ids=_webhook),
    "templates.try": Case(body={"template": "slack", "event_types": ["order.paid"]}),
    "webhooks.delete": Case(ids=_webhook, headers={"If-Match": "*"}, status=204),
    "events.publish": Case(body=PAID, status=422),
    "events.get": Case(ids=_event),
    "webhooks.explain": Case(ids=_webhook, query="event={event}"),
    "deliveries.list": Case(),
    "deliveries.export": Case(query="format=csv", headers={"Accept": "text/csv"}),
    "deliveries.get": Case(ids=_delivery),
    "statistics.get": Case(),
    "webhooks.statistics": Case(ids=_webhook),
    "dead-letters.list": Case(),
    "dead-letters.count": Case(),
    "dead-letters.get": Case(ids=_letter),
    "replays.create": Case(body={"source": "dead_letters", "dry_run": True}),
    "replays.list": Case(),
    "replays.get": Case(ids=_replay),
    "replays.cancel": Case(ids=_replay, status=409),  # there was nothing to make again, so it is done
    "deliveries.resend": Case(ids=_delivery, status=202),
    "api-keys.list": Case(),
    "api-keys.create": Case(body={"scopes": ["events:write"]}, status=201),
    "api-keys.get": Case(ids=_key),
    "api-keys.revoke": Case(ids=_key),
    "audit.list": Case(),
    "stores.list": Case(),
    "reference.openapi": Case(),
    "reference.asyncapi": Case(),
    "reference.html": Case(headers={"Accept": "text/html"}),
    "reference.style": Case(headers={"Accept": "text/css"}),
}
SCOPES_OF = {
    PUBLIC: {"reference.openapi", "reference.asyncapi", "reference.html", "reference.style"},
    ANY_KEY: {"event-types.list", "event-types.get"},
    OPERATOR: {"stores.list"},
    "admin": {"api-keys.list", "api-keys.create", "api-keys.get", "api-keys.revoke", "audit.list"},
    "events:write": {"events.publish"},
    "dlq:replay": {"deliveries.resend", "replays.create", "replays.cancel"},
    "hooks:read": {"webhooks.list", "webhooks.get"},
    "hooks:write": {
        *("webhooks.create", "webhooks.update", "webhooks.delete", "webhooks.enable", "webhooks.disable", "webhooks.pause"),
        *("webhooks.resume", "webhooks.rotate-secret", "webhooks.test", "templates.try"),
    },
    "results:read": {
        *("events.get", "webhooks.explain", "webhooks.statistics", "statistics.get", "deliveries.list", "deliveries.get"),
        *("deliveries.export", "dead-letters.list", "dead-letters.count", "dead-letters.get", "replays.list", "replays.get"),
    },
}
_numbers = itertools.count()
LAST = ("webhooks.delete", "api-keys.revoke")
IN_ORDER = sorted((r for r in ROUTES if r.name in CASES), key=lambda route: LAST.index(route.name) if route.name in LAST else -1)
GUARDED = [route for route in IN_ORDER if route.scope != PUBLIC]
SCOPED = [route for route in GUARDED if route.scope not in {ANY_KEY, OPERATOR}]
WITH_IDS = [route for route in SCOPED if "{" in route.path]


def names(route: Route) -> str:
    """Return what a case is called."""
    return route.name


@pytest.fixture(scope="module")
def world(stack: Stack, until: Until) -> World:
    """Make a store with a webhook and a key, and one whose receiver takes nothing."""
    store = f"a{os.urandom(4).hex()}"
    admin = stack.admin(store)
    webhook = admin.post("/webhooks", {"url": stack.receiver.url("world"), "event_types": ["order.created"]}).json
    key = admin.post("/api-keys", {"scopes": ["hooks:read"]}).json
    stack.receiver.answers["/world-dead"] = (404, b"no")
    admin.post("/webhooks", {"url": stack.receiver.url("world-dead"), "event_types": ["order.paid"]})
    data = admin.get("/event-types/order.paid").json["example"]
    event_id = admin.post("/events", {"type": "order.paid", "data": data}).json["id"]
    dead = "/deliveries?outcome=dead"
    until(lambda: admin.get(dead).json["data"] and admin.get("/dead-letters").json["data"], what="a dead letter")
    delivery_id, letter_id = (admin.get(path).json["data"][0]["id"] for path in (dead, "/dead-letters"))
    replay_id = admin.post("/replays", {"source": "dead_letters", "filter": {"event": "evt_none"}}).json["id"]
    until(lambda: admin.get(f"/replays/{replay_id}").json["state"] == "done", what="an empty replay")
    return World(stack, store, admin, webhook["id"], key["id"], delivery_id, event_id, letter_id, replay_id)


def ask(client: Client, route: Route, world: World) -> Any:
    """Call a route as its case says."""
    case = CASES[route.name]
    return client.call(route.method, path_of(route, world), case.body, case.headers)


def path_of(route: Route, world: World, *more: str) -> str:
    """Return the path of a route's case with its query, and more of it."""
    case = CASES[route.name]
    path = route.path.replace("{id}", case.ids(world)).replace("{name}", case.ids(world))
    query = "&".join(filter(None, (case.query.format(event=world.event_id), *more)))
    return f"{path}?{query}" if query else path


def fresh(client: Client) -> Client:
    """Let a client call from an address that has not failed yet: failures are counted per address."""
    number = next(_numbers)
    client.source = f"127.77.{number // 250}.{1 + number % 250}"
    return client


def test_every_route_has_a_case() -> None:
    """A route without a case here is a route whose access nobody has checked."""
    assert sorted(CASES) == sorted(route.name for route in ROUTES)


def test_every_route_needs_the_scope_that_was_meant() -> None:
    """The other tests take a route's scope from the route itself: what it is to be stands here a second time."""
    told: dict[str, set[str]] = {}
    for route in ROUTES:
        told.setdefault(route.scope, set()).add(route.name)
    assert told == SCOPES_OF


@pytest.mark.parametrize("route", GUARDED, ids=names)
def test_without_a_key_or_with_a_wrong_one(stack: Stack, world: World, route: Route) -> None:
    """No key, a made-up key, a misspelt key, a wrong operator token and a key in the wrong scheme get the same 401."""
    keys = ["", compose("0" * 12, b"\1" * 32), world.admin.key[:-1] + "!", "operator-token-of-somebody-else-012345", "hlk_x"]
    replies = [ask(fresh(stack.client(key)), route, world) for key in keys]
    assert {(reply.status, reply.code) for reply in replies} == {(401, "unauthorized")}
    assert len({reply.body for reply in replies}) == 1
    assert all(reply.headers["www-authenticate"].startswith("Bearer") for reply in replies)


@pytest.mark.parametrize("route", GUARDED, ids=names)
def test_with_a_revoked_key(stack: Stack, world: World, route: Route) -> None:
    """A key that was revoked gets a 401 from then on."""
    made = world.admin.post("/api-keys", {"scopes": ["admin"]}).json
    assert world.admin.post(f"/api-keys/{made['id']}/revoke").json["state"] == "revoked"
    assert ask(fresh(stack.client(made["key"])), route, world).status == 401


@pytest.mark.parametrize("route", SCOPED, ids=names)
def test_with_every_other_scope(stack: Stack, world: World, route: Route) -> None:
    """A key with all scopes but the route's (and admin) gets a 403."""
    others = [scope for scope in SCOPES if scope not in {route.scope, "admin"}]
    reply = ask(stack.client(_scoped(world, *others)), route, world)
    assert (reply.status, reply.code) == (403, "missing_scope")


@pytest.mark.parametrize("route", [route for route in GUARDED if route.scope == OPERATOR], ids=names)
def test_the_operators_routes_are_for_no_key(world: World, route: Route) -> None:
    """Even a store's admin key gets a 403."""
    reply = ask(world.admin, route, world)
    assert (reply.status, reply.code) == (403, "missing_scope")


@pytest.mark.parametrize("route", WITH_IDS, ids=names)
def test_with_another_stores_key(stack: Stack, world: World, route: Route) -> None:
    """What belongs to another store is not there, for whatever is asked of it."""
    reply = ask(stack.client(_stranger(stack)), route, world)
    assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize("route", SCOPED, ids=names)
def test_naming_another_store(stack: Stack, world: World, route: Route) -> None:
    """A key that names another store than its own is refused, by parameter and by header, also for a store that is not there."""
    stranger = stack.client(_stranger(stack))
    for query, headers in ((f"store={world.store}", {}), ("store=nowhere", {}), ("", {"Hookline-Store": world.store})):
        case = CASES[route.name]
        reply = stranger.call(route.method, path_of(route, world, query), case.body, {**case.headers, **headers})
        assert (reply.status, reply.code) == (403, "other_store")


@pytest.mark.parametrize("route", IN_ORDER, ids=names)
def test_with_just_the_right_scope(stack: Stack, world: World, route: Route) -> None:
    """A key with the route's scope alone comes in; the operator comes in to the operator's routes."""
    if route.scope == OPERATOR:
        client = stack.operator
    else:
        client = stack.client("" if route.scope == PUBLIC else _scoped(world, "hooks:read" if route.scope == ANY_KEY else route.scope))
    assert ask(client, route, world).status == CASES[route.name].status


def _scoped(world: World, *scopes: str) -> str:
    """Return a key with these scopes; one is made for each set, since a store has no more than fifty."""
    keys: dict[tuple[str, ...], str] = world.__dict__.setdefault("keys", {})
    if scopes not in keys:
        keys[scopes] = str(world.admin.post("/api-keys", {"scopes": list(scopes)}).json["key"])
    return keys[scopes]


def _stranger(stack: Stack) -> str:
    if "stranger" not in stack.__dict__:
        stack.__dict__["stranger"] = stack.key(f"x{os.urandom(4).hex()}", "admin")
    return str(stack.__dict__["stranger"])
