"""Reading a batch column by column gives what fastavro gives record by record, or refuses."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.analytics import columnar
from hookline.schemas.catalogue import EVENT_TYPES, SCHEMAS

pytestmark = pytest.mark.unit

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Flat",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "number", "type": "long"},
        {"name": "small", "type": "int"},
        {"name": "raw", "type": "bytes"},
    ],
}
PARSED = fastavro.parse_schema(json.loads(json.dumps(SCHEMA)))
SKIP = 5

row = st.fixed_dictionaries(
    {
        "text": st.text(st.characters(codec="utf-8"), max_size=80),
        "number": st.integers(-(2**63), 2**63 - 1),
        "small": st.integers(-(2**31), 2**31 - 1),
        "raw": st.binary(max_size=300),
    }
)


def _encoded(datum: dict[str, Any]) -> bytes:
    out = io.BytesIO(b"frame")
    out.seek(SKIP)
    fastavro.schemaless_writer(out, PARSED, datum)
    return out.getvalue()


def _decoded(value: bytes) -> dict[str, Any]:
    body = io.BytesIO(value)
    body.seek(SKIP)
    found: Any = fastavro.schemaless_reader(body, PARSED, None)
    if body.tell() != len(value):
        raise ValueError("trailing bytes")
    return dict(found)


@given(st.lists(row, min_size=1, max_size=30))
def test_a_batch_reads_as_its_records_do(rows: list[dict[str, Any]]) -> None:
    """All values of all columns are those that were written."""
    found = columnar.read([_encoded(datum) for datum in rows], SKIP, SCHEMA)
    assert {name: column.to_pylist() for name, column in found.items()} == {
        name: [datum[name] for datum in rows] for name in ("text", "number", "small", "raw")
    }


@given(st.lists(row, min_size=1, max_size=4), st.integers(64, 90))
def test_a_batch_of_few_lengths_reads_as_its_records_do(kinds: list[dict[str, Any]], times: int) -> None:
    """The same where texts of one length are copied together, in whatever order the lengths come."""
    rows = [datum | {"number": number} for number in range(times) for datum in (kinds if number % 3 else kinds[::-1])]
    found = columnar.read([_encoded(datum) for datum in rows], SKIP, SCHEMA)
    assert {name: column.to_pylist() for name, column in found.items()} == {name: [datum[name] for datum in rows] for name in found}


@given(
    st.lists(st.integers(0, 69).flatmap(lambda bits: st.integers(-(2 ** min(bits, 63)), 2 ** min(bits, 63) - 1)), min_size=1, max_size=20)
)
def test_numbers_of_every_size_are_read(numbers: list[int]) -> None:
    """From one byte to ten, beside each other and at the very end of the batch."""
    schema = {"type": "record", "name": "Number", "fields": [{"name": "number", "type": "long"}]}
    parsed = fastavro.parse_schema(schema)
    values = []
    for number in numbers:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, {"number": number})
        values.append(b"frame" + out.getvalue())
    assert columnar.read(values, SKIP, schema)["number"].to_pylist() == numbers


def test_records_that_begin_otherwise_are_refused() -> None:
    """Another schema's number in the frame of one record: the batch is not of one schema."""
    good = _encoded({"text": "a", "number": 1, "small": 2, "raw": b"x"})
    with pytest.raises(ValueError, match="begin alike"):
        columnar.read([good, b"fra_e" + good[SKIP:], good], SKIP, SCHEMA)


@given(st.lists(row, min_size=1, max_size=5), st.data())
def test_damaged_records_are_refused_or_read_alike(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    """After a byte is changed, added or cut, the batch is refused unless fastavro reads every record, and then alike."""
    values = [_encoded(datum) for datum in rows]
    which = data.draw(st.integers(0, len(values) - 1))
    body = bytearray(values[which][SKIP:])
    at = data.draw(st.integers(0, len(body) - 1))
    change = data.draw(st.sampled_from(["set", "insert", "cut"]))
    if change == "set":
        body[at] = data.draw(st.integers(0, 255))
    elif change == "insert":
        body.insert(at, data.draw(st.integers(0, 255)))
    else:
        del body[at:]
    values[which] = b"frame" + bytes(body)
    try:
        found = columnar.read(values, SKIP, SCHEMA)
    except ValueError:
        return
    expected = [_decoded(value) for value in values]
    assert {name: column.to_pylist() for name, column in found.items()} == {name: [r[name] for r in expected] for name in found}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="the record ends before its first field"),
        pytest.param(b"\x02", id="a text of one byte without it"),
        pytest.param(b"\x01", id="a text of negative length"),
        pytest.param(b"\xff" * 10 + b"\x01", id="a number of eleven bytes"),
        pytest.param(b"\xff" * 9 + b"\x02", id="a number beyond 64 bits"),
        pytest.param(b"\x02\xff\x00\x00\x00", id="a text that is not UTF-8"),
        pytest.param(b"\x00\x00\x80\x80\x80\x80\x20\x00", id="an int beyond 32 bits"),
        pytest.param(b"\x00\x00\x00\x00\x00", id="a byte behind the record"),
        pytest.param(b"\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="a length near the largest number"),
    ],
)
def test_hostile_bytes_are_refused(body: bytes) -> None:
    """Each kind of wrong bytes raises `ValueError`, also between good records."""
    good = _encoded({"text": "a", "number": 1, "small": 2, "raw": b"x"})
    with pytest.raises(ValueError, match=r".+"):
        columnar.read([good, b"frame" + body, good], SKIP, SCHEMA)


def test_neighbours_that_make_up_for_each_other_are_refused() -> None:
    """A record that is a byte short before one that is a byte long is not read across their border."""
    short = b"frame" + b"\x00\x02\x02"
    long = b"frame" + b"\x00" + b"\x00\x02\x02\x00"
    with pytest.raises(ValueError, match="ends within"):
        columnar.read([short, long], SKIP, SCHEMA)


def test_only_flat_schemas_are_read_so() -> None:
    """The attempt's schema is flat; one with a nested, logical or optional type is not, nor is one that is no record."""
    assert columnar.is_flat(SCHEMAS["hookline.Attempt"])
    assert not columnar.is_flat(EVENT_TYPES["order.created"].schema)
    for kind in ({"type": "long", "logicalType": "timestamp-micros"}, ["null", "string"], "double"):
        assert not columnar.is_flat({"type": "record", "fields": [{"name": "a", "type": kind}]})
    assert not columnar.is_flat({"type": "enum", "symbols": ["a"]})


def test_long_texts_do_not_multiply_memory() -> None:
    """A column of 16 KiB bodies is copied once, whatever its rows hold."""
    rows = [{"text": "a" * (index % 3), "number": index, "small": 1, "raw": bytes([index % 256]) * 16_384} for index in range(200)]
    found = columnar.read([_encoded(datum) for datum in rows], SKIP, SCHEMA)
    assert found["raw"].to_pylist() == [datum["raw"] for datum in rows]
    assert found["raw"].nbytes < 200 * 16_384 + 10_000
