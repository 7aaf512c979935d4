"""JSON without what parsers forgive: orjson does the work, and what it lets pass is looked for only where it can be.

orjson refuses NaN, trailing data, byte order marks, other encodings than UTF-8 and half surrogate pairs. It keeps the
last of two equal keys and turns whole numbers of more than 64 bits into floats. A body that may hold one of these is
read a second time by the strict, slow way; 1 µs per KiB tells that nearly all bodies cannot.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from hookline.producers.ingest.errors import Refused, refused

MAX_DEPTH: Final = 64
_SHOWN: Final = 60
_BITS_64: Final = (-(2**63), 2**64 - 1)
_DIGITS_64: Final = 20
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ANY_DIGIT: Final = bytes.maketrans(b"123456789", b"0" * 9)
_LONG: Final = b"0" * 19
_BEFORE_A_NUMBER: Final = b":,[ \t\r\n"
# The closing quote may be missing: then all to the end is the string, and hostile text costs one pass all the same.
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKET: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")


def parse(body: bytes) -> Any:  # noqa: ANN401  # JSON
    """Return the value of a JSON text; raise `Refused` with a 400 code."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _explained(body, error) from error
    if _doubtful(body, value):
        refuse_deep(body)
        json.loads(body, object_pairs_hook=_without_duplicates, parse_int=_in_64_bits)
    return value


def refuse_deep(body: bytes) -> None:
    """Raise `Refused` when objects and lists stand in each other more than 64 levels deep.

    No valid event is that deep, so it is enough to ask this of events that are refused anyway, for the right answer.
    """
    brackets = _STRING.sub(b"", body).translate(_ONE_KIND, _NOT_BRACKET)
    levels = 0
    while levels <= MAX_DEPTH and (outer := brackets.replace(b"[]", b"")) != brackets:
        brackets, levels = outer, levels + 1
    if levels + brackets.count(b"[") > MAX_DEPTH:  # what is left was never closed
        raise refused("nested_too_deep", f"The body has more than {MAX_DEPTH} levels of objects and lists", remedy="Send flatter data.")


def _doubtful(body: bytes, value: object) -> bool:
    """Tell whether a second look is needed: a key that was dropped took its quotes with it, unless an escape brought others."""
    if b"\\u0022" in body or _long_number(body):
        return True
    try:
        return body.count(b'"') != orjson.dumps(value).count(b'"')
    except orjson.JSONEncodeError:  # deeper than it writes
        return True


def _long_number(body: bytes) -> bool:
    """Tell whether a whole number of 19 digits or more may be there: digits that stand where a number begins, also within a text."""
    digits = body.translate(_ANY_DIGIT)  # searching this is a tenth of the time of a regular expression
    at = digits.find(_LONG)
    while at >= 0:
        before = body[max(0, at - 2) : at].removesuffix(b"-")
        if not before or before[-1] in _BEFORE_A_NUMBER:
            return True
        at = digits.find(_LONG, at + len(_LONG))
    return False


def _explained(body: bytes, error: orjson.JSONDecodeError) -> Refused:
    if not body.strip():
        return refused("empty_body", "The body is empty", remedy="Send one event, or a batch: see docs/ingest.md.")
    if body.startswith(_BOMS):
        return refused("malformed_json", "The body begins with a byte order mark", remedy="Send UTF-8 without one.")
    try:
        refuse_deep(body)
    except Refused as deep:
        return deep
    return refused("malformed_json", f"The body is not JSON: {error}", remedy="Send one JSON value; NaN and Infinity are none.")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = _first_twice([name for name, _ in pairs])
        raise refused("duplicate_key", f"The key {twice!r} stands twice in one object", field=twice, remedy="Send each key once.")
    return found


def _first_twice(names: list[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name[:_SHOWN]
        seen.add(name)
    return ""


def _in_64_bits(digits: str) -> int:
    low, high = _BITS_64
    if len(digits) > _DIGITS_64 or not low <= int(digits) <= high:
        shown = digits if len(digits) <= _SHOWN else f"{digits[:_SHOWN]}... of {len(digits)} digits"
        raise refused("number_too_large", f"The whole number {shown} has more than 64 bits", remedy="Send it as a text.")
    return int(digits)
