"""Hostile Avro: whatever bytes lie on a topic, decoding ends soon, in little memory, and the process lives."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookline.schemas.catalogue import EVENT_TYPES, SCHEMAS
from hookline.schemas.events import Event, normalise
from tests.fuzz.decoder import Decoder, codec
from tests.fuzz.effort import tries

pytestmark = pytest.mark.unit

AT = datetime(2026, 3, 14, 9, 26, 53, 589793, UTC)
MOST_CPU_MS = 250.0
"""For a record of up to 64 KiB, and for each 64 KiB of a larger one; the examples of the catalogue take less than one."""
KIB_64 = 64 * 1024
MOST_GROWTH_KIB = 96 * 1024
"""What the process may ever grow, over all records of the run; a decoder that believes a length of 2^40 grows by more."""


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """Give a child that must still live at the end."""
    found = Decoder()
    yield found
    assert found.close() == 0


def good() -> list[bytes]:
    """Return a record of each event type."""
    ours = codec()
    return [
        ours.encode(Event(id="evt_1", type=name, store_id="shop", occurred_at=AT, data=normalise(name, kind.example)))
        for name, kind in EVENT_TYPES.items()
    ]


def varint(number: int) -> bytes:
    """Return a number as Avro writes a long."""
    zigzag = (number << 1) ^ (number >> 63)
    out = io.BytesIO()
    while zigzag & ~0x7F:
        out.write(bytes([zigzag & 0x7F | 0x80]))
        zigzag >>= 7
    out.write(bytes([zigzag]))
    return out.getvalue()


GOOD = good()
NUMBERS = st.sampled_from(
    [
        *(varint(n) for n in (-1, 0, 1, 2, 63, 64, 2**16, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))),
        b"\xff" * 9 + b"\x01",
        b"\xff" * 10,
        b"\x80" * 40 + b"\x00",
        b"\xff" * 2_000,
    ]
)
PIECES = st.binary(max_size=12) | NUMBERS


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a good record with some places cut, doubled, or replaced by what decoders like least."""
    value = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(5, max(5, len(value))))
        end = min(len(value), start + draw(st.integers(0, 16)))
        again = draw(st.integers(0, 3))
        value = value[:start] + draw(PIECES) + value[start:end] * again + value[end:]
    return value


def framed(number: int, body: bytes) -> bytes:
    """Return a body under a schema id."""
    return struct.pack(">bI", 0, number) + body


def judge(decoder: Decoder, value: bytes) -> None:
    """Have it decoded, and hold the answer against the bounds."""
    verdict = decoder.decode(value)
    assert verdict.said in {"refused", "unknown", *SCHEMAS}
    assert verdict.cpu_ms <= MOST_CPU_MS * max(1.0, len(value) / KIB_64)
    assert verdict.grown_kib <= MOST_GROWTH_KIB


def test_the_bounds_are_not_idle(decoder: Decoder) -> None:
    """Good records pass through the child, each as what it is, and the child tells what they cost."""
    for kind, value in zip(EVENT_TYPES.values(), GOOD, strict=True):
        verdict = decoder.decode(value)
        assert verdict.said == kind.subject
        assert 0 < verdict.cpu_ms <= MOST_CPU_MS


@tries(600)
@given(mutated())
def test_a_mutated_record(decoder: Decoder, value: bytes) -> None:
    """A record of ours with places changed, cut, doubled, with lengths and counts beyond all measure."""
    judge(decoder, value)


@tries(400)
@given(number=st.integers(0, len(SCHEMAS) + 2), parts=st.lists(PIECES, max_size=40))
@example(number=1, parts=[varint(2**40)])
@example(number=2, parts=[b"\x02a"] * 30 + [varint(2**62)] * 9)
def test_anything_under_any_schema(decoder: Decoder, number: int, parts: list[bytes]) -> None:
    """Numbers, lengths and noise, read by each schema of the build."""
    judge(decoder, framed(number, b"".join(parts)))


@tries(30)
@given(number=st.integers(1, len(SCHEMAS)), unit=PIECES.filter(bool), size=st.integers(1_000, 8 * KIB_64))
@example(number=list(SCHEMAS).index("hookline.orders.OrderPaid") + 1, unit=b"\xff", size=8 * KIB_64)
def test_a_large_record_of_one_pattern(decoder: Decoder, number: int, unit: bytes, size: int) -> None:
    """Half a mebibyte of the same few bytes costs no more than its size explains."""
    judge(decoder, framed(number, (unit * (size // len(unit) + 1))[:size]))


@tries(200)
@given(st.binary(max_size=40))
def test_no_frame_at_all(decoder: Decoder, value: bytes) -> None:
    """Bytes that were never meant as a record."""
    judge(decoder, value)
