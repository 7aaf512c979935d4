"""The ids of deliveries."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.schemas.records import delivery_id

pytestmark = pytest.mark.unit

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=2_000)
@given(TEXT, TEXT, TEXT)
def test_a_delivery_id_is_base32_of_a_hash(store_id: str, event_id: str, webhook_id: str) -> None:
    """Every build says the same: receivers know a repeated delivery by it."""
    digest = hashlib.sha256(f"{store_id}\0{event_id}\0{webhook_id}".encode()).digest()[:20]
    assert delivery_id(store_id, event_id, webhook_id) == "msg_" + base64.b32encode(digest).decode().lower()


def test_a_delivery_id_of_long_ago() -> None:
    """As version 1.0.0 made it."""
    assert delivery_id("shop", "evt_1", "wh_1") == "msg_4obphfmyazn6oqtqcpekp44mbznqp7yn"
