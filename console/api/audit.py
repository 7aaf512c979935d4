"""`/audit`: who changed what, when and from where."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from hookline.console.http.models import ACTION_PATTERN, ACTOR_PATTERN, ID_PATTERN, Model, Page, PageQuery, Time, time_of
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code
from hookline.console.http.routes import Answer, Call, Route, StoreUse
from hookline.schemas.audit import Entry


class AuditQuery(PageQuery):
    """Which changes."""

    action: Annotated[str, Field(pattern=ACTION_PATTERN)] | None = Field(None, description="such as webhook.create")
    target: Annotated[str, Field(pattern=ID_PATTERN)] | None = Field(None, description="the id of what was changed")
    actor: Annotated[str, Field(pattern=ACTOR_PATTERN)] | None = Field(None, description="who made the change")


class AuditEntry(Model):
    """One change."""

    id: str
    at: Time | None
    store_id: str
    actor: str = Field(description="key:<id>, user:<id>, operator (its token), command-line, or dispatcher (webhook.disable-gone)")
    action: str
    target: str = Field(description="the id of what was changed")
    before: str = Field(description="SHA-256 of how it looked; empty: it was not there, or a dispatcher made the change")
    after: str = Field(description="SHA-256 of how it looks; empty: it is gone, nothing was changed, or a dispatcher did it")
    address: str
    request_id: str = Field(description="the Hookline-Request header of the answer")


def list_entries(call: Call) -> Answer:
    """Answer a page of changes, the newest first."""
    asked = call.asked(AuditQuery)
    found = [
        entry
        for entry in call.parts.audit.of_store(call.store_id)
        if asked.action in {None, entry.action} and asked.target in {None, entry.target} and asked.actor in {None, entry.actor}
    ]
    return Answer(value=call.page(found, lambda entry: (entry.at_us, entry.id), view, newest_first=True))


def view(entry: Entry) -> AuditEntry:
    """Return an entry as callers see it."""
    return AuditEntry(
        id=entry.id,
        at=time_of(entry.at_us),
        store_id=entry.store_id,
        actor=entry.actor,
        action=entry.action,
        target=entry.target,
        before=entry.before,
        after=entry.after,
        address=entry.address,
        request_id=entry.request_id,
    )


ROUTES: Final = (
    Route(
        name="audit.list",
        method="GET",
        path="/audit",
        scope="admin",
        store=StoreUse.ONE_OR_ALL,
        summary="List the changes made in the store, the newest first",
        description="The newest 20,000 of all stores can be listed; all of them stay on the audit topic.",
        handler=list_entries,
        work=Work.QUERIES,
        query=AuditQuery,
        answer=Page[AuditEntry],
        codes=(Code.CURSOR_INVALID,),
    ),
)
