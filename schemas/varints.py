"""Whole numbers as Avro writes them: zigzag, then seven bits a byte, the lowest first."""

from __future__ import annotations

from typing import Final

_LOW: Final = -(2**63)
_HIGH: Final = 2**63
_TWO_BYTES: Final = 1 << 14


def _last(number: int) -> bytes:
    return bytes([number] if number < 128 else [number & 127 | 128, number >> 7])  # noqa: PLR2004  # seven bits a byte


# Fourteen bits at a time take a third of the time of seven: with more bytes to follow, and as the last.
_MORE: Final = tuple(bytes([number & 127 | 128, number >> 7 | 128]) for number in range(_TWO_BYTES))
_LAST: Final = tuple(_last(number) for number in range(_TWO_BYTES))


def varint(number: int) -> bytes:
    """Return a whole number as Avro has it; raise `OverflowError` beyond 64 bits."""
    if not _LOW <= number < _HIGH:
        raise OverflowError("a number is beyond 64 bits")
    number = (number << 1) ^ (number >> 63)
    found = b""
    while number >= _TWO_BYTES:
        found += _MORE[number & 16_383]
        number >>= 14
    return found + _LAST[number]


SMALL: Final = tuple(_LAST[2 * number] for number in range(_TWO_BYTES // 2))
"""The same of small numbers that are not negative: most lengths, counts and amounts."""
FEW: Final = len(SMALL)
