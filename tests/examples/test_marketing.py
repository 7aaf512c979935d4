"""The marketing example: segments are right whatever order the calls come in."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path
from typing import Any

import pytest

from examples.marketing import Segments
from hookline.schemas.catalogue import EVENT_TYPES
from tests.examples.bodies import event

pytestmark = pytest.mark.unit

EARLY, LATE = "2026-03-14T09:00:00.000000Z", "2026-03-14T09:30:00.000000Z"
ADA = EVENT_TYPES["order.created"].example["order"]["customer"]


def cart(at: str, **changed: Any) -> dict[str, Any]:
    """Return a change of a cart of somebody who may be written to."""
    example = EVENT_TYPES["cart.updated"].example["cart"]
    return event("cart.updated", {"cart": {**example, "customer": ADA, **changed}}, at=at)


def signed_up(at: str, state: str) -> dict[str, Any]:
    """Return a sign-up for the newsletter."""
    consent = {**EVENT_TYPES["newsletter.signed_up"].example["consent"], "state": state}
    return event("newsletter.signed_up", {"consent": consent}, at=at)


async def rows(folder: Path, *events: dict[str, Any], abandoned_after_s: float = 60.0) -> list[tuple[Any, ...]]:
    """Return the segments after these events, each of which comes twice."""
    segments = Segments(folder / f"{uuid.uuid4()}.sqlite", abandoned_after_s)
    for body in [*events, *events]:
        await segments.note(body["id"], body)
    found = segments.database.execute("SELECT segment, email, cart_id, total_minor FROM segments ORDER BY 1").fetchall()
    segments.database.close()
    return found


async def test_a_cart_is_abandoned_when_its_time_is_up_and_no_order_came(tmp_path: Path) -> None:
    """A cart that was left is in the segment; one with an order never is, nor one that changed within the time."""
    left = [("abandoned-cart", "ada.brenner@example.com", "cart_3fA9", 11_110)]
    assert await rows(tmp_path, cart(EARLY)) == left
    assert await rows(tmp_path, cart(EARLY), abandoned_after_s=1e9) == []
    for order in itertools.permutations([cart(EARLY), cart(LATE), event("order.created")]):
        assert await rows(tmp_path, *order) == []


async def test_the_newest_word_on_a_cart_wins(tmp_path: Path) -> None:
    """A cart that was emptied, or whose owner may not be written to, is in no segment, in whatever order its events come."""
    for last in (cart(LATE, lines=[]), cart(LATE, customer=None), cart(LATE, customer={**ADA, "accepts_marketing": False})):
        for order in itertools.permutations([cart(EARLY), last]):
            assert await rows(tmp_path, *order) == []
    for order in itertools.permutations([cart(EARLY, customer=None), cart(LATE)]):
        assert len(await rows(tmp_path, *order)) == 1


@pytest.mark.parametrize(("state", "segments"), [("SUBSCRIBED", ["newsletter"]), ("UNSUBSCRIBED", []), ("UNKNOWN", [])])
async def test_the_newest_consent_wins(tmp_path: Path, state: str, segments: list[str]) -> None:
    """Who confirmed moves to the newsletter, who left is gone, whichever of the two calls comes first."""
    assert [row[0] for row in await rows(tmp_path, signed_up(EARLY, "PENDING_CONFIRMATION"))] == ["newsletter-unconfirmed"]
    for order in itertools.permutations([signed_up(EARLY, "PENDING_CONFIRMATION"), signed_up(LATE, state)]):
        assert [row[0] for row in await rows(tmp_path, *order)] == segments
