"""Avro records of one flat schema to Arrow columns, field by field for a whole batch at once.

A record of strings, bytes and whole numbers has the same fields in the same order, so the n-th field of all records can be
read together: numbers are varints, the rest is a varint length and bytes. With numpy that costs a tenth of reading record by
record. Anything unusual raises `ValueError`, and the caller reads the batch one by one to tell which record it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Schema: TypeAlias = Mapping[str, Any]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Places: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]
_TEXTS: Final = {"string": pa.large_string(), "bytes": pa.large_binary()}
_NUMBERS: Final = {"int": 32, "long": 64}
_WORD_BYTES: Final = 8
# Behind the last record, so that a word can be read wherever a record ends.
_PADDING: Final = bytes(2 * _WORD_BYTES)
_MORE: Final = np.uint8(0x80)
_ONE: Final = np.uint64(1)
_HIGH: Final = np.uint64(0x8080_8080_8080_8080)
# Mask and shift that close the gaps of the high bits: eight groups of 7 bits, four of 14, two of 28.
_GAPS: Final = (
    (np.uint64(0x007F_007F_007F_007F), np.uint64(1)),
    (np.uint64(0x0000_3FFF_0000_3FFF), np.uint64(2)),
    (np.uint64(0x0000_0000_0FFF_FFFF), np.uint64(4)),
)
# With fewer rows of each length it is faster to cut out the texts one by one.
_ROWS_A_LENGTH: Final = 64


def is_flat(schema: Schema) -> bool:
    """Tell whether a schema is a record of strings, bytes, ints and longs, without logical types."""
    kinds = [field["type"] for field in schema.get("fields", ())] if schema.get("type") == "record" else [None]
    return all(isinstance(kind, str) and (kind in _TEXTS or kind in _NUMBERS) for kind in kinds)


def read(values: Sequence[bytes], skip: int, schema: Schema) -> dict[str, pa.Array]:
    """Return the fields of records that each begin after `skip` bytes, the same for all, and end with their value, by name.

    Texts come as `large_string` or `large_binary`, numbers as `int64`. Raises `ValueError` when the skipped bytes differ, a
    record is not exactly of this schema, or a text is not UTF-8 (`pa.ArrowInvalid`, which is one).
    """
    data = np.frombuffer(b"".join([*values, _PADDING]), np.uint8)
    sizes = np.fromiter(map(len, values), np.int64, len(values))
    ends = np.cumsum(sizes)
    _require_alike(data, ends - sizes, skip)
    at = ends - sizes + skip
    found: dict[str, pa.Array] = {}
    for field in schema["fields"]:
        kind = field["type"]
        if kind in _TEXTS:
            found[field["name"]], at = _texts(data, at, ends, _TEXTS[kind])
        else:
            numbers, at = _numbers(data, at, ends, _NUMBERS[kind])
            found[field["name"]] = pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(numbers)])
    if not np.array_equal(at, ends):
        raise ValueError("a record is longer than its schema says")
    return found


def _require_alike(data: Bytes, at: Places, size: int) -> None:
    heads = _pieces(data, size)[at].view(np.uint8).reshape(-1, size)
    if np.any(heads != heads[0]):
        raise ValueError("the records do not begin alike")


def _numbers(data: Bytes, at: Places, ends: Places, bits: int) -> tuple[Places, Places]:
    """Return the zigzag varints at these places, and the places behind them."""
    first = data[at]
    value, size = _varints(data, at) if np.any(first >= _MORE) else (first.astype(np.uint64), 1)
    if np.any(at + size > ends):
        raise ValueError("a number is too long, or its record ends within it")
    number = (value >> _ONE).astype(np.int64) ^ -(value & _ONE).astype(np.int64)
    if bits < 64 and np.any(number >> (bits - 1) != number >> 63):  # noqa: PLR2004  # the width of a long
        raise ValueError("a number is beyond its type")
    return number, at + size


def _varints(data: Bytes, at: Places) -> tuple[Words, Bytes]:
    """Return the varints at these places and their sizes; a word is read at each, and cut behind its first byte without the high bit."""
    word = np.ndarray((len(data) - _WORD_BYTES + 1,), "<u8", data, strides=(1,))[at]
    ended = ~word & _HIGH
    # All bits up to the lowest one that is set; all of the word where none is.
    kept = ((ended & (~ended + _ONE)) << _ONE) - _ONE
    value, size = word & kept & ~_HIGH, (np.bitwise_count(kept) >> 3).astype(np.uint8)
    for mask, shift in _GAPS:
        value = (value & mask) | ((value & ~mask) >> shift)
    if (long := np.flatnonzero(ended == 0)).size:
        value[long], size[long] = _lengthened(data, at[long], value[long])
    return value, size


def _lengthened(data: Bytes, at: Places, value: Words) -> tuple[Words, Bytes]:
    """Return varints of nine or ten bytes, of which `value` has the first eight, and their sizes."""
    ninth = data[at + _WORD_BYTES]
    tenth = np.where(ninth >= _MORE, data[at + _WORD_BYTES + 1], 0).astype(np.uint64)
    if np.any(tenth > 1):
        raise ValueError("a number is beyond 64 bits")
    value |= ((ninth & ~_MORE).astype(np.uint64) << np.uint64(56)) | (tenth << np.uint64(63))
    return value, np.where(ninth >= _MORE, 10, 9).astype(np.uint8)


def _texts(data: Bytes, at: Places, ends: Places, kind: pa.DataType) -> tuple[pa.Array, Places]:
    """Return the length-prefixed bytes at these places as one Arrow column, and the places behind them."""
    length, start = _numbers(data, at, ends, 64)
    if np.any(length < 0) or np.any(length > ends - start):
        raise ValueError("a text is longer than its record")
    offsets = np.zeros(len(at) + 1, np.int64)
    np.cumsum(length, out=offsets[1:])
    copied = _copied(data, start, length, offsets)
    column = pa.Array.from_buffers(kind, len(at), [None, pa.py_buffer(offsets), pa.py_buffer(copied)])
    column.validate(full=True)
    return column, start + length


def _copied(data: Bytes, start: Places, length: Places, offsets: Places) -> Bytes | bytes:
    """Return the texts one behind the other; those of one length are copied together, which most columns have few of."""
    lengths = np.flatnonzero(np.bincount(length)).tolist()
    if len(lengths) > 1 and len(lengths) * _ROWS_A_LENGTH > len(length):
        view = data.data
        return b"".join([view[low:high] for low, high in zip(start.tolist(), (start + length).tolist(), strict=True)])
    copied = np.empty(offsets[-1], np.uint8)
    for size in filter(None, lengths):
        rows = np.flatnonzero(length == size) if len(lengths) > 1 else slice(None)
        _pieces(copied, size)[offsets[:-1][rows]] = _pieces(data, size)[start[rows]]
    return copied


def _pieces(data: Bytes, size: int) -> npt.NDArray[np.void]:
    """Return the pieces of a size that begin at each byte: a view."""
    return np.ndarray((len(data) - size + 1,), f"V{size}", data, strides=(1,))
