"""Records of texts, bytes and whole numbers, without unions or records in them, to Avro: the attempts, one for each delivery.

Half of fastavro's time (docs/benchmarks.md), and the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final

from hookline.schemas.varints import FEW, SMALL, varint

_KINDS: Final = {"string": 0, "bytes": 1, "int": 2, "long": 3}
_STRING, _BYTES, _INT, _LONG = _KINDS.values()
_LOW: Final = -(2**31)
_HIGH: Final = 2**31


def flat_encoder(schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes]:
    """Return what writes a record of a flat schema, given all its fields by name; it is pure and thread-safe.

    Raises `KeyError` for a schema that is not flat. What it returns raises `KeyError`, `TypeError`, `AttributeError`, `OverflowError` or
    `ValueError` for a field that is missing or does not fit.
    """
    kinds = [_KINDS[field["type"]] for field in schema["fields"]]
    values_of = itemgetter(*[field["name"] for field in schema["fields"]])

    def encode(record: Mapping[str, Any]) -> bytes:
        pieces: list[bytes] = []
        for kind, value in zip(kinds, values_of(record), strict=True):
            if kind <= _BYTES:
                data = value.encode() if kind == _STRING else value
                size = len(data)
                pieces += (SMALL[size] if size < FEW else varint(size), data)
            elif 0 <= value < FEW:
                pieces.append(SMALL[value])
            elif kind == _INT and not _LOW <= value < _HIGH:
                raise OverflowError("a number is beyond its type")
            else:
                pieces.append(varint(value))
        return b"".join(pieces)

    return encode
