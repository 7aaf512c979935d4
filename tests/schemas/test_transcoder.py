"""Avro straight to JSON against the slow way: the same bytes, and never more than it takes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hookline.kernel.errors import WireError
from hookline.schemas import payload
from hookline.schemas.catalogue import EVENT_TYPES, SCHEMAS
from hookline.schemas.events import Event, normalise
from hookline.schemas.payload import Rendered
from hookline.schemas.registry import SchemaRegistry
from hookline.schemas.transcoder import UNUSUAL, transcoder_of
from hookline.schemas.varints import varint
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.unit

FRAME = 5
NOW = datetime(2026, 3, 14, 9, 26, 53, 589_793, UTC)
ORDER = EVENT_TYPES["order.paid"]
TEXTS = ('"', "\\", "\n", "\0", "\x1f", "\x7f", "é", "\u2028", "😀", "a\"b'c", "<script>", "")


def slowly(codec: Codec, value: bytes) -> Rendered | None:
    """Return what fastavro and orjson make of a record, None when it is wrong."""
    try:
        event = codec.decode(value)
    except WireError:
        return None
    return Rendered(event.id, event.type, event.store_id, payload.body(event))


def quickly(value: bytes, name: str) -> Rendered | None:
    """Return what the transcoder makes of it, None when it leaves that to the slow way."""
    transcode = transcoder_of(EVENT_TYPES[name].subject)
    assert transcode is not None
    try:
        event_id, store_id, body = transcode(value, FRAME)
    except UNUSUAL:
        return None
    return Rendered(event_id, name, store_id, body)


@pytest.fixture(scope="module")
def codec(registry_type: Callable[..., SchemaRegistry]) -> Codec:
    """Return a codec that has the schemas of all event types."""
    return Codec(registry_type(*[kind.schema for kind in EVENT_TYPES.values()]))


def written(codec: Codec, name: str, data: Any) -> bytes:
    """Return the record of an event."""
    return codec.encode(Event(id="evt_1", type=name, store_id="demo", occurred_at=NOW, data=data))


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_every_event_gives_the_same_bytes(strategy_of: Callable[[Any], st.SearchStrategy[Any]], codec: Codec, name: str) -> None:
    """Whatever fits a schema is read, without the slow way, and looks the same: but for a map, whose keys may come twice on the wire."""

    @settings(max_examples=60)
    @given(strategy_of(EVENT_TYPES[name].schema))
    def same(datum: dict[str, Any]) -> None:
        value = codec.encode_record(EVENT_TYPES[name].subject, datum)
        found = quickly(value, name)
        assert found is not None
        assert found == slowly(codec, value)
        assert codec.render(value) == found

    same()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("place", ["id", "order_id"])
def test_texts_are_escaped_where_they_must_be(codec: Codec, place: str, text: str) -> None:
    """Quotes, backslashes, control characters, and what is none of ASCII, in the envelope and in the data."""
    datum: dict[str, Any] = {"id": "evt_1", "store_id": text, "occurred_at": NOW, "data": normalise("order.paid", ORDER.example)}
    (datum if place == "id" else datum["data"])[place] = text
    value = codec.encode_record(ORDER.subject, datum)
    assert quickly(value, "order.paid") == slowly(codec, value) is not None


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_no_damage_gets_through(codec: Codec, name: str) -> None:
    """Bytes changed, taken out, put in, cut off: the same as the slow way, or left to it."""
    whole, chance = written(codec, name, normalise(name, EVENT_TYPES[name].example)), random.Random(name)  # repeatable damage
    for _ in range(600):
        value, at = bytearray(whole), chance.randrange(FRAME, len(whole))
        match chance.randrange(4):
            case 0:
                value[at] = chance.randrange(256)
            case 1:
                del value[at]
            case 2:
                value.insert(at, chance.randrange(256))
            case _:
                del value[at:]
        found = quickly(bytes(value), name)
        assert found is None or found == slowly(codec, bytes(value)), value.hex()


@settings(max_examples=300)
@given(st.sampled_from(sorted(EVENT_TYPES)), st.binary(max_size=400))
@example("product.changed", b"")
def test_hostile_bytes_do_not_get_through(codec: Codec, name: str, data: bytes) -> None:
    """Bytes that are no record at all."""
    value = codec.encode_record(EVENT_TYPES[name].subject, _least(name))[:FRAME] + data
    found = quickly(value, name)
    assert found is None or found == slowly(codec, value)


def _least(name: str) -> dict[str, Any]:
    return {"id": "evt_1", "store_id": "demo", "occurred_at": NOW, "data": normalise(name, EVENT_TYPES[name].example)}


def test_half_characters_do_not_add_up(codec: Codec) -> None:
    """Two halves of a character in two texts that follow each other are two bad texts."""
    value = codec.encode_record(ORDER.subject, {**_least("order.paid"), "id": "ab", "store_id": "cd"})
    broken = value[: FRAME + 2] + b"\xc3" + value[FRAME + 3 : FRAME + 4] + b"\xa9" + value[FRAME + 5 :]
    assert broken != value
    assert quickly(broken, "order.paid") is None
    assert slowly(codec, broken) is None


def test_a_count_of_billions_ends_at_once(codec: Codec) -> None:
    """An array that says it is longer than its record takes no time and no memory."""
    kind = EVENT_TYPES["category.changed"]
    whole = codec.encode_record(kind.subject, _least("category.changed"))
    began = time.thread_time()
    for at in range(FRAME, len(whole)):
        value = whole[:at] + varint(2**62) + whole[at + 1 :]
        found = quickly(value, "category.changed")
        assert found is None or found == slowly(codec, value)
    assert time.thread_time() - began < 5


MEGABYTE = 1 << 20
MOST_CPU_S = 3.0
"""For a megabyte, which takes up to 0.6 s; a way whose cost grows with the square of the size takes minutes."""
PATTERNS = {
    "a number without end": b"\xff", "a number of nothing, without end": b"\x80", "nothing": b"\0", "empty texts": b"\2\0",
    "texts": b"\x02a", "negative blocks": varint(-1) + varint(1), "counts beyond the record": varint(2**62),
    "numbers too long by a byte": b"\x80" * 10 + b"\1",
}  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_megabyte_costs_what_its_size_explains(codec: Codec, pattern: str) -> None:
    """Where a length, a time, a number or a count should stand: every way in refuses it, in time that grows with its size alone."""
    unit = PATTERNS[pattern]
    junk = (unit * (MEGABYTE // len(unit) + 1))[:MEGABYTE]
    whole = codec.encode_record(ORDER.subject, _least("order.paid"))
    in_data = FRAME + len(b"\x0aevt_1\x08demo") + len(varint(round(NOW.timestamp() * 1e6)))
    for at in (FRAME, in_data - 1, in_data, len(whole) // 2, len(whole) - 1):
        for way in (codec.render, codec.decode, codec.decode_record, codec.decode_attempt):
            began = time.thread_time()
            with pytest.raises(WireError):
                way(whole[:at] + junk)
            assert time.thread_time() - began < MOST_CPU_S, (at, way)


def test_a_number_has_ten_bytes_at_most(codec: Codec) -> None:
    """A length in as many bytes as the longest numbers take is read; with one more it is left to the slow way."""
    whole = codec.encode_record(ORDER.subject, _least("order.paid"))
    start, behind = whole[:FRAME], whole[FRAME + 1 :]
    assert quickly(start + b"\x8a" + b"\x80" * 8 + b"\0" + behind, "order.paid") == quickly(whole, "order.paid") is not None
    assert quickly(start + b"\x8a" + b"\x80" * 9 + b"\0" + behind, "order.paid") is None


def test_what_is_wrong_is_told_alike_when_its_frame_is_known(codec: Codec) -> None:
    """A frame is looked up once; a wrong record gets the words that it would have got as the first."""
    whole = codec.encode_record(ORDER.subject, _least("order.paid"))
    codec.render(whole)
    for wrong in (b"", whole[:3], whole[:FRAME], whole[:-1], whole + b"x", b"\1" + whole[1:]):
        told = []
        for read in (codec.render, codec.decode):
            with pytest.raises(WireError) as caught:
                read(wrong)
            told.append(caught.value.message)
        assert told[0] == told[1]


def test_what_is_no_event_has_no_transcoder() -> None:
    """Records of ours that are no events, and unknown subjects."""
    assert transcoder_of("hookline.Attempt") is None
    assert transcoder_of("nothing.Known") is None
    assert all(transcoder_of(kind.subject) is not None for kind in EVENT_TYPES.values())
    assert len(SCHEMAS) > len(EVENT_TYPES)


def test_a_filter_sees_the_same(codec: Codec) -> None:
    """What filters are asked about is the same from an event's JSON as from the event."""
    value = written(codec, "order.paid", normalise("order.paid", ORDER.example))
    assert codec.render(value).context() == payload.context(codec.decode(value))
