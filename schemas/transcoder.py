"""Avro events straight to the JSON that receivers get, by a function that is generated for each event type.

It takes two thirds of the time of fastavro and then orjson (docs/benchmarks.md): no object for each value, no call for each field. It
knows only what is usual: anything else, bad bytes included, raises one of `UNUSUAL`, and then the slow way (`Codec.decode`, `payload.body`)
decides. It must never write other bytes than that.

What it writes is a list of pairs: JSON as the schema has it, then bytes of the record (`b""` where there are none). Texts are taken as they
stand, since UTF-8 with nothing to escape is JSON, and looked at once, all together.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias, cast

import orjson

from hookline.kernel.clock import rfc3339
from hookline.schemas.catalogue import BY_SUBJECT, SCHEMAS
from hookline.schemas.generated import Kinds, Lines

Transcoder: TypeAlias = Callable[[bytes, int], tuple[str, str, bytes]]

UNUSUAL: Final = (IndexError, ValueError, OverflowError, struct.error)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_SECOND: Final = 1_000_000
_MORE: Final = 0x80
_SHIFTS: Final = range(0, 70, 7)
_ESCAPED: Final = bytes(range(32)) + b'"\\'
_ENVELOPE: Final = ["id", "store_id", "occurred_at", "data"]


@cache
def transcoder_of(subject: str) -> Transcoder | None:
    """Return what reads an event of a subject, given its bytes and where its frame ends: (id, store, JSON body); None if nothing does.

    The body is that of `payload.body`. What is returned is pure and thread-safe, and raises one of `UNUSUAL`.
    """
    kind, schema = BY_SUBJECT.get(subject), SCHEMAS.get(subject)
    if kind is None or schema is None or [field["name"] for field in schema["fields"]] != _ENVELOPE:
        return None
    source = _Source()
    source.event(schema, kind.name)
    names = {"long": _long, "size": _size, "moment": _moment, "day": _day, "number": orjson.dumps, "joined": _joined, "digits": _DIGITS}
    names |= {"double": struct.Struct("<d").unpack_from, "float": struct.Struct("<f").unpack_from, "c": source.constants}
    return cast("Transcoder", source.made("transcode", names))


# ---- what the generated functions call ----


def _joined(out: list[bytes], at: int, end: int) -> bytes:
    """Return the JSON, with the texts escaped where one of them needs it; raise `ValueError` for what is not UTF-8."""
    if at != end:
        raise ValueError
    texts = out[1::2]
    plain = b"".join(texts)
    if len(plain.translate(None, _ESCAPED)) != len(plain):
        out[1::2] = [orjson.dumps(text.decode())[1:-1] for text in texts]
    body = b"".join(out)
    if not plain.isascii():
        body.decode()  # a quote follows each text, so that no half of a character meets another
    return body


def _long(data: bytes, at: int) -> tuple[int, int]:
    """Return the zigzag varint at a place, and the place behind it; no more than ten bytes are read, however many go on."""
    number = 0
    for shift in _SHIFTS:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < _MORE:
            if number >> 64:
                break
            return number >> 1 ^ -(number & 1), at
    raise ValueError


def _size(data: bytes, at: int) -> tuple[int, int]:
    """Return the same of a text's length, which is not negative."""
    size, at = _long(data, at)
    if size < 0:
        raise ValueError
    return size, at


@lru_cache(4_096)
def _second(seconds: int) -> bytes:
    """Return all of a time but the fraction of its second: events of one moment come together."""
    return rfc3339(_EPOCH + timedelta(seconds=seconds))[:-7].encode()


def _moment(micros: int) -> bytes:
    seconds, fraction = divmod(micros, _SECOND)
    return b"%b%06dZ" % (_second(seconds), fraction)


def _day(days: int) -> bytes:
    return date.fromordinal(days + _EPOCH_DAY).isoformat().encode()


_DIGITS: Final = tuple(b"%d" % number for number in range(64))


class _Source(Lines):
    """The lines of one function, and the constants that it names.

    `d` are the record's bytes and `p` the place in them. `tail` is JSON that belongs before what is written next; pairs are gathered, and
    put into the list where the way parts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.constants: list[tuple[bytes, ...]] = []
        self._pairs: list[str] = []
        self._tail = b""
        self._kinds = Kinds()
        self._makers: dict[str, Callable[[Any], None]] = {
            "string": self._string, "int": self._whole, "long": self._whole, "boolean": self._boolean, "float": self._floating,
            "double": self._floating, "record": self._record, "enum": self._enum, "array": self._array, "map": self._map,
            "union": self._union, "timestamp-micros": self._timestamp, "date": self._date,
        }  # fmt: skip

    def event(self, schema: Mapping[str, Any], name: str) -> None:
        """Write the whole function."""
        with self._block("def transcode(d, p):"):
            event_id, store_id = self._text(), self._text()
            self.put("n, p = long(d, p)")
            start, about = b'{"id":"', f'","type":"{name}","timestamp":"'.encode()
            self.put(f"out = [{start!r}, {event_id}, {about!r}, moment(n)]")
            self._pair(b'","store_id":"', store_id)
            self._tail = b'","data":'
            self._value(schema["fields"][3]["type"])
            self._tail += b"}"
            self._flush()
            self.put(f"return {event_id}.decode(), {store_id}.decode(), joined(out, p, len(d))")

    # ---- lines ----

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        """Write pairs under a head, all of them within it."""
        with self.indented(head):
            yield
            self._flush()

    def _pair(self, json: bytes, value: str) -> None:
        self._pairs.append(f"{self._tail + json!r}, {value}")
        self._tail = b""

    def _flush(self) -> None:
        if self._tail:
            self._pair(b"", "b''")
        if self._pairs:
            self.put(f"out += ({', '.join(self._pairs)},)")
            self._pairs = []

    # ---- values ----

    def _value(self, schema: Any) -> None:  # noqa: ANN401  # an Avro schema is JSON
        kind, part = self._kinds.of(schema)
        self._makers[kind](part)

    def _record(self, schema: Mapping[str, Any]) -> None:
        before = b"{"
        for field in schema["fields"]:
            self._tail += before + orjson.dumps(field["name"]) + b":"
            self._value(field["type"])
            before = b","
        self._tail += b"}" if schema["fields"] else b"{}"

    def _text(self) -> str:
        name = self.name()
        self.put("n = d[p]; p += 1")
        self.put("if n & 129: n, p = size(d, p - 1)")
        self.put("else: n >>= 1")
        self.put(f"{name} = d[p:(p := p + n)]")
        return name

    def _string(self, _schema: object) -> None:
        self._pair(b'"', self._text())
        self._tail = b'"'

    def _whole(self, _schema: object) -> None:
        name = self.name()
        self.put("n = d[p]; p += 1")
        self.put(f"if not n & 129: {name} = digits[n >> 1]")
        with self.indented("else:"):
            self.put(f"n, p = long(d, p - 1); {name} = b'%d' % n")
        self._pair(b"", name)

    def _one_of(self, written: list[bytes], index: str) -> None:
        """Write one of several fixed values."""
        self.constants.append(tuple(self._tail + each for each in written))
        self._tail = b""
        self._pairs.append(f"{index}, b''")

    def _enum(self, schema: Mapping[str, Any]) -> None:
        name = self.name()
        self.put(f"{name} = d[p] >> 1; p += 1")
        self.put("if d[p - 1] & 129: raise ValueError")
        self._one_of([orjson.dumps(symbol) for symbol in schema["symbols"]], f"c[{len(self.constants)}][{name}]")

    def _boolean(self, _schema: object) -> None:
        name = self.name()
        self.put(f"{name} = d[p]; p += 1")
        self._one_of([b"false", b"true"], f"c[{len(self.constants)}][{name}]")

    def _floating(self, kind: str) -> None:
        name = self.name()
        self.put(f"{name} = number({kind}(d, p)[0]); p += {8 if kind == 'double' else 4}")
        self._pair(b"", name)

    def _timestamp(self, _schema: object) -> None:
        self._time("moment")

    def _date(self, _schema: object) -> None:
        self._time("day")

    def _time(self, function: str) -> None:
        name = self.name()
        self.put(f"n, p = long(d, p); {name} = {function}(n)")
        self._pair(b'"', name)
        self._tail = b'"'

    def _union(self, branches: list[Any]) -> None:
        """Write `null` or one other type."""
        [other] = [index for index, branch in enumerate(branches) if branch != "null"]
        before, self._tail = self._tail, b""
        self._flush()
        self.put("n = d[p]; p += 1")
        with self._block(f"if n == {branches.index('null') * 2}:"):
            self._tail = before + b"null"
        with self._block(f"elif n == {other * 2}:"):
            self._tail = before
            self._value(branches[other])
        with self._block("else:"):
            self.put("raise ValueError")

    def _array(self, schema: Mapping[str, Any]) -> None:
        def item() -> None:
            self._value(schema["items"])

        self._blocks(b"[", b"]", item)

    def _map(self, schema: Mapping[str, Any]) -> None:
        """Write a map; one with a key twice is unusual."""
        keys = self.name()

        def item() -> None:
            key = self._text()
            self.put(f"if {key} in {keys}: raise ValueError")
            self.put(f"{keys}.add({key})")
            self._pair(b'"', key)
            self._tail = b'":'
            self._value(schema["values"])

        self.put(f"{keys} = set()")
        self._blocks(b"{", b"}", item)

    def _blocks(self, start: bytes, end: bytes, item: Callable[[], None]) -> None:
        """Write the blocks of an array or a map; each item takes a byte at least, so that no count reads beyond the record."""
        before, self._tail = self._tail + start, b""
        self._flush()
        left, separator = self.name(), self.name()
        self.put(f"{left} = d[p] >> 1; p += 1; {separator} = {before!r}")
        self.put(f"if d[p - 1] & 129: {left}, p = long(d, p - 1)")
        with self._block(f"if not {left}:"):
            self._pair(before, "b''")
            self._tail = b""
        with self._block(f"while {left} > 0:"):
            with self._block(f"for _ in range({left}):"):
                self.put(f"out += ({separator}, b''); {separator} = b','")
                item()
            self.put(f"{left} = d[p]; p += 1")
            self.put(f"if {left}: {left}, p = long(d, p - 1)")
        self.put(f"if {left}: raise ValueError")
        self._tail = end
