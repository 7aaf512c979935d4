"""Events checked and written to Avro in one pass, by a function that is generated for each event type.

That takes a quarter of the time of `checks` and fastavro (docs/benchmarks.md). It knows only what is right: what does not
fit, or is unusual, raises one of `UNFIT`, and then the slow way (`checks`, then fastavro) decides and finds the words. So it may refuse too
much, and must never let through what `checks` would refuse, or write other bytes than fastavro.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Final, TypeAlias, cast

from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.generated import Kinds, Lines
from hookline.schemas.varints import FEW, SMALL, varint

Encoder: TypeAlias = Callable[[Any], bytes]

UNFIT: Final = (TypeError, ValueError, KeyError, OverflowError, AttributeError, struct.error)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US: Final = int((datetime(9000, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_S: Final = 86_400
_RANGES: Final = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
_MISSING: Final = object()


@cache
def encoder_of(subject: str) -> Encoder:
    """Return what encodes a record of a subject, without its frame; it is pure and thread-safe, and raises one of `UNFIT`."""
    return _encoder(SCHEMAS[subject], Kinds())


def _encoder(schema: Any, kinds: Kinds) -> Encoder:  # noqa: ANN401  # an Avro schema is JSON
    source = _Source(kinds)
    source.function(schema)
    return cast("Encoder", source.made("encode", {**_CALLED, "c": source.constants}))


# ---- what the generated functions call ----


def _moment(value: Any) -> bytes:  # noqa: ANN401  # what is checked is of any type
    since = (datetime.fromisoformat(value) if type(value) is str else value) - _EPOCH
    micros = (since.days * _DAY_S + since.seconds) * 1_000_000 + since.microseconds
    if not 0 <= micros < _LATEST_US:
        raise ValueError
    return varint(micros)


def _day(value: Any) -> bytes:  # noqa: ANN401
    found = date.fromisoformat(value) if type(value) is str else value
    if type(found) is not date:
        raise TypeError
    return varint(found.toordinal() - _EPOCH_DAY)


def _finite(value: Any) -> Any:  # noqa: ANN401
    if type(value) not in {int, float} or not math.isfinite(value):
        raise TypeError
    return value


def _boolean(value: object) -> bytes:
    if value is True or value is False:
        return b"\1" if value else b"\0"
    raise TypeError


_CALLED: Final[Mapping[str, Any]] = {
    "moment": _moment, "day": _day, "finite": _finite, "boolean": _boolean, "double": struct.Struct("<d").pack,
    "float": struct.Struct("<f").pack, "varint": varint, "small": SMALL, "utf8": str.encode, "missing": _MISSING,
}  # fmt: skip


class _Source(Lines):
    """The lines of one function, and the constants that it names.

    `_tail` are bytes that belong before what is written next; pieces are gathered, and put into the list where the way parts.
    """

    def __init__(self, kinds: Kinds) -> None:
        super().__init__()
        self.constants: list[Mapping[Any, bytes]] = []
        self._pieces: list[str] = []
        self._tail = b""
        self._kinds = kinds
        self._makers: Mapping[str, Callable[[Any, str], None]] = {
            "string": self._string, "int": self._whole, "long": self._whole, "boolean": self._boolean, "bytes": self._bytes,
            "float": self._floating, "double": self._floating, "record": self._record, "enum": self._enum, "array": self._array,
            "map": self._map, "union": self._union, "timestamp-micros": self._timestamp, "date": self._date,
        }  # fmt: skip

    def function(self, schema: Any) -> None:  # noqa: ANN401
        """Write the whole function."""
        with self._block("def encode(v):"):
            self.put("out = []")
            self._value(schema, "v")
            self._flush()
            self.put("return b''.join(out)")

    # ---- pieces ----

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        """Write pieces under a head, all of them within it."""
        self._flush()
        with self.indented(head):
            yield
            self._flush()

    def _piece(self, *expressions: str) -> None:
        if self._tail:
            self._pieces.append(repr(self._tail))
            self._tail = b""
        self._pieces += expressions

    def _flush(self) -> None:
        self._piece()
        if self._pieces:
            self.put(f"out += ({', '.join(self._pieces)},)")
            self._pieces = []

    def _named(self, expression: str) -> str:
        if expression.isidentifier():
            return expression
        name = self.name()
        self.put(f"{name} = {expression}")
        return name

    # ---- values: each takes a schema, and an expression that it writes once ----

    def _value(self, schema: Any, value: str) -> None:  # noqa: ANN401
        kind, part = self._kinds.of(schema)
        self._makers[kind](part, value)

    def _record(self, schema: Mapping[str, Any], value: str) -> None:
        """Write a record; with its own fields all there, a length that differs tells of others."""
        record, count = self._named(value), self._named(str(len(schema["fields"])))
        self.put(f"if type({record}) is not dict: raise TypeError")
        for field in schema["fields"]:
            if "default" in field:
                self._optional(field, record, count)
            else:
                self._value(field["type"], f"{record}[{field['name']!r}]")
        self.put(f"if len({record}) != {count}: raise KeyError")

    def _optional(self, field: Mapping[str, Any], record: str, count: str) -> None:
        name = self._named(f"{record}.get({field['name']!r}, missing)")
        with self._block(f"if {name} is missing:"):
            self.put(f"{count} -= 1")
            self._tail += _encoder(field["type"], self._kinds)(field["default"])
        with self._block("else:"):
            self._value(field["type"], name)

    def _union(self, branches: list[Any], value: str) -> None:
        """Write `null` or one other type, as in `checks`."""
        [other] = [index for index, branch in enumerate(branches) if branch != "null"]
        name = self._named(value)
        with self._block(f"if {name} is None:"):
            self._tail += varint(branches.index("null"))
        with self._block("else:"):
            self._tail += varint(other)
            self._value(branches[other], name)

    def _sized(self, value: str) -> None:
        name = self._named(value)
        size = self._named(f"len({name})")
        self._piece(f"small[{size}] if {size} < {FEW} else varint({size})", name)

    def _string(self, _schema: object, value: str) -> None:
        self._sized(f"utf8({value})")

    def _bytes(self, _schema: object, value: str) -> None:
        name = self._named(value)
        self.put(f"if type({name}) is not bytes: raise TypeError")
        self._sized(name)

    def _whole(self, kind: str, value: str) -> None:
        name, (low, high) = self._named(value), _RANGES[kind]
        self.put(f"if type({name}) is not int or not {low} <= {name} <= {high}: raise TypeError")
        self._piece(f"small[{name}] if 0 <= {name} < {FEW} else varint({name})")

    def _floating(self, kind: str, value: str) -> None:
        self._piece(self._named(f"{kind}(finite({value}))"))

    def _boolean(self, _schema: object, value: str) -> None:
        self._piece(self._named(f"boolean({value})"))

    def _timestamp(self, _schema: object, value: str) -> None:
        self._piece(self._named(f"moment({value})"))

    def _date(self, _schema: object, value: str) -> None:
        self._piece(self._named(f"day({value})"))

    def _enum(self, schema: Mapping[str, Any], value: str) -> None:
        self._piece(self._named(f"c[{len(self.constants)}][{value}]"))
        self.constants.append({symbol: varint(index) for index, symbol in enumerate(schema["symbols"])})

    def _array(self, schema: Mapping[str, Any], value: str) -> None:
        name, item = self._named(value), self.name()
        self.put(f"if type({name}) is not list: raise TypeError")
        with self._block(f"if {name}:"):
            self._piece(f"varint(len({name}))")
            with self._block(f"for {item} in {name}:"):
                self._value(schema["items"], item)
        self._tail += b"\0"

    def _map(self, schema: Mapping[str, Any], value: str) -> None:
        name, key, item = self._named(value), self.name(), self.name()
        self.put(f"if type({name}) is not dict: raise TypeError")
        with self._block(f"if {name}:"):
            self._piece(f"varint(len({name}))")
            with self._block(f"for {key}, {item} in {name}.items():"):
                self._string(schema, key)
                self._value(schema["values"], item)
        self._tail += b"\0"
