"""`/stores`: which stores there are, for the operator."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from hookline.console.http.models import Model, Page, PageQuery
from hookline.console.http.problems import Code
from hookline.console.http.routes import OPERATOR, Answer, Call, Route, StoreUse
from hookline.kernel.clock import to_us
from hookline.webhooks.model import State


class StoreSummary(Model):
    """One store and what it has."""

    id: str
    webhooks: int
    enabled: int = Field(description="of these, those that are called")
    paused: int = Field(description="of these, those that hold their deliveries")
    disabled: int = Field(description="of these, those that take nothing")
    api_keys: int = Field(description="live keys")


@dataclass(frozen=True, slots=True)
class _Counts:
    states: Counter[tuple[str, State]]
    keys: Counter[str]

    def of(self, store_id: str) -> StoreSummary:
        enabled, paused, disabled = (self.states[store_id, state] for state in (State.ENABLED, State.PAUSED, State.DISABLED))
        total = enabled + paused + disabled
        return StoreSummary(id=store_id, webhooks=total, enabled=enabled, paused=paused, disabled=disabled, api_keys=self.keys[store_id])


def list_stores(call: Call) -> Answer:
    """Answer a page of the stores that have a webhook or a live key, by id."""
    now_us = to_us(call.parts.clock.now())
    counts = _Counts(
        states=Counter((webhook.store_id, webhook.state) for webhook in call.parts.registry.all()),
        keys=Counter(key.store_id for key in call.parts.keys.of_store() if key.alive(now_us)),
    )
    found = sorted({store_id for store_id, _ in counts.states} | set(counts.keys))
    return Answer(value=call.page(found, lambda store_id: (store_id,), counts.of))


ROUTES: Final = (
    Route(
        name="stores.list",
        method="GET",
        path="/stores",
        scope=OPERATOR,
        store=StoreUse.NONE,
        summary="List the stores that have a webhook or a live API key",
        handler=list_stores,
        query=PageQuery,
        answer=Page[StoreSummary],
        codes=(Code.CURSOR_INVALID,),
    ),
)
