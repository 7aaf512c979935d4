"""`/api-keys`: who may do what for the store."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from hookline.console.http.models import VISIBLE, Model, Page, PageQuery, Time, time_of
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import Answer, Call, Change, Route
from hookline.kernel.clock import to_us
from hookline.kernel.errors import NotFound
from hookline.producers.api_keys import ApiKey

_DAY_S: Final = 86_400
Scope = Literal["events:write", "hooks:read", "hooks:write", "results:read", "dlq:replay", "admin"]
State = Literal["live", "expired", "revoked"]


class ApiKeyCreate(Model):
    """A key to make."""

    scopes: Annotated[list[Scope], Field(min_length=1, max_length=6, description="what it may do; admin: everything in the store")]
    name: Annotated[str, Field(max_length=128, pattern=VISIBLE, description="what it is for")] = ""
    expires_in_days: Annotated[int, Field(ge=1, le=3_650)] | None = Field(None, description="days until it expires; null: never")


class ApiKeyQuery(PageQuery):
    """Which keys."""

    state: State | None = None


class ApiKeyView(Model):
    """A key as it is kept: never the key itself."""

    id: str
    store_id: str
    name: str
    scopes: list[Scope]
    state: State
    created_at: Time | None
    expires_at: Time | None = Field(description="null: never")
    revoked_at: Time | None
    last_used_at: Time | None = Field(description="the hour of its last use; null: never")


class ApiKeyCreated(ApiKeyView):
    """A new key."""

    key: str = Field(description="the key itself; shown this once, only a digest is kept")


def list_keys(call: Call) -> Answer:
    """Answer a page of the store's keys, in the order of their making, revoked ones too."""
    wanted = call.asked(ApiKeyQuery).state
    found = [key for key in call.parts.keys.of_store(call.store_id) if wanted in {None, state_of(call, key)}]
    return Answer(value=call.page(found, lambda key: (key.created_at_us, key.id), lambda key: view(call, key)))


def get_key(call: Call) -> Answer:
    """Answer one key."""
    return Answer(value=view(call, own(call)))


def create_key(call: Call) -> Answer:
    """Make a key and answer it, this once."""
    asked = call.asked(ApiKeyCreate)
    lives_s = (asked.expires_in_days or 0) * _DAY_S
    made, text = call.parts.key_writer.create(call.store_id, tuple(asked.scopes), name=asked.name, lives_s=lives_s)
    shown = view(call, made)
    value = ApiKeyCreated(**shown.model_dump(), key=text)
    return Answer(value=value, location=f"/api-keys/{made.id}", change=Change(target=made.id, after=shown))


def revoke_key(call: Call) -> Answer:
    """Revoke a key; doing it twice changes nothing."""
    before = view(call, own(call))
    after = view(call, call.parts.key_writer.revoke(call.id, store_id=call.store_id))
    return Answer(value=after, change=Change(target=call.id, before=before, after=after))


def own(call: Call) -> ApiKey:
    """Return the key of the path; raise `NotFound`, for another store's too."""
    found = call.parts.keys.get(call.id)
    if found is None or found.store_id != call.store_id:
        raise NotFound("There is no such API key in this store", field="id")
    return found


def state_of(call: Call, key: ApiKey) -> State:
    """Return the state of a key now."""
    if key.revoked_at_us:
        return "revoked"
    return "live" if key.alive(to_us(call.parts.clock.now())) else "expired"


def view(call: Call, key: ApiKey) -> ApiKeyView:
    """Return a key as callers see it."""
    return ApiKeyView.model_validate(
        {
            "id": key.id,
            "store_id": key.store_id,
            "name": key.name,
            "scopes": list(key.scopes),
            "state": state_of(call, key),
            "created_at": time_of(key.created_at_us),
            "expires_at": time_of(key.expires_at_us),
            "revoked_at": time_of(key.revoked_at_us),
            "last_used_at": time_of(call.parts.keys.last_used_us(key.id)),
        }
    )


ROUTES: Final = (
    Route(
        name="api-keys.list",
        method="GET",
        path="/api-keys",
        scope="admin",
        summary="List the API keys of the store, revoked ones too, the oldest first",
        handler=list_keys,
        query=ApiKeyQuery,
        answer=Page[ApiKeyView],
        codes=(Code.CURSOR_INVALID,),
    ),
    Route(
        name="api-keys.create",
        method="POST",
        path="/api-keys",
        scope="admin",
        summary="Make an API key; the key is in this answer and never again",
        handler=create_key,
        work=Work.CHANGES,
        body=ApiKeyCreate,
        answer=ApiKeyCreated,
        status=201,
        codes=(Code.LIMIT_EXCEEDED,),
        action="api-key.create",
        example={"scopes": ["events:write"], "name": "till 3", "expires_in_days": 365},
    ),
    Route(
        name="api-keys.get",
        method="GET",
        path="/api-keys/{id}",
        scope="admin",
        summary="Show an API key, never the key itself",
        handler=get_key,
        answer=ApiKeyView,
        codes=(Code.NOT_FOUND,),
    ),
    Route(
        name="api-keys.revoke",
        method="POST",
        path="/api-keys/{id}/revoke",
        scope="admin",
        summary="Revoke an API key; every process refuses it within seconds",
        handler=revoke_key,
        work=Work.CHANGES,
        answer=ApiKeyView,
        codes=(Code.NOT_FOUND,),
        action="api-key.revoke",
    ),
)
