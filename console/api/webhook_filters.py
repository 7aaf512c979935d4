"""A filter by webhook: an id that the store never had is refused, and told apart from a webhook that nothing was found of."""

from __future__ import annotations

from typing import Final

from hookline.console.api.deliveries_filter import LogQuery
from hookline.console.http.routes import ALL_STORES, Call
from hookline.console.letters_shelf import LetterQuery
from hookline.console.parts import Parts
from hookline.kernel.clock import to_us
from hookline.kernel.errors import InputError, WarehouseError

REMEDY: Final = "Look the id up with GET /webhooks."


def check_filter(call: Call, webhook_id: str | None) -> None:
    """Return when the store has the webhook, or had it: its log or a dead letter is still there; raise `InputError`.

    For answers that hold nothing: whatever holds something need not ask. While the log does not answer every id is taken.
    """
    if webhook_id is None or _has(call, webhook_id) or _left_letters(call, webhook_id) or in_log(call.parts, call.store_id, webhook_id):
        return
    raise InputError("There is no such webhook in this store, and nothing of it is left", field="webhook", remedy=REMEDY)


def _has(call: Call, webhook_id: str) -> bool:
    found = call.parts.registry.get(webhook_id)
    return found is not None and call.store_id in {ALL_STORES, found.store_id}


def _left_letters(call: Call, webhook_id: str) -> bool:
    query = LetterQuery(store_id=call.store_id, webhook_id=webhook_id)
    return next(iter(call.parts.letters.shelf.find(query)), None) is not None


def in_log(parts: Parts, store_id: str, webhook_id: str = "") -> bool:
    """Tell whether the log has anything of a store, or of its webhook; while it does not answer it may have."""
    query = LogQuery(store_id=store_id, webhook_id=webhook_id, since_us=0, until_us=to_us(parts.clock.now()))
    try:
        return bool(parts.queries.run("deliveries_bounds", query.parameters())[0]["rows"])
    except WarehouseError:
        return True
