"""Events checked and written to Avro in one pass, straight from their JSON form.

That takes a third to a half of the time of `checks` and fastavro (docs/benchmarks.md). It knows only what is right: what does not
fit, or is unusual, raises one of `UNFIT`, and then the slow way (`checks`, then fastavro) decides and finds the words. So it may refuse too
much, and must never let through what `checks` would refuse, or write other bytes than fastavro.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Final, TypeAlias

from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.names import full_name
from hookline.schemas.varints import FEW, SMALL, varint

Put: TypeAlias = Callable[[bytes], None]
Encoder: TypeAlias = Callable[[Any, Put], None]
"""Checks a value and puts its bytes, piece by piece; raises one of `UNFIT`."""

UNFIT: Final = (TypeError, ValueError, KeyError, OverflowError, AttributeError, struct.error)
_DOUBLE: Final = struct.Struct("<d").pack
_FLOAT: Final = struct.Struct("<f").pack
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US: Final = int((datetime(9000, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_S: Final = 86_400
_NULL: Final = b"\0"
_END: Final = b"\0"


@cache
def encoder_of(subject: str) -> Callable[[Any], bytes]:
    """Return what encodes a record of a subject, without its frame; it is pure and thread-safe, and raises one of `UNFIT`."""
    encode = _compile(SCHEMAS[subject], {})

    def whole(datum: Any) -> bytes:  # noqa: ANN401  # what is checked is of any type
        pieces: list[bytes] = []
        encode(datum, pieces.append)
        return b"".join(pieces)

    return whole


def _compile(schema: Any, named: dict[str, Encoder]) -> Encoder:  # noqa: ANN401  # an Avro schema is JSON
    if isinstance(schema, list):
        return _union(schema, named)
    if isinstance(schema, str):
        return named[schema] if schema in named else _PRIMITIVES[schema]
    if "logicalType" in schema:
        return {"timestamp-micros": _timestamp, "date": _date}[schema["logicalType"]]
    kind = schema["type"]
    makers = {"record": _record, "enum": _enum, "array": _array, "map": _map}
    return makers[kind](schema, named) if kind in makers else _compile(kind, named)


def _record(schema: Mapping[str, Any], named: dict[str, Encoder]) -> Encoder:
    fields: list[tuple[str, Encoder, bytes | None]] = []

    def encode(value: Any, put: Put) -> None:  # noqa: ANN401
        known = 0
        for name, inner, default in fields:
            if name in value:
                inner(value[name], put)
                known += 1
            elif default is not None:
                put(default)
            else:
                raise KeyError(name)
        if known != len(value) or type(value) is not dict:
            raise KeyError

    named[full_name(schema)] = encode
    for field in schema["fields"]:
        inner = _compile(field["type"], named)
        fields.append((field["name"], inner, _written(inner, field["default"]) if "default" in field else None))
    return encode


def _written(encode: Encoder, value: Any) -> bytes:  # noqa: ANN401
    pieces: list[bytes] = []
    encode(value, pieces.append)
    return b"".join(pieces)


def _enum(schema: Mapping[str, Any], named: dict[str, Encoder]) -> Encoder:
    symbols = {symbol: varint(index) for index, symbol in enumerate(schema["symbols"])}

    def encode(value: Any, put: Put) -> None:  # noqa: ANN401
        put(symbols[value])

    named[full_name(schema)] = encode
    return encode


def _array(schema: Mapping[str, Any], named: dict[str, Encoder]) -> Encoder:
    inner = _compile(schema["items"], named)

    def encode(value: Any, put: Put) -> None:  # noqa: ANN401
        if type(value) is not list:
            raise TypeError
        if value:
            put(varint(len(value)))
            for item in value:
                inner(item, put)
        put(_END)

    return encode


def _map(schema: Mapping[str, Any], named: dict[str, Encoder]) -> Encoder:
    inner = _compile(schema["values"], named)

    def encode(value: Any, put: Put) -> None:  # noqa: ANN401
        if type(value) is not dict:
            raise TypeError
        if value:
            put(varint(len(value)))
            for key, item in value.items():
                _string(key, put)
                inner(item, put)
        put(_END)

    return encode


def _union(branches: list[Any], named: dict[str, Encoder]) -> Encoder:
    """Encode `null` or one other type, as in `checks`."""
    other = next(index for index, branch in enumerate(branches) if branch != "null")
    inner, null, first = _compile(branches[other], named), varint(branches.index("null")), varint(other)

    def encode(value: Any, put: Put) -> None:  # noqa: ANN401
        if value is None:
            put(null)
        else:
            put(first)
            inner(value, put)

    return encode


def _string(value: Any, put: Put) -> None:  # noqa: ANN401
    if type(value) is not str:
        raise TypeError
    text = value.encode()
    size = len(text)
    put(SMALL[size] if size < FEW else varint(size))
    put(text)


def _bytes(value: Any, put: Put) -> None:  # noqa: ANN401
    if type(value) is not bytes:
        raise TypeError
    put(varint(len(value)))
    put(value)


def _whole(low: int, high: int) -> Encoder:
    def encode(value: Any, put: Put) -> None:  # noqa: ANN401
        if type(value) is not int or not low <= value <= high:
            raise TypeError
        put(SMALL[value] if 0 <= value < FEW else varint(value))

    return encode


def _double(value: Any, put: Put) -> None:  # noqa: ANN401
    if type(value) not in {int, float} or not math.isfinite(value):
        raise TypeError
    put(_DOUBLE(value))


def _float(value: Any, put: Put) -> None:  # noqa: ANN401
    if type(value) not in {int, float} or not math.isfinite(value):
        raise TypeError
    put(_FLOAT(value))


def _boolean(value: Any, put: Put) -> None:  # noqa: ANN401
    if value is True:
        put(b"\1")
    elif value is False:
        put(b"\0")
    else:
        raise TypeError


def _timestamp(value: Any, put: Put) -> None:  # noqa: ANN401
    since = (datetime.fromisoformat(value) if type(value) is str else value) - _EPOCH
    micros = (since.days * _DAY_S + since.seconds) * 1_000_000 + since.microseconds
    if not 0 <= micros < _LATEST_US:
        raise ValueError
    put(varint(micros))


def _date(value: Any, put: Put) -> None:  # noqa: ANN401
    found = date.fromisoformat(value) if type(value) is str else value
    if type(found) is not date:
        raise TypeError
    put(varint(found.toordinal() - _EPOCH_DAY))


_PRIMITIVES: Final[Mapping[str, Encoder]] = {
    "string": _string,
    "int": _whole(-(2**31), 2**31 - 1),
    "long": _whole(-(2**63), 2**63 - 1),
    "float": _float,
    "double": _double,
    "boolean": _boolean,
    "bytes": _bytes,
}
