"""The ids of deliveries, and the headers of those that wait."""

from __future__ import annotations

import base64
import dataclasses
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.schemas.records import ErrorKind, Source, Trigger, Waiting, delivery_id

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


COUNT = st.integers(0, 2**63 - 1)
FEW = st.integers(0, 2)
SOURCES = st.builds(Source, topic=TEXT, partition=FEW, offset=COUNT | FEW, timestamp_ms=COUNT | FEW)


@settings(max_examples=500)
@given(
    st.builds(
        Waiting,
        *[TEXT] * 5,
        source=SOURCES,
        attempt=FEW,
        parked=FEW,
        trigger=st.sampled_from(list(Trigger)),
        first_at_us=COUNT | FEW,
        not_before_us=COUNT | FEW,
        reason=TEXT | st.sampled_from(list(ErrorKind)),
        detail=TEXT,
        last_status=st.integers(0, 599),
        replays=FEW,
        job_id=TEXT,
        traceparent=TEXT,
    )
)
def test_each_field_has_a_header_of_its_name(waiting: Waiting) -> None:
    """As text, without those that are empty or 0, but for the attempt and the place, which are always there."""
    fields = {field.name: getattr(waiting, field.name) for field in dataclasses.fields(waiting)}
    place, parent = fields.pop("source"), fields.pop("traceparent")
    fields |= {f"source_{name}": text for name, text in dataclasses.asdict(place).items()}
    kept = {"attempt", "source_partition", "source_offset", "source_timestamp_ms"}
    told = {f"hookline-{name.replace('_', '-')}": str(text).encode() for name, text in fields.items() if text or name in kept}
    assert waiting.to_headers() == told | ({"traceparent": parent.encode()} if parent else {})


def test_the_headers_of_earlier_builds() -> None:
    """They read what this one writes, and the other way round."""
    place = Source(topic="p.events.orders", partition=0, offset=7, timestamp_ms=1_700_000_000_000)
    waiting = Waiting("msg_1", "wh_1", "shop", "evt_1", "order.paid", place, attempt=2, reason=ErrorKind.TIMEOUT, last_status=503)
    headers = {
        "hookline-delivery-id": b"msg_1",
        "hookline-webhook-id": b"wh_1",
        "hookline-store-id": b"shop",
        "hookline-event-id": b"evt_1",
        "hookline-event-type": b"order.paid",
        "hookline-attempt": b"2",
        "hookline-trigger": b"event",
        "hookline-reason": b"timeout",
        "hookline-last-status": b"503",
        "hookline-source-topic": b"p.events.orders",
        "hookline-source-partition": b"0",
        "hookline-source-offset": b"7",
        "hookline-source-timestamp-ms": b"1700000000000",
    }
    assert waiting.to_headers() == headers
    assert Waiting.from_headers(headers) == waiting
